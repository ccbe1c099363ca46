// SPDX-License-Identifier: BSD-3-Clause
/** A flow's graph in an output area. Displaying the same output again changes what has changed and nothing else. */

import type { IRenderMime } from '@jupyterlab/rendermime-interfaces';
import { FlowModel, GraphView, html, NowStrip, offerSeat, Summary, type IGraphPayload } from '@nbflow/graph';
import { Panel, Widget } from '@lumino/widgets';
import { Details } from './details.js';
import { isPayload } from './payload.js';
import { notebookOf } from './task_cells.js';

export const GRAPH_MIME = 'application/vnd.nbflow.graph+json';

/** A taller drawing is scaled down to this many pixels. */
const HEIGHT = 640;

interface IParts {
  readonly model: FlowModel;
  readonly summary: Summary;
  readonly graph: GraphView;
  readonly now: NowStrip;
  readonly details: Details;
}

export class RenderedGraph extends Panel implements IRenderMime.IRenderer {
  #parts: IParts | null = null;
  /** Where the live panel sits, while there is one; the picture below it then waits. */
  readonly #seat = html('div', 'nbflow-seat');
  readonly #still = new Panel();
  readonly #page = new Widget();
  /** What the panel showed last of a log. */
  readonly #tail = html('pre', 'nbflow-still-log nbflow-quiet');
  #panel = '';
  #withdraw: (() => void) | null = null;
  #waiting: IGraphPayload | null = null;

  constructor() {
    super();
    this.node.append(this.#seat);
    ['nbflow', 'nbflow-output', 'nbflow-still'].forEach(name => this.#still.addClass(name));
    this.#page.addClass('nbflow-output-page');
    this.#still.addWidget(this.#page);
    this.addWidget(this.#still);
    this.#seat.addEventListener('nbflow-left', () => this.#show(this.#waiting));
  }

  renderModel(model: IRenderMime.IMimeModel): Promise<void> {
    const payload = model.data[GRAPH_MIME];
    if (!isPayload<IGraphPayload>(payload, 'tasks')) {
      this.#clear();
      this.#page.node.replaceChildren(html('div', 'nbflow-quiet', 'This graph was written by a newer nbflow.'));
      return Promise.resolve();
    }
    this.#offer(payload.panel ?? '');
    this.#waiting = payload;
    if (!this.#seat.childElementCount) {
      this.#show(payload);
    }
    return Promise.resolve();
  }

  override dispose(): void {
    this.#waiting = null;
    this.#withdraw?.();
    this.#clear();
    super.dispose();
  }

  /** Whether this graph shows that task. */
  has(id: string): boolean {
    return (this.#parts?.model.task(id) ?? this.#waiting?.tasks.find(task => task.id === id)) !== undefined;
  }

  /** Choose a task and show its log and outputs. */
  open(id: string): void {
    if (this.#seat.childElementCount) {
      this.#seat.dispatchEvent(new CustomEvent('nbflow-open', { detail: id }));
    } else {
      this.#parts?.graph.select(id);
      this.#choose(id);
    }
    this.node.scrollIntoView({ block: 'nearest' });
  }

  #offer(panel: string): void {
    if (panel !== this.#panel) {
      this.#withdraw?.();
      this.#panel = panel;
      this.#withdraw = panel ? offerSeat(panel, this.#seat) : null;
    }
  }

  #show(payload: IGraphPayload | null): void {
    if (payload) {
      this.#waiting = null;
      this.#parts?.model.update(payload);
      this.#parts ??= this.#draw(payload);
      this.#parts.details.refresh();
      const { line = '', log } = payload;
      const head = [line, log?.lines.length && log.task ? `log of ${log.task}:` : ''].filter(Boolean).join(', ');
      this.#tail.textContent = [head, ...(log?.lines ?? [])].join('\n');
      this.#tail.hidden = !line;
    }
  }

  #draw(payload: IGraphPayload): IParts {
    const model = new FlowModel();
    model.update(payload);
    const summary = new Summary(model);
    const now = new NowStrip(model, { onSelect: id => this.open(id) });
    const graph = new GraphView(model, {
      maxHeight: HEIGHT,
      onSelect: id => this.#choose(id),
      onOpen: (id, what) => {
        now.select(id);
        details.open(id, what, true);
      }
    });
    const details = new Details(
      model,
      () => notebookOf(this),
      () => this.#close()
    );
    summary.actions.append(graph.controls);
    this.#page.node.replaceChildren(summary.element, graph.element, now.element, this.#tail);
    this.#still.addWidget(details);
    return { model, summary, graph, now, details };
  }

  #choose(id: string | null): void {
    this.#parts?.now.select(id);
    this.#parts?.details.open(id);
  }

  /** The keys go back to the graph. */
  #close(): void {
    this.#parts?.graph.select(null);
    this.#choose(null);
    this.node.querySelector<SVGElement>('.nbflow-node[tabindex="0"]')?.focus({ preventScroll: true });
  }

  #clear(): void {
    this.#parts?.summary.dispose();
    this.#parts?.graph.dispose();
    this.#parts?.now.dispose();
    this.#parts?.details.dispose();
    this.#parts = null;
  }
}

/** Before HTML, pictures, and the widget's own view, which cannot be drawn without a kernel. */
export const GRAPH_RANK = -20;

/** Safe: all text of a payload goes in as text. */
export const graphRenderer: IRenderMime.IRendererFactory = {
  safe: true,
  mimeTypes: [GRAPH_MIME],
  defaultRank: GRAPH_RANK,
  createRenderer: () => new RenderedGraph()
};
