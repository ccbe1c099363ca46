// SPDX-License-Identifier: BSD-3-Clause
/** nbflow.widgets.FlowPanel in the page: traits in, requests out. It is drawn as any widget is, and on the seats that saved graphs offer it. */

import type { AnyModel, Initialize, Render } from '@anywidget/types';
import { takeSeats, type IGraphPayload, type StatusDelta } from '@nbflow/graph';
import type { ILogEntry } from './log.js';
import { Panel, type IRun } from './panel.js';
import type { IRunChoice } from './runs.js';

interface ITraits {
  /** The id of the model itself, which saved graphs know it by. */
  panel: string;
  graph: Partial<IGraphPayload>;
  /** The newest delta; `graph` holds everything up to it when the page asks again. */
  states: StatusDelta;
  selected: string | null;
  log: ILogEntry[];
  log_title: string;
  run: IRun;
  runs: IRunChoice[];
  notice: string;
  can: string[];
}

/** What the kernel sends besides traits. */
interface IMessage {
  readonly kind?: string;
  readonly lines?: ILogEntry[];
  readonly instead_of?: number;
}

const GONE = 'The kernel of this panel has ended. Load nbflow again and type %nbflow panel to go on.';

/** Draw the model in that element. Returns the way to end it. */
function draw(model: AnyModel<ITraits>, el: HTMLElement): () => void {
  const panel = new Panel({
    // A message, not a trait of the page's: those wait until the kernel has answered the one before, which it may not do while a cell runs.
    onSelect: id => model.send({ kind: 'select', task: id }),
    onRequest: request => model.send(request),
    onShow: runId => model.send({ kind: 'show', run_id: runId })
  });
  const log = (): void => panel.setLog(model.get('log'), model.get('log_title'));
  const parts: { readonly [Name in keyof ITraits]?: () => void } = {
    graph: () => panel.setGraph(model.get('graph')),
    states: () => panel.apply(model.get('states')),
    selected: () => panel.setSelected(model.get('selected')),
    log,
    log_title: log,
    runs: () => panel.setRuns(model.get('runs')),
    run: () => panel.setRun(model.get('run')),
    can: () => panel.allow(model.get('can')),
    notice: () => panel.setNotice(model.get('notice'))
  };
  const hear = (message: IMessage): void => {
    if (message.kind === 'log') {
      panel.appendLog(message.lines ?? [], message.instead_of ?? 0);
    }
  };
  const live = (): void => {
    void isLive(model).then(is => panel.setNotice(is ? model.get('notice') : GONE, !is));
  };
  const listeners: readonly [string, (message: IMessage) => void][] = [
    ...Object.entries(parts).map(([name, part]): [string, () => void] => [`change:${name}`, part]),
    ['msg:custom', hear],
    ['comm_live_update', live]
  ];
  listeners.forEach(([name, listener]) => model.on(name, listener));
  Object.values(parts).forEach(part => part());
  const open = (event: Event): void => panel.choose((event as CustomEvent<string>).detail);
  el.addEventListener('nbflow-open', open);
  el.append(panel.element);
  return () => {
    el.removeEventListener('nbflow-open', open);
    listeners.forEach(([name, listener]) => model.off(name, listener));
    panel.dispose();
  };
}

/** Whether the kernel still has this model. */
async function isLive(model: AnyModel<ITraits>): Promise<boolean> {
  const manager = model.widget_manager as { get_model(id: string): Promise<{ comm_live?: boolean }> };
  return (await manager.get_model(model.get('panel'))).comm_live !== false;
}

const initialize: Initialize<ITraits> = ({ model }) => takeSeats(model.get('panel'), seat => draw(model, seat));
const render: Render<ITraits> = ({ model, el }) => draw(model, el);

export default { initialize, render };
