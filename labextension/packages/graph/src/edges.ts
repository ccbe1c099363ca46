// SPDX-License-Identifier: BSD-3-Clause
/** The lines between nodes. All lines of one kind are one path: thousands of edges cost the page a handful of elements. */

import { svg, write } from './dom.js';
import { labelsOf } from './labels.js';
import type { ILayout, ITip } from './layout.js';
import type { EdgeSet } from './routes.js';

/** Data, order only, the way not taken, and from a setup to its teardown. */
export type LineKind = 'data' | 'order' | 'dim' | 'setup';
/** Of a piece of line with these edges on it. */
export type KindOf = (data: boolean, edges: EdgeSet) => LineKind;

const KINDS: readonly LineKind[] = ['setup', 'dim', 'order', 'data'];

export class EdgeLayer {
  readonly element = svg('g', { class: 'nbflow-edges', 'aria-hidden': 'true' });
  /** The critical path, while it is shown. */
  readonly critical = svg('g', { class: 'nbflow-critical', 'aria-hidden': 'true' });
  readonly hot = svg('g', { class: 'nbflow-hot', 'aria-hidden': 'true' });

  #drawn: ILayout | null = null;
  #kindOf: KindOf = data => (data ? 'data' : 'order');

  /** `elsewhere`: the lines are painted on a canvas, only what is lit is drawn here. */
  draw(layout: ILayout, kindOf: KindOf, elsewhere: boolean): void {
    this.#drawn = layout;
    this.#kindOf = kindOf;
    if (elsewhere) {
      this.element.replaceChildren();
    } else {
      this.#fill(this.element, false, () => true);
    }
    this.hot.replaceChildren();
  }

  /** Light these edges with the names on them, and fade the rest; none: all as usual. */
  light(edges: ReadonlySet<number>, names: (edge: number) => readonly string[]): void {
    write(this.element, 'data-faded', edges.size ? 'true' : null);
    if (!edges.size) {
      this.hot.replaceChildren();
      return;
    }
    this.#fill(this.hot, true, passing => intersect(passing, edges));
    for (const { text, x, y } of labelsOf(this.#drawn!, edges, names)) {
      this.hot.append(svg('text', { class: 'nbflow-edge-label', x, y: y + 4, 'text-anchor': 'middle' }, text));
    }
  }

  /** Draw these edges as the critical path. */
  setCritical(edges: ReadonlySet<number>): void {
    if (edges.size) {
      this.#fill(this.critical, true, passing => intersect(passing, edges));
    } else {
      this.critical.replaceChildren();
    }
  }

  #fill(target: SVGElement, apart: boolean, wanted: (edges: EdgeSet) => boolean): void {
    const lines: Record<LineKind, string[]> = { data: [], order: [], dim: [], setup: [] };
    const tips: Record<LineKind, string[]> = { data: [], order: [], dim: [], setup: [] };
    for (const stroke of this.#drawn?.strokes ?? []) {
      for (const part of !wanted(stroke.edges) ? [] : (apart && stroke.parts?.()) || [stroke]) {
        if (wanted(part.edges)) {
          lines[this.#kindOf(stroke.data, part.edges)].push(part.path);
        }
      }
    }
    for (const tip of this.#drawn?.tips ?? []) {
      if (wanted(tip.edges)) {
        const kind = this.#kindOf(tip.data, tip.edges);
        tips[kind].push(tipPath(tip, kind));
      }
    }
    target.replaceChildren(
      ...KINDS.flatMap(kind =>
        lines[kind].length ? [svg('path', { class: `nbflow-edge nbflow-mod-${kind}`, d: lines[kind].join('') })] : []
      ),
      ...KINDS.flatMap(kind =>
        tips[kind].length ? [svg('path', { class: `nbflow-tip-${kind}`, d: tips[kind].join('') })] : []
      )
    );
  }
}

/** The kinds of lines, given the edges that lead to what was skipped and those between a setup and its teardown. */
export function kindsOf(dim: ReadonlySet<number>, setup: ReadonlySet<number>): KindOf {
  const all = (edges: EdgeSet, of: ReadonlySet<number>): boolean => {
    for (const edge of edges) {
      if (!of.has(edge)) {
        return false;
      }
    }
    return edges.size > 0;
  };
  return (data, edges) => (all(edges, dim) ? 'dim' : all(edges, setup) ? 'setup' : data ? 'data' : 'order');
}

/** A full arrow carries data, an open one only orders, a short bar ends the way not taken. */
export function tipPath(tip: ITip, kind: LineKind): string {
  const x = tip.x - 0.5;
  if (kind === 'dim') {
    return `M${x - 5} ${tip.y - 5}v10`;
  }
  return `M${x - 6} ${tip.y - 3.5}L${x} ${tip.y}L${x - 6} ${tip.y + 3.5}${kind === 'data' ? 'z' : ''}`;
}

function intersect(one: ReadonlySet<number>, other: ReadonlySet<number>): boolean {
  for (const value of one) {
    if (other.has(value)) {
      return true;
    }
  }
  return false;
}
