// SPDX-License-Identifier: BSD-3-Clause
/** Where the names that travel along lit edges are written: on the longest level piece of each, when there is room for them. */

import type { ILayout } from './layout.js';
import { textWidth } from './text.js';

export interface ILabel {
  readonly text: string;
  readonly x: number;
  readonly y: number;
}

const SIZE = 11;
/** So much of a label may lie over the ends of its line, where only margins are. */
const OVER = 4;
/** More names than this are counted. */
const NAMES = 3;

export function labelsOf(
  layout: ILayout,
  edges: ReadonlySet<number>,
  names: (edge: number) => readonly string[]
): ILabel[] {
  const labels: ILabel[] = [];
  for (const [edge, pieces] of levelPieces(layout, edges)) {
    const [left, right, y] = longest(pieces);
    const text = fitting(names(edge), right - left + OVER);
    const label = { text, x: (left + right) / 2, y };
    if (text && !labels.some(other => meet(label, other))) {
      labels.push(label);
    }
  }
  return labels;
}

type Piece = readonly [left: number, right: number, y: number];

function levelPieces(layout: ILayout, edges: ReadonlySet<number>): Map<number, Piece[]> {
  const found = new Map<number, Piece[]>();
  for (const stroke of layout.strokes) {
    const passing = [...stroke.edges].filter(edge => edges.has(edge));
    const level = passing.length ? stroke.segments.filter(([, y1, , y2]) => y1 === y2) : [];
    for (const [x1, y, x2] of level) {
      for (const edge of passing) {
        const pieces = found.get(edge) ?? [];
        pieces.push([Math.min(x1, x2), Math.max(x1, x2), y]);
        found.set(edge, pieces);
      }
    }
  }
  return found;
}

/** Pieces of one height that meet are one. */
function longest(pieces: readonly Piece[]): Piece {
  const sorted = [...pieces].sort((a, b) => a[2] - b[2] || a[0] - b[0]);
  let best = sorted[0]!;
  let run = best;
  for (const piece of sorted) {
    run = piece[2] === run[2] && piece[0] <= run[1] + 8 ? [run[0], Math.max(run[1], piece[1]), run[2]] : piece;
    best = run[1] - run[0] > best[1] - best[0] ? run : best;
  }
  return best;
}

function fitting(list: readonly string[], room: number): string {
  const whole = list.length <= NAMES ? list.join(', ') : `${list.length} names`;
  return list.length && textWidth(whole, SIZE) <= room ? whole : '';
}

function meet(one: ILabel, other: ILabel): boolean {
  const apart = (textWidth(one.text, SIZE) + textWidth(other.text, SIZE)) / 2;
  return Math.abs(one.y - other.y) < SIZE && Math.abs(one.x - other.x) < apart;
}
