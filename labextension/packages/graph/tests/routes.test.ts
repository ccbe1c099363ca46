// SPDX-License-Identifier: BSD-3-Clause
import { describe, expect, it } from 'vitest';
import { layout, type ILayout } from '../src/layout.js';
import { edge, random } from './flows.js';

const seeds = Array.from({ length: 20 }, (_, seed) => seed);

/** Pieces of lines that lie inside a node's box. */
function behindNodes(drawn: ILayout): unknown[] {
  return drawn.strokes.flatMap(stroke =>
    stroke.segments.flatMap(([x1, y1, x2, y2]) =>
      drawn.nodes.filter(
        node =>
          Math.min(x1, x2) < node.x + node.width - 0.5 &&
          Math.max(x1, x2) > node.x + 0.5 &&
          Math.min(y1, y2) < node.y + node.height - 0.5 &&
          Math.max(y1, y2) > node.y + 0.5
      )
    )
  );
}

describe('a layout', () => {
  it.each(seeds)('draws no line behind a node (seed %i)', seed => {
    const { ids, edges } = random(seed, 60);
    expect(behindNodes(layout(ids, edges))).toEqual([]);
  });

  it.each(seeds)('puts no two nodes in one place (seed %i)', seed => {
    const { ids, edges } = random(seed, 60);
    const { nodes } = layout(ids, edges);
    const overlaps = nodes.filter((one, place) =>
      nodes
        .slice(place + 1)
        .some(
          other =>
            one.x < other.x + other.width &&
            other.x < one.x + one.width &&
            one.y < other.y + other.height &&
            other.y < one.y + one.height
        )
    );
    expect(overlaps).toEqual([]);
  });

  it('goes from left to right', () => {
    const { ids, edges } = random(7, 60);
    const { nodes } = layout(ids, edges);
    const x = new Map(nodes.map(node => [node.id, node.x]));
    expect(edges.filter(one => x.get(one.from)! >= x.get(one.to)!)).toEqual([]);
  });

  it('keeps what stands before a task that is added at the end', () => {
    const { ids, edges } = random(3, 30, 6);
    const before = layout(ids, edges);
    const after = layout([...ids, 'new'], [...edges, edge(ids.at(-1)!, 'new', 'x')]);
    const columns = (drawn: ILayout): Map<string, number> => new Map(drawn.nodes.map(node => [node.id, node.x]));
    const moved = ids.filter(id => columns(before).get(id) !== columns(after).get(id));
    expect(moved).toEqual([]);
  });

  it('refuses a cycle with a name in it', () => {
    expect(() => layout(['a', 'b'], [edge('a', 'b'), edge('b', 'a')])).toThrow(/cycle through a/);
  });

  it('lights only the way of one edge where several share a trunk', () => {
    const { strokes, edges } = layout(
      ['from', 'top', 'middle', 'bottom'],
      ['top', 'middle', 'bottom'].map(to => edge('from', to, 'x'))
    );
    const top = edges.find(one => one.to === 'top')!.number;
    const lit = strokes.flatMap(stroke => (stroke.parts?.() ?? [stroke]).filter(part => part.edges.has(top)));
    const wanted = strokes.flatMap(stroke =>
      (stroke.parts?.() ?? [stroke]).filter(part => part.edges.size === 1 && !part.edges.has(top))
    );
    expect(lit.length).toBeGreaterThan(1);
    expect(wanted.length).toBeGreaterThan(1);
  });
});

describe('a flow with groups', () => {
  const { ids: plain, edges: lines } = random(5, 40, 6);
  const grouped = (id: string): string => {
    const number = Number(id.slice(1));
    return number >= 14 && number < 22 ? `work.${id}` : id;
  };
  const ids = plain.map(grouped);
  const edges = lines.map(one => edge(grouped(one.from), grouped(one.to), 'x'));
  const places = (drawn: ILayout): Map<string, number> => new Map(drawn.nodes.map(node => [node.id, node.x]));

  it('keeps the columns of all that stands before a group when it is folded', () => {
    const open = places(layout(ids, edges));
    const folded = places(layout(ids, edges, ['work']));
    const left = Math.min(...ids.filter(id => id.startsWith('work.')).map(id => open.get(id)!));
    const before = ids.filter(id => !id.startsWith('work.') && open.get(id)! < left - 200);
    expect(before.length).toBeGreaterThan(3);
    expect(before.filter(id => open.get(id) !== folded.get(id))).toEqual([]);
  });

  it('draws no line behind a node, folded or not', () => {
    expect(behindNodes(layout(ids, edges))).toEqual([]);
    expect(behindNodes(layout(ids, edges, ['work']))).toEqual([]);
  });

  it('looks the same after folding and unfolding', () => {
    expect(JSON.stringify(layout(ids, edges, []).nodes)).toBe(JSON.stringify(layout(ids, edges).nodes));
  });
});

describe('crossings', () => {
  /** Of level with upright pieces that have no edge in common. */
  const crossings = (drawn: ILayout): number => {
    const pieces = drawn.strokes.flatMap(stroke => stroke.segments.map(segment => ({ segment, edges: stroke.edges })));
    const level = pieces.filter(({ segment: [x1, y1, x2, y2] }) => y1 === y2 && x1 !== x2);
    const upright = pieces.filter(({ segment: [x1, y1, x2, y2] }) => x1 === x2 && y1 !== y2);
    return level.reduce(
      (total, one) =>
        total +
        upright.filter(other => {
          const [x1, y, x2] = one.segment;
          const [x, y1, , y2] = other.segment;
          const meet = Math.min(x1, x2) < x && x < Math.max(x1, x2) && Math.min(y1, y2) < y && y < Math.max(y1, y2);
          return meet && ![...one.edges].some(edge => other.edges.has(edge));
        }).length,
      0
    );
  };

  it('are none in a tree', () => {
    const ids = Array.from({ length: 31 }, (_, place) => `t${place}`);
    const edges = ids.slice(1).map((id, place) => edge(`t${place >> 1}`, id, 'x'));
    expect(crossings(layout(ids, edges))).toBe(0);
  });

  it('are none in chains that were written all mixed up', () => {
    const ids = Array.from({ length: 24 }, (_, place) => `t${(place * 7) % 24}`);
    const edges = Array.from({ length: 16 }, (_, place) => edge(`t${place}`, `t${place + 8}`, 'x'));
    expect(crossings(layout(ids, edges))).toBe(0);
  });

  it.each(seeds.slice(0, 5))('are few where everything is tangled (seed %i)', seed => {
    const { ids, edges } = random(seed, 50);
    expect(crossings(layout(ids, edges))).toBeLessThan(3 * edges.length);
  });
});
