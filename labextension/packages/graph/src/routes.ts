// SPDX-License-Identifier: BSD-3-Clause
/** The lines in one gutter: horizontal to a trunk, along it, and out again, with round corners; each piece is drawn once. */

import { round } from './numbers.js';

export const RADIUS = 8;
/** A gutter with one trunk; each further trunk widens it by a step, up to the widest. From there on trunks move together. */
export const GUTTER = 32;
const STEP = 8;
const WIDEST = 96;
/** From the left column to the first trunk; the rest of 32 is room for the corner and the arrow. */
const LEAD = 12;
/** The length of an arrowhead; lines end where it begins. */
export const TIP = 5;

export type Segment = readonly [number, number, number, number];
/** Numbers of the edges that pass somewhere. */
export type EdgeSet = ReadonlySet<number>;

/** A point on one side of a gutter, with the edges that pass it. */
export interface ISpot {
  readonly y: number;
  readonly edges: EdgeSet;
  /** An arrow ends here. */
  readonly tip: boolean;
}

/** One piece of a drawn edge: a path, the straight segments it is made of (corners included as their legs), and the edges it carries. */
export interface IStroke {
  readonly path: string;
  readonly segments: readonly Segment[];
  readonly data: boolean;
  readonly edges: EdgeSet;
  /** The same drawn apart where its edges part, to light some of them. */
  readonly parts?: () => readonly IPart[];
}

export interface IPart {
  readonly path: string;
  readonly edges: EdgeSet;
}

/** What one bundle does in one gutter. `track` counts vertical lines from the left; -1: it runs straight through. */
export class Trunk {
  readonly low: number;
  readonly high: number;
  track = -1;

  constructor(
    readonly data: boolean,
    readonly lefts: readonly ISpot[],
    readonly rights: readonly ISpot[]
  ) {
    let low = Infinity;
    let high = -Infinity;
    for (const spots of [lefts, rights]) {
      for (const spot of spots) {
        low = Math.min(low, spot.y);
        high = Math.max(high, spot.y);
      }
    }
    this.low = low;
    this.high = high;
  }

  get isStraight(): boolean {
    return this.low === this.high;
  }

  movedDown(by: number): Trunk {
    const move = (spot: ISpot): ISpot => ({ y: round(spot.y + by), edges: spot.edges, tip: spot.tip });
    return new Trunk(this.data, this.lefts.map(move), this.rights.map(move));
  }
}

/** Give each trunk of a gutter its track so that few lines cross and none lie on each other; returns the number of tracks. */
export function assignTracks(trunks: readonly Trunk[]): number {
  const bent = trunks.filter(trunk => !trunk.isStraight);
  const keys = new Map(bent.map(trunk => [trunk, nesting(trunk)]));
  bent.sort((a, b) => {
    const first = keys.get(a)!;
    const second = keys.get(b)!;
    return first[0] - second[0] || first[1] - second[1];
  });
  swap(bent);
  let tracks = 0;
  bent.forEach((trunk, number) => {
    let near = -1;
    for (let other = 0; other < number; other++) {
      const before = bent[other]!;
      if (before.low - STEP < trunk.high && trunk.low - STEP < before.high) {
        near = Math.max(near, before.track);
      }
    }
    trunk.track = 1 + near;
    tracks = Math.max(tracks, trunk.track + 1);
  });
  return tracks;
}

/** Lines going down nest like brackets when the lowest turns first, lines going up when the highest does. */
function nesting(trunk: Trunk): [number, number] {
  const left = middle(trunk.lefts);
  const right = middle(trunk.rights);
  return right > left ? [-left, -right] : [left, right];
}

function middle(spots: readonly ISpot[]): number {
  return spots.reduce((total, spot) => total + spot.y, 0) / spots.length;
}

/** Neighbours change places while that saves crossings; a few rounds, so that hundreds of trunks stay quick. */
function swap(trunks: Trunk[]): void {
  for (let round = 0; round < 6; round++) {
    let changed = false;
    for (let spot = 0; spot < trunks.length - 1; spot++) {
      const first = trunks[spot]!;
      const second = trunks[spot + 1]!;
      if (cost(second, first) < cost(first, second)) {
        trunks[spot] = second;
        trunks[spot + 1] = first;
        changed = true;
      }
    }
    if (!changed) {
      return;
    }
  }
}

/** What it costs to have `first` left of `second`: crossings, and ten for each line that would lie on another. */
function cost(first: Trunk, second: Trunk): number {
  let total = 0;
  for (const right of first.rights) {
    total += second.low < right.y && right.y < second.high ? 1 : 0;
    for (const left of second.lefts) {
      total += Math.abs(right.y - left.y) < 4 ? 10 : 0;
    }
  }
  for (const left of second.lefts) {
    total += first.low < left.y && left.y < first.high ? 1 : 0;
  }
  return total;
}

/** 32 with one trunk, 8 more for each further one, at most 96. */
export function gutterWidth(tracks: number): number {
  return Math.min(WIDEST, GUTTER + STEP * Math.max(0, tracks - 1));
}

/** Where a track lies in the gutter that begins at `left`. */
export function trunkX(left: number, track: number, tracks: number): number {
  const room = gutterWidth(tracks) - GUTTER;
  return left + LEAD + (tracks > 1 ? (room * track) / (tracks - 1) : 0);
}

/** The pieces of a trunk at `x` in the gutter from `left` to `right`. */
export function strokes(trunk: Trunk, left: number, right: number, x: number): IStroke[] {
  return [
    ...trunk.lefts.map(spot => arm(spot, trunk.rights, trunk.data, left, x, 1)),
    ...straightOn(trunk, left, right),
    ...verticals(trunk, x),
    ...trunk.rights.map(spot => arm(spot, trunk.lefts, trunk.data, end(spot, right), x, -1))
  ].filter(piece => piece.path);
}

function end(spot: ISpot, right: number): number {
  return spot.tip ? right - TIP : right;
}

/** Where a left and a right spot have one height, the line runs through. */
function straightOn(trunk: Trunk, left: number, right: number): IStroke[] {
  const ends = new Map(trunk.rights.map(spot => [spot.y, spot]));
  const found: IStroke[] = [];
  for (const start of trunk.lefts) {
    const stop = ends.get(start.y);
    if (stop) {
      const both = new Set([...start.edges].filter(edge => stop.edges.has(edge)));
      found.push(level(start.y, left, end(stop, right), trunk.data, both.size ? both : stop.edges));
    }
  }
  return found;
}

/** A straight piece from left to right. */
export function level(y: number, left: number, right: number, data: boolean, edges: EdgeSet): IStroke {
  return { path: `M${left} ${y}H${right}`, segments: [[left, y, right, y]], data, edges };
}

/** From a side of the gutter to the trunk, with a corner for each way the line goes on there. */
function arm(spot: ISpot, others: readonly ISpot[], data: boolean, edge: number, x: number, towards: number): IStroke {
  const straight = others.some(other => other.y === spot.y);
  const segments: Segment[] = [];
  const parts: (() => IPart)[] = [];
  let path = '';
  for (const sign of [-1, 1]) {
    const near = nearest(spot.y, others, sign);
    if (near < Infinity) {
      const radius = Math.min(RADIUS, near / 2);
      const turn = x - towards * radius;
      const lead = `M${edge} ${spot.y}H${turn}`;
      const corner = `Q${x} ${spot.y} ${x} ${spot.y + sign * radius}`;
      path += `${!path && !straight ? lead : `M${turn} ${spot.y}`}${corner}`;
      parts.push(() => ({
        path: lead + corner,
        edges: common(
          spot,
          others.filter(other => sign * (other.y - spot.y) > 0)
        )
      }));
      segments.push([edge, spot.y, x, spot.y], [x, spot.y, x, spot.y + sign * radius]);
    }
  }
  return { path, segments, data, edges: spot.edges, parts: () => parts.map(part => part()) };
}

/** The edges of a spot that any of the others has too. */
function common(spot: ISpot, others: readonly ISpot[]): Set<number> {
  return new Set([...spot.edges].filter(edge => others.some(other => other.edges.has(edge))));
}

/** How far it is to the next of `others` above (-1) or below (1). */
function nearest(y: number, others: readonly ISpot[], sign: number): number {
  let near = Infinity;
  for (const other of others) {
    const far = sign * (other.y - y);
    if (far > 0) {
      near = Math.min(near, far);
    }
  }
  return near;
}

/** The trunk itself, between the corners of the arms. */
function verticals(trunk: Trunk, x: number): IStroke[] {
  if (trunk.isStraight) {
    return [];
  }
  const left = reach(trunk.lefts);
  const right = reach(trunk.rights);
  const heights = [...new Set([...trunk.lefts, ...trunk.rights].map(spot => spot.y))].sort((a, b) => a - b);
  const runs: [number, number][] = [];
  for (let spot = 0; spot + 1 < heights.length; spot++) {
    const low = heights[spot]!;
    const high = heights[spot + 1]!;
    const joined = (left[0] <= low && right[1] >= high) || (right[0] <= low && left[1] >= high);
    if (!joined) {
      continue;
    }
    const last = runs.at(-1);
    const passes = (left[0] < low && low < right[1]) || (right[0] < low && low < left[1]);
    if (last && last[1] === low && passes) {
      last[1] = high;
    } else {
      runs.push([low, high]);
    }
  }
  const edges = new Set(trunk.rights.flatMap(spot => [...spot.edges]));
  return runs
    .map(([low, high]): [number, number] => [low + corner(trunk, low, 1), high - corner(trunk, high, -1)])
    .filter(([low, high]) => high > low)
    .map(([low, high]) => ({
      path: `M${x} ${low}V${high}`,
      segments: [[x, low, x, high]],
      data: trunk.data,
      edges,
      parts: () => pieces(trunk, x, low, high, heights)
    }));
}

/** A vertical cut at the heights where edges join or leave it. */
function pieces(trunk: Trunk, x: number, low: number, high: number, heights: readonly number[]): IPart[] {
  const cuts = [low, ...heights.filter(y => low < y && y < high), high];
  return cuts.slice(1).map((stop, spot) => {
    const start = cuts[spot]!;
    const above = (spots: readonly ISpot[]): ISpot[] => spots.filter(one => one.y <= start);
    const below = (spots: readonly ISpot[]): ISpot[] => spots.filter(one => one.y >= stop);
    const down = above(trunk.lefts).flatMap(one => [...common(one, below(trunk.rights))]);
    const up = below(trunk.lefts).flatMap(one => [...common(one, above(trunk.rights))]);
    return { path: `M${x} ${start}V${stop}`, edges: new Set([...down, ...up]) };
  });
}

function reach(spots: readonly ISpot[]): [number, number] {
  let low = Infinity;
  let high = -Infinity;
  for (const spot of spots) {
    low = Math.min(low, spot.y);
    high = Math.max(high, spot.y);
  }
  return [low, high];
}

/** How far the corners at this height reach along the trunk. */
function corner(trunk: Trunk, y: number, sign: number): number {
  let found = Infinity;
  for (const [spots, others] of [
    [trunk.lefts, trunk.rights],
    [trunk.rights, trunk.lefts]
  ] as const) {
    if (spots.some(spot => spot.y === y)) {
      const near = nearest(y, others, sign);
      found = near < Infinity ? Math.min(found, RADIUS, near / 2) : found;
    }
  }
  return found < Infinity ? found : 0;
}
