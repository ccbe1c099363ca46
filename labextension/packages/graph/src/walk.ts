// SPDX-License-Identifier: BSD-3-Clause
/** Where arrow keys lead: left and right along edges, up and down within a column, each to the nearest. */

import type { ILayout, INode } from './layout.js';

export type Direction = 'left' | 'right' | 'up' | 'down';

export class Walk {
  readonly #nodes = new Map<string, INode>();
  readonly #above = new Map<string, string[]>();
  readonly #below = new Map<string, string[]>();

  constructor(private readonly layout: ILayout) {
    for (const node of layout.nodes) {
      this.#nodes.set(node.id, node);
      this.#above.set(node.id, []);
      this.#below.set(node.id, []);
    }
    for (const edge of layout.edges) {
      this.#above.get(nodeId(edge.to))?.push(nodeId(edge.from));
      this.#below.get(nodeId(edge.from))?.push(nodeId(edge.to));
    }
  }

  next(id: string, direction: Direction): string | undefined {
    const from = this.#nodes.get(id);
    if (!from) {
      return undefined;
    }
    if (direction === 'left' || direction === 'right') {
      const ends = (direction === 'left' ? this.#above : this.#below).get(id)!;
      return nearest(
        from,
        ends.map(end => this.#nodes.get(end)!)
      );
    }
    const sign = direction === 'up' ? -1 : 1;
    const column = this.layout.nodes.filter(
      node => sign * (node.y - from.y) > 0 && node.x < from.x + from.width && from.x < node.x + node.width
    );
    return nearest(from, column);
  }

  /** The nodes at the other ends of its edges. */
  neighbours(id: string): readonly string[] {
    return [...(this.#above.get(id) ?? []), ...(this.#below.get(id) ?? [])];
  }

  /** The numbers of the edges that begin or end at a node. */
  edgesAt(id: string): Set<number> {
    return new Set(
      this.layout.edges.filter(edge => nodeId(edge.from) === id || nodeId(edge.to) === id).map(edge => edge.number)
    );
  }

  /** The edges of all that a node waits for and of all that waits for it. */
  edgesThrough(id: string): Set<number> {
    const up = this.#reach(id, this.#above);
    const down = this.#reach(id, this.#below);
    const both = (set: ReadonlySet<string>, from: string, to: string): boolean => set.has(from) && set.has(to);
    return new Set(
      this.layout.edges
        .filter(edge => both(up, nodeId(edge.from), nodeId(edge.to)) || both(down, nodeId(edge.from), nodeId(edge.to)))
        .map(edge => edge.number)
    );
  }

  #reach(id: string, next: ReadonlyMap<string, readonly string[]>): Set<string> {
    const seen = new Set([id]);
    const todo = [id];
    for (let one = todo.pop(); one !== undefined; one = todo.pop()) {
      for (const other of next.get(one) ?? []) {
        if (!seen.has(other)) {
          seen.add(other);
          todo.push(other);
        }
      }
    }
    return seen;
  }
}

/** A leaf's key as the id of its node: a folded group's key ends with a dot. */
export function nodeId(leaf: string): string {
  return leaf.replace(/\.$/, '');
}

function nearest(from: INode, nodes: readonly INode[]): string | undefined {
  let best: INode | undefined;
  const far = (node: INode): number => Math.abs(node.y - from.y) * 4 + Math.abs(node.x - from.x);
  for (const node of nodes) {
    if (!best || far(node) < far(best)) {
      best = node;
    }
  }
  return best?.id;
}
