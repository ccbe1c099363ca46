// SPDX-License-Identifier: BSD-3-Clause
/** The edges of one level by the trunk they share: a whole mesh, else the biggest star first, a shared target before a shared source. */

import type { IBundle, IEnd, ILeafEdge } from './bundles.js';
import { entry, type ILink } from './levels.js';

export function bundlesOf(items: readonly string[], links: readonly ILink[]): IBundle[] {
  const place = new Map(items.map((item, number) => [item, number]));
  const ends = new Map<string, IEnd>();
  const inner: Record<'data' | 'order', ILeafEdge[]> = { data: [], order: [] };
  const outer = new Map<string, { leaf: string; leaves: boolean; data: boolean; edges: ILeafEdge[] }>();
  for (const { source, target, edge } of links) {
    if (source) {
      ends.set(edge.from, { box: place.get(source)!, leaf: edge.from });
    }
    if (target) {
      ends.set(edge.to, { box: place.get(target)!, leaf: edge.to });
    }
    if (source && target) {
      inner[edge.data ? 'data' : 'order'].push(edge);
    } else {
      const leaf = source ? edge.from : edge.to;
      const key = `${leaf}\n${source ? 'out' : 'in'}\n${edge.data}`;
      entry(outer, key, () => ({ leaf, leaves: Boolean(source), data: edge.data, edges: [] })).edges.push(edge);
    }
  }
  const at = (leaf: string): IEnd => ends.get(leaf)!;
  const found: IBundle[] = [];
  for (const edges of [inner.data, inner.order]) {
    for (const share of shares(edges)) {
      const { sources, targets } = share;
      found.push({ data: edges[0]!.data, sources: sources.map(at), targets: targets.map(at), edges: share.edges });
    }
  }
  for (const { leaf, leaves, data, edges } of outer.values()) {
    found.push({ data, sources: leaves ? [at(leaf)] : [], targets: leaves ? [] : [at(leaf)], edges });
  }
  return found;
}

/** Every source is joined with every target. */
interface IShare {
  readonly sources: readonly string[];
  readonly targets: readonly string[];
  readonly edges: readonly ILeafEdge[];
}

/** Sources and targets of each trunk; every edge is in one trunk. */
function shares(edges: readonly ILeafEdge[]): IShare[] {
  const left = new Map(edges.map(edge => [`${edge.from}\n${edge.to}`, edge]));
  const shared: IShare[] = [];
  const found = meshes(edges).sort((a, b) => b[0].length * b[1].length - a[0].length * a[1].length);
  for (const [sources, targets] of found) {
    const keys = sources.flatMap(source => targets.map(target => `${source}\n${target}`));
    if (keys.every(key => left.has(key))) {
      shared.push({ sources, targets, edges: keys.map(key => left.get(key)!) });
      keys.forEach(key => left.delete(key));
    }
  }
  return [...shared, ...stars([...left.values()])];
}

/** Sources that have the same targets, and targets that have the same sources, at least two by two. */
function meshes(edges: readonly ILeafEdge[]): [string[], string[]][] {
  const found: [string[], string[]][] = [];
  for (const side of ['from', 'to'] as const) {
    const others = new Map<string, ILeafEdge[]>();
    edges.forEach(edge => entry(others, edge[side], () => []).push(edge));
    const far = side === 'from' ? 'to' : 'from';
    const alike = new Map<string, string[]>();
    for (const [leaf, own] of others) {
      const key = own
        .map(edge => edge[far])
        .sort()
        .join('\n');
      entry(alike, key, () => []).push(leaf);
    }
    for (const near of alike.values()) {
      const ends = others.get(near[0]!)!.map(edge => edge[far]);
      if (near.length > 1 && ends.length > 1) {
        found.push(side === 'from' ? [near, ends] : [ends, near]);
      }
    }
  }
  return found;
}

interface IStar {
  readonly side: 0 | 1;
  readonly leaf: string;
  readonly number: number;
  readonly edges: Map<number, ILeafEdge>;
}

function stars(edges: readonly ILeafEdge[]): IShare[] {
  const all = new Map<string, IStar>();
  const star = (side: 0 | 1, leaf: string): IStar =>
    entry(all, `${side}${leaf}`, () => ({ side, leaf, number: all.size, edges: new Map() }));
  for (const edge of edges) {
    star(0, edge.to).edges.set(edge.number, edge);
    star(1, edge.from).edges.set(edge.number, edge);
  }
  // Stars only shrink, so one bucket for each size, walked downwards, finds the biggest without a heap.
  const buckets: IStar[][] = [];
  for (const one of all.values()) {
    (buckets[one.edges.size] ??= []).push(one);
  }
  const before = (a: IStar, b: IStar): number => a.side - b.side || a.number - b.number;
  const found: IShare[] = [];
  for (let size = buckets.length - 1; size > 0; size--) {
    for (const one of (buckets[size] ?? []).sort(before)) {
      const own = [...one.edges.values()];
      if (own.length < size) {
        if (own.length) {
          (buckets[own.length] ??= []).push(one);
        }
        continue;
      }
      found.push({
        sources: one.side === 0 ? own.map(edge => edge.from) : [one.leaf],
        targets: one.side === 0 ? [one.leaf] : own.map(edge => edge.to),
        edges: own
      });
      for (const edge of own) {
        star(0, edge.to).edges.delete(edge.number);
        star(1, edge.from).edges.delete(edge.number);
      }
    }
  }
  return found;
}
