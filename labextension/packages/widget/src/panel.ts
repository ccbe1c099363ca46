// SPDX-License-Identifier: BSD-3-Clause
/** The live panel: how the run stands, the graph, what happens now, and the log of the chosen task. */

import {
  FlowModel,
  GraphView,
  html,
  NowStrip,
  Summary,
  writeText,
  type IGraphPayload,
  type StatusDelta,
  type TaskState
} from '@nbflow/graph';
import { Actions, type IRequest } from './actions.js';
import { LogTail, type ILogEntry } from './log.js';
import { RunSelector, type IRunChoice } from './runs.js';

/** The run that is shown. */
export interface IRun {
  readonly run_id?: string | null;
  readonly state?: TaskState | null;
  readonly sentence?: string;
  /** Seconds it has taken. */
  readonly elapsed?: number | null;
}

export interface IPanelOptions {
  readonly onSelect: (id: string | null) => void;
  readonly onRequest: (request: IRequest) => void;
  readonly onShow: (runId: string) => void;
}

/** Of the graph in pixels: names of some ten tasks in a column can still be read, and the whole panel is at most 420 high. */
const GRAPH_HEIGHT = 260;

export class Panel {
  readonly element = html('div', 'nbflow nbflow-panel');
  readonly #model = new FlowModel();
  readonly #summary: Summary;
  readonly #graph: GraphView;
  readonly #now: NowStrip;
  readonly #log = new LogTail();
  readonly #runs: RunSelector;
  readonly #actions: Actions;
  /** One sentence, when something is in the way. */
  readonly #notice = html('div', 'nbflow-notice');
  #selected: string | null = null;

  constructor(private readonly options: IPanelOptions) {
    this.#summary = new Summary(this.#model);
    this.#graph = new GraphView(this.#model, { maxHeight: GRAPH_HEIGHT, onSelect: id => this.choose(id) });
    this.#actions = new Actions(this.#model, options.onRequest, live => this.#log.setLive(live));
    this.#now = new NowStrip(this.#model, {
      onSelect: id => this.choose(id),
      onAct: (verb, id) => (verb === 'retry' ? this.#actions.askRetry([id]) : this.#actions.request('cancel', [id]))
    });
    this.#runs = new RunSelector(options.onShow);
    this.#summary.actions.append(this.#runs.element, this.#actions.element);
    this.#log.actions.append(this.#actions.retryHere);
    this.#notice.hidden = true;
    this.#notice.setAttribute('role', 'status');
    // Keys typed here are the panel's, not the notebook's.
    this.element.dataset['lmSuppressShortcuts'] = 'true';
    this.element.append(
      this.#summary.element,
      this.#notice,
      this.#actions.question,
      this.#graph.element,
      html('div', 'nbflow-panel-below', this.#now.element, this.#log.element)
    );
  }

  setGraph(payload: Partial<IGraphPayload>): void {
    this.#model.update({
      ...payload,
      flow: payload.flow ?? '',
      tasks: payload.tasks ?? [],
      edges: payload.edges ?? []
    });
  }

  apply(delta: StatusDelta): void {
    this.#model.apply(delta);
  }

  setRun(run: IRun): void {
    if (run.state !== undefined) {
      this.#model.setRun(run);
    }
    this.#summary.setElapsed(run.elapsed ?? null);
    this.#runs.select(run.run_id ?? null);
  }

  /** What is in the way, in one sentence; `dead`: nothing can be asked any more. */
  setNotice(sentence: string, dead = false): void {
    writeText(this.#notice, sentence);
    this.#notice.hidden = !sentence;
    this.element.classList.toggle('nbflow-mod-dead', dead);
    if (dead) {
      this.#actions.allow([]);
    }
  }

  allow(kinds: readonly string[]): void {
    this.#actions.allow(kinds);
  }

  setRuns(runs: readonly IRunChoice[]): void {
    this.#runs.set(runs);
  }

  setSelected(id: string | null): void {
    this.#selected = id;
    this.#graph.select(id);
    this.#now.select(id);
    this.#actions.choose(id);
    this.#log.setTask(id);
  }

  setLog(lines: readonly ILogEntry[], title: string): void {
    this.#log.set(lines, title);
  }

  appendLog(lines: readonly ILogEntry[], insteadOf = 0): void {
    this.#log.append(lines, insteadOf);
  }

  dispose(): void {
    this.#actions.dispose();
    this.#summary.dispose();
    this.#graph.dispose();
    this.#now.dispose();
    this.element.remove();
  }

  /** A person chose this task, here or elsewhere in the page. */
  choose(id: string | null): void {
    if (id !== this.#selected) {
      this.setSelected(id);
      this.options.onSelect(id);
    }
  }
}
