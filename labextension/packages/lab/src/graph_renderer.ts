// SPDX-License-Identifier: BSD-3-Clause
/** A flow's graph in an output area. Displaying the same output again changes what has changed and nothing else. */

import type { IRenderMime } from '@jupyterlab/rendermime-interfaces';
import { Widget } from '@lumino/widgets';
import { FlowModel, GraphView, html, NowStrip, offerSeat, Summary, type IGraphPayload } from '@nbflow/graph';
import { isPayload } from './payload.js';

export const GRAPH_MIME = 'application/vnd.nbflow.graph+json';

/** A taller drawing is scaled down to this many pixels. */
const HEIGHT = 640;

interface IParts {
  readonly model: FlowModel;
  readonly summary: Summary;
  readonly graph: GraphView;
  readonly now: NowStrip;
}

class RenderedGraph extends Widget implements IRenderMime.IRenderer {
  #parts: IParts | null = null;
  /** Where the live panel sits, while there is one; the picture below it then waits. */
  readonly #seat = html('div', 'nbflow-seat');
  readonly #still = html('div', 'nbflow nbflow-output nbflow-still');
  #panel = '';
  #withdraw: (() => void) | null = null;
  #waiting: IGraphPayload | null = null;

  constructor() {
    super();
    this.node.append(this.#seat, this.#still);
    this.#seat.addEventListener('nbflow-left', () => this.#show(this.#waiting));
  }

  renderModel(model: IRenderMime.IMimeModel): Promise<void> {
    const payload = model.data[GRAPH_MIME];
    if (!isPayload<IGraphPayload>(payload, 'tasks')) {
      this.#clear();
      this.#still.replaceChildren(html('div', 'nbflow-quiet', 'This graph was written by a newer nbflow.'));
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
    }
  }

  #draw(payload: IGraphPayload): IParts {
    const model = new FlowModel();
    model.update(payload);
    const summary = new Summary(model);
    const now = new NowStrip(model);
    const graph = new GraphView(model, { maxHeight: HEIGHT, onSelect: id => now.select(id) });
    this.#still.replaceChildren(summary.element, graph.element, now.element);
    return { model, summary, graph, now };
  }

  #clear(): void {
    this.#parts?.summary.dispose();
    this.#parts?.graph.dispose();
    this.#parts?.now.dispose();
    this.#parts = null;
  }
}

/** Safe: all text of a payload goes in as text. Its rank puts it before HTML, pictures, and the widget's own view, which cannot be drawn without a kernel. */
export const graphRenderer: IRenderMime.IRendererFactory = {
  safe: true,
  mimeTypes: [GRAPH_MIME],
  defaultRank: -20,
  createRenderer: () => new RenderedGraph()
};
