// SPDX-License-Identifier: BSD-3-Clause
/** What one level of a layout is made of: boxes, the bundles of edges between them, and the column each box stands in. */

/** An edge between two leaves. */
export interface ILeafEdge {
  readonly number: number;
  readonly from: string;
  readonly to: string;
  readonly data: boolean;
}

/** Where lines may meet a frame: leaf and whether they carry data -> height from its middle. */
export type Ports = ReadonlyMap<string, number>;

export function portKey(leaf: string, data: boolean): string {
  return `${data ? 'd' : 'o'}${leaf}`;
}

/** A task, a folded group, or a group whose inside was laid out before. Ports are heights from its middle; absent: choose them. */
export interface IBox {
  readonly key: string;
  readonly width: number;
  readonly height: number;
  readonly inputs?: Ports;
  readonly outputs?: Ports;
}

/** Where a bundle meets a box: the box's place in the level, and the leaf inside it (the box itself, unless it is a frame). */
export interface IEnd {
  readonly box: number;
  readonly leaf: string;
}

/** Edges drawn as one: every source is joined with every target. No sources: it enters at the left; no targets: it leaves at the right. */
export interface IBundle {
  readonly data: boolean;
  readonly sources: readonly IEnd[];
  readonly targets: readonly IEnd[];
  readonly edges: readonly ILeafEdge[];
}

/** What one bundle does in the gutter left of column `right`. */
export interface IJoint {
  readonly bundle: number;
  readonly right: number;
  readonly lefts: readonly number[];
  readonly rights: readonly number[];
}

/** The column of each box: one after the last it waits for. The level's graph has no cycle. */
export function ranks(count: number, bundles: readonly IBundle[]): number[] {
  const below: Set<number>[] = Array.from({ length: count }, () => new Set());
  for (const bundle of bundles) {
    for (const source of bundle.sources) {
      bundle.targets.forEach(target => below[source.box]!.add(target.box));
    }
  }
  const missing: number[] = Array.from({ length: count }, () => 0);
  below.forEach(targets => targets.forEach(target => missing[target]!++));
  const found = missing.map(() => 0);
  const ready = missing.flatMap((many, box) => (many ? [] : [box]));
  for (let box = ready.pop(); box !== undefined; box = ready.pop()) {
    for (const target of below[box]!) {
      found[target] = Math.max(found[target]!, found[box]! + 1);
      if (--missing[target]! === 0) {
        ready.push(target);
      }
    }
  }
  return found;
}

/** Lines that stand for a joint when crossings are counted: all of a star, two stars of a whole mesh. */
export function forPairs(joint: IJoint, see: (left: number, right: number) => void): void {
  if (joint.lefts.length === 1 || joint.rights.length === 1) {
    joint.lefts.forEach(left => joint.rights.forEach(right => see(left, right)));
    return;
  }
  const hubLeft = joint.lefts[joint.lefts.length >> 1]!;
  const hubRight = joint.rights[joint.rights.length >> 1]!;
  joint.lefts.forEach(left => see(left, hubRight));
  joint.rights.forEach(right => see(hubLeft, right));
}
