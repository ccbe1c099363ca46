// SPDX-License-Identifier: BSD-3-Clause
/**
 * Which leaves lie in which frame, and which edges there are between them.
 *
 * A group is a frame only when nothing outside lies between its tasks (`a.x -> y -> a.z` would need a frame with a hole): such a group is
 * dissolved into what is around it, the smallest first.
 */

import type { ILeafEdge } from './bundles.js';
import type { IEdge } from './types.js';

export const ROOT = '';

/** An edge between two leaves as one level sees it: the items they lie in, "" where it comes in or goes out. */
export interface ILink {
  readonly source: string;
  readonly target: string;
  readonly edge: ILeafEdge;
}

/** The tree of frames. A group's key ends with a dot, so that it never equals a task's; a leaf is a task or a folded group. */
export interface ILevels {
  /** The items of each frame, as written. */
  readonly children: ReadonlyMap<string, readonly string[]>;
  /** The tasks in each folded group. */
  readonly members: ReadonlyMap<string, readonly string[]>;
  /** What each frame sees of the edges. */
  readonly links: ReadonlyMap<string, readonly ILink[]>;
  /** All edges between leaves; an edge's number is its place here. */
  readonly edges: readonly ILeafEdge[];
  /** Groups that could not be frames. */
  readonly dissolved: ReadonlySet<string>;
}

/** The levels of a flow. Raises an error when its edges form a cycle. */
export function readLevels(ids: readonly string[], edges: readonly IEdge[], folded: Iterable<string>): ILevels {
  refuseCycle(ids, edges);
  const closed = new Set([...folded].map(group => group + '.'));
  const dissolved = new Set<string>();
  for (;;) {
    const levels = tryLevels(ids, edges, closed, dissolved);
    const group = tangled(levels);
    if (group === undefined) {
      return levels;
    }
    dissolved.add(group);
    closed.delete(group);
  }
}

function refuseCycle(ids: readonly string[], edges: readonly IEdge[]): void {
  const below = new Map<string, Set<string>>(ids.map(id => [id, new Set()]));
  for (const edge of edges) {
    if (below.has(edge.to)) {
      below.get(edge.from)?.add(edge.to);
    }
  }
  const [first] = inCycles(below);
  if (first !== undefined) {
    throw new Error(`The flow has a cycle through ${first}.`);
  }
}

function tryLevels(
  ids: readonly string[],
  edges: readonly IEdge[],
  closed: ReadonlySet<string>,
  dissolved: ReadonlySet<string>
): ILevels {
  const children = new Map<string, Set<string>>([[ROOT, new Set()]]);
  const members = new Map<string, string[]>();
  const chains = new Map<string, readonly string[]>();
  for (const id of ids) {
    const chain = chainOf(id, closed, dissolved);
    chains.set(id, chain);
    for (let depth = 0; depth + 1 < chain.length; depth++) {
      entry(children, chain[depth]!, () => new Set()).add(chain[depth + 1]!);
    }
    if (chain.at(-1) !== id) {
      entry(members, chain.at(-1)!, () => []).push(id);
    }
  }
  const leafEdges = betweenLeaves(edges, chains);
  return {
    children: new Map([...children].map(([frame, items]) => [frame, [...items]])),
    members,
    links: linksOf(leafEdges, chains),
    edges: leafEdges,
    dissolved: new Set(dissolved)
  };
}

/** From the root to the leaf that stands for this task. */
function chainOf(id: string, closed: ReadonlySet<string>, dissolved: ReadonlySet<string>): string[] {
  const parts = id.split('.');
  const chain = [ROOT];
  for (let depth = 1; depth < parts.length; depth++) {
    const group = parts.slice(0, depth).join('.') + '.';
    if (!dissolved.has(group)) {
      chain.push(group);
    }
    if (closed.has(group)) {
      return chain;
    }
  }
  return [...chain, id];
}

function betweenLeaves(edges: readonly IEdge[], chains: ReadonlyMap<string, readonly string[]>): ILeafEdge[] {
  const data = new Map<string, boolean>();
  const ends = new Map<string, [string, string]>();
  for (const edge of edges) {
    const from = chains.get(edge.from)?.at(-1);
    const to = chains.get(edge.to)?.at(-1);
    if (from !== undefined && to !== undefined && from !== to) {
      const key = `${from}\n${to}`;
      ends.set(key, [from, to]);
      data.set(key, (data.get(key) ?? false) || Boolean(edge.names?.length));
    }
  }
  return [...ends].map(([key, [from, to]], number) => ({ number, from, to, data: data.get(key)! }));
}

function linksOf(edges: readonly ILeafEdge[], chains: ReadonlyMap<string, readonly string[]>): Map<string, ILink[]> {
  const byLeaf = new Map([...chains.values()].map(chain => [chain.at(-1)!, chain]));
  const links = new Map<string, ILink[]>();
  const add = (frame: string, source: string, target: string, edge: ILeafEdge): void => {
    entry(links, frame, () => []).push({ source, target, edge });
  };
  for (const edge of edges) {
    const above = byLeaf.get(edge.from)!;
    const below = byLeaf.get(edge.to)!;
    let fork = 0;
    while (above[fork] === below[fork]) {
      fork++;
    }
    add(above[fork - 1]!, above[fork]!, below[fork]!, edge);
    for (let depth = fork; depth < above.length - 1; depth++) {
      add(above[depth]!, above[depth + 1]!, '', edge);
    }
    for (let depth = fork; depth < below.length - 1; depth++) {
      add(below[depth]!, '', below[depth + 1]!, edge);
    }
  }
  return links;
}

/** A group that waits for itself through something outside; the one with the fewest items, the last written of those. */
function tangled(levels: ILevels): string | undefined {
  let best: { size: number; place: number; group: string } | undefined;
  let place = 0;
  for (const [frame, items] of levels.children) {
    const below = new Map<string, Set<string>>(items.map(item => [item, new Set()]));
    for (const link of levels.links.get(frame) ?? []) {
      if (link.source && link.target) {
        below.get(link.source)!.add(link.target);
      }
    }
    for (const group of inCycles(below)) {
      if (group.endsWith('.')) {
        const size = (levels.children.get(group) ?? levels.members.get(group) ?? []).length;
        const found = { size, place: -place, group };
        if (
          !best ||
          size < best.size ||
          (size === best.size && (found.place < best.place || (found.place === best.place && group < best.group)))
        ) {
          best = found;
        }
      }
    }
    place++;
  }
  return best?.group;
}

/** What can be reached from itself. */
function inCycles(below: ReadonlyMap<string, ReadonlySet<string>>): string[] {
  const missing = new Map([...below].map(([item, targets]) => [item, targets.size]));
  const above = new Map<string, string[]>();
  for (const [item, targets] of below) {
    targets.forEach(target => entry(above, target, () => []).push(item));
  }
  const ends = [...missing].flatMap(([item, count]) => (count ? [] : [item]));
  for (let item = ends.pop(); item !== undefined; item = ends.pop()) {
    missing.delete(item);
    for (const other of above.get(item) ?? []) {
      const left = missing.get(other)! - 1;
      missing.set(other, left);
      if (!left) {
        ends.push(other);
      }
    }
  }
  return [...missing.keys()].filter(item => reachesItself(below, missing, item));
}

function reachesItself(
  below: ReadonlyMap<string, ReadonlySet<string>>,
  rest: ReadonlyMap<string, number>,
  start: string
): boolean {
  const seen = new Set<string>();
  const todo = [start];
  for (let item = todo.pop(); item !== undefined; item = todo.pop()) {
    for (const target of below.get(item) ?? []) {
      if (target === start) {
        return true;
      }
      if (rest.has(target) && !seen.has(target)) {
        seen.add(target);
        todo.push(target);
      }
    }
  }
  return false;
}

/** The value of a key, made when it is missing. */
export function entry<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  let value = map.get(key);
  if (value === undefined) {
    value = make();
    map.set(key, value);
  }
  return value;
}
