// SPDX-License-Identifier: BSD-3-Clause
/** nbflow.widgets.FlowPanel in the page: traits in, requests out. */

import type { AnyModel, Render } from '@anywidget/types';
import type { IGraphPayload, StatusDelta } from '@nbflow/graph';
import type { ILogLine } from './log.js';
import { Panel, type IRun } from './panel.js';
import type { IRunChoice } from './runs.js';

interface ITraits {
  graph: Partial<IGraphPayload>;
  /** The newest delta; `graph` holds everything up to it when the page asks again. */
  states: StatusDelta;
  selected: string | null;
  log: ILogLine[];
  log_title: string;
  run: IRun;
  runs: IRunChoice[];
}

/** What the kernel sends besides traits. */
interface IMessage {
  readonly kind?: string;
  readonly lines?: ILogLine[];
}

const render: Render<ITraits> = ({ model, el }) => {
  const panel = new Panel({
    onSelect: id => {
      model.set('selected', id);
      model.save_changes();
    },
    onRequest: request => model.send(request),
    onShow: runId => model.send({ kind: 'show', run_id: runId })
  });
  const draw: { [Name in keyof ITraits]: () => void } = {
    graph: () => panel.setGraph(model.get('graph')),
    states: () => panel.apply(model.get('states')),
    selected: () => panel.setSelected(model.get('selected')),
    log: () => panel.setLog(model.get('log'), model.get('log_title')),
    log_title: () => panel.setLog(model.get('log'), model.get('log_title')),
    run: () => panel.setRun(model.get('run')),
    runs: () => panel.setRuns(model.get('runs'))
  };
  const hear = (message: IMessage): void => {
    if (message.kind === 'log') {
      panel.appendLog(message.lines ?? []);
    }
  };
  listen(model, draw);
  model.on('msg:custom', hear);
  Object.values(draw).forEach(one => one());
  el.append(panel.element);
  return () => {
    for (const [name, one] of Object.entries(draw)) {
      model.off(`change:${name}`, one);
    }
    model.off('msg:custom', hear);
    panel.dispose();
  };
};

function listen(model: AnyModel<ITraits>, draw: { [Name in keyof ITraits]: () => void }): void {
  for (const [name, one] of Object.entries(draw)) {
    model.on(`change:${name}`, one);
  }
}

export default { render };
