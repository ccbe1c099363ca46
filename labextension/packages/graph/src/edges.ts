// SPDX-License-Identifier: BSD-3-Clause
/** The lines between nodes. All lines of one kind are one path: thousands of edges cost the page a handful of elements. */

import { svg, write } from './dom.js';
import type { ILayout, ITip } from './layout.js';
import type { EdgeSet } from './routes.js';

type Kind = 'data' | 'order' | 'dim';

export class EdgeLayer {
  readonly element = svg('g', { class: 'nbflow-edges', 'aria-hidden': 'true' });
  readonly hot = svg('g', { class: 'nbflow-hot', 'aria-hidden': 'true' });

  #drawn: ILayout | null = null;
  #dim: ReadonlySet<number> = new Set();

  draw(layout: ILayout, dim: ReadonlySet<number>): void {
    this.#drawn = layout;
    this.#dim = dim;
    this.#fill(this.element, false, () => true);
    this.hot.replaceChildren();
  }

  /** Edges to tasks that were skipped are drawn as the way not taken. */
  setDim(dim: ReadonlySet<number>): void {
    const same = dim.size === this.#dim.size && [...dim].every(edge => this.#dim.has(edge));
    if (this.#drawn && !same) {
      this.draw(this.#drawn, dim);
    }
  }

  /** Light these edges and fade the rest; none: all as usual. */
  light(edges: ReadonlySet<number>): void {
    write(this.element, 'data-faded', edges.size ? 'true' : null);
    if (!edges.size) {
      this.hot.replaceChildren();
      return;
    }
    this.#fill(this.hot, true, passing => {
      for (const edge of passing) {
        if (edges.has(edge)) {
          return true;
        }
      }
      return false;
    });
  }

  #fill(target: SVGElement, apart: boolean, wanted: (edges: EdgeSet) => boolean): void {
    const lines: Record<Kind, string[]> = { data: [], order: [], dim: [] };
    const tips: Record<Kind, string[]> = { data: [], order: [], dim: [] };
    for (const stroke of this.#drawn?.strokes ?? []) {
      for (const part of !wanted(stroke.edges) ? [] : (apart && stroke.parts?.()) || [stroke]) {
        if (wanted(part.edges)) {
          lines[this.#kind(stroke.data, part.edges)].push(part.path);
        }
      }
    }
    for (const tip of this.#drawn?.tips ?? []) {
      if (wanted(tip.edges)) {
        const kind = this.#kind(tip.data, tip.edges);
        tips[kind].push(tipPath(tip, kind));
      }
    }
    const kinds: Kind[] = ['dim', 'order', 'data'];
    target.replaceChildren(
      ...kinds.flatMap(kind =>
        lines[kind].length ? [svg('path', { class: `nbflow-edge nbflow-mod-${kind}`, d: lines[kind].join('') })] : []
      ),
      ...kinds.flatMap(kind =>
        tips[kind].length ? [svg('path', { class: `nbflow-tip-${kind}`, d: tips[kind].join('') })] : []
      )
    );
  }

  #kind(data: boolean, edges: EdgeSet): Kind {
    let dim = edges.size > 0;
    for (const edge of edges) {
      dim &&= this.#dim.has(edge);
    }
    return dim ? 'dim' : data ? 'data' : 'order';
  }
}

/** A full arrow carries data, an open one only orders, a short bar ends the way not taken. */
function tipPath(tip: ITip, kind: Kind): string {
  const x = tip.x - 0.5;
  if (kind === 'dim') {
    return `M${x - 5} ${tip.y - 5}v10`;
  }
  return `M${x - 6} ${tip.y - 3.5}L${x} ${tip.y}L${x - 6} ${tip.y + 3.5}${kind === 'data' ? 'z' : ''}`;
}
