// SPDX-License-Identifier: BSD-3-Clause
import { describe, expect, it } from 'vitest';
import { layout } from '../src/layout.js';
import type { IEdge } from '../src/types.js';
import fixture from './layouts.json';

interface IExpected {
  name: string;
  tasks: string[];
  edges: IEdge[];
  folded: string[];
  width: number;
  height: number;
  nodes: unknown[];
  frames: unknown[];
  segments: number[][];
  tips: unknown[];
}

const cases = fixture as unknown as IExpected[];

function ordered(rows: readonly (readonly (number | boolean)[])[]): unknown[] {
  return rows
    .map(row => row.map(value => (typeof value === 'number' ? Math.round(value * 1000) / 1000 : value)))
    .sort((a, b) => {
      const place = a.findIndex((value, spot) => value !== b[spot]);
      return place < 0 ? 0 : Number(a[place]) - Number(b[place]);
    });
}

describe('the layout of the saved picture, which Python draws', () => {
  it.each(cases.map(one => [`${one.name} ${one.folded.join()}`, one] as const))('is the same for %s', (_, expected) => {
    const drawn = layout(expected.tasks, expected.edges, expected.folded);
    expect(drawn.nodes.map(node => [node.id, node.label, node.x, node.y, node.width, node.members])).toEqual(
      expected.nodes
    );
    expect(drawn.frames.map(frame => [frame.group, frame.label, frame.x, frame.y, frame.width, frame.height])).toEqual(
      expected.frames
    );
    expect([drawn.width, drawn.height]).toEqual([expected.width, expected.height]);
    expect(ordered(drawn.strokes.flatMap(stroke => stroke.segments))).toEqual(ordered(expected.segments));
    expect(ordered(drawn.tips.map(tip => [tip.x, tip.y, tip.data, tip.edges.size]))).toEqual(
      ordered(expected.tips as number[][])
    );
  });
});
