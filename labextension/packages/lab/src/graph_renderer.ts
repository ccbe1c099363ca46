// SPDX-License-Identifier: BSD-3-Clause
/** A flow's graph in an output area. Displaying the same output again changes what has changed and nothing else. */

import type { IRenderMime } from '@jupyterlab/rendermime-interfaces';
import { Widget } from '@lumino/widgets';
import { FlowModel, GraphView, html, NowStrip, Summary, type IGraphPayload } from '@nbflow/graph';
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

  constructor() {
    super();
    this.addClass('nbflow');
    this.addClass('nbflow-output');
  }

  renderModel(model: IRenderMime.IMimeModel): Promise<void> {
    const payload = model.data[GRAPH_MIME];
    if (!isPayload<IGraphPayload>(payload, 'tasks')) {
      this.#clear();
      this.node.replaceChildren(html('div', 'nbflow-quiet', 'This graph was written by a newer nbflow.'));
      return Promise.resolve();
    }
    this.#parts?.model.update(payload);
    this.#parts ??= this.#draw(payload);
    return Promise.resolve();
  }

  override dispose(): void {
    this.#clear();
    super.dispose();
  }

  #draw(payload: IGraphPayload): IParts {
    const model = new FlowModel();
    model.update(payload);
    const summary = new Summary(model);
    const now = new NowStrip(model);
    const graph = new GraphView(model, { maxHeight: HEIGHT, onSelect: id => now.select(id) });
    this.node.replaceChildren(summary.element, graph.element, now.element);
    return { model, summary, graph, now };
  }

  #clear(): void {
    this.#parts?.summary.dispose();
    this.#parts?.graph.dispose();
    this.#parts?.now.dispose();
    this.#parts = null;
  }
}

/** Safe: all text of a payload goes in as text. Rank 0: before HTML and pictures. */
export const graphRenderer: IRenderMime.IRendererFactory = {
  safe: true,
  mimeTypes: [GRAPH_MIME],
  defaultRank: 0,
  createRenderer: () => new RenderedGraph()
};
