// SPDX-License-Identifier: BSD-3-Clause
import { describe, expect, it } from 'vitest';
import { criticalPath } from '../src/critical.js';
import { FlowModel } from '../src/model.js';
import { edge, payload, random, task } from './flows.js';

function modelOf(durations: Readonly<Record<string, number | null>>, ...pairs: [string, string][]): FlowModel {
  const model = new FlowModel();
  const tasks = Object.entries(durations).map(([id, duration]) => task(id, { duration }));
  model.update(
    payload(
      tasks,
      pairs.map(([from, to]) => edge(from, to))
    )
  );
  return model;
}

describe('the critical path', () => {
  it('is the chain that took the longest, with the share of each of its tasks', () => {
    const model = modelOf({ a: 1, b: 5, c: 2, d: 2 }, ['a', 'b'], ['a', 'c'], ['b', 'd'], ['c', 'd']);
    expect([...criticalPath(model)]).toEqual([
      ['a', 1 / 8],
      ['b', 5 / 8],
      ['d', 2 / 8]
    ]);
  });

  it('ends with the last task that took time', () => {
    const model = modelOf({ a: 3, b: null }, ['a', 'b']);
    expect([...criticalPath(model).keys()]).toEqual(['a']);
  });

  it('is empty before anything has run', () => {
    expect(criticalPath(modelOf({ a: null, b: null }, ['a', 'b'])).size).toBe(0);
  });

  it.each([1, 2, 3, 4, 5])('is never shorter than any chain (seed %i)', seed => {
    const { ids, edges } = random(seed, 40);
    const took = new Map(ids.map((id, place) => [id, ((place * 7 + seed) % 11) + 1]));
    const model = new FlowModel();
    model.update(
      payload(
        ids.map(id => task(id, { duration: took.get(id)! })),
        edges
      )
    );
    const path = [...criticalPath(model).keys()];
    const length = (chain: readonly string[]): number => chain.reduce((total, id) => total + took.get(id)!, 0);
    for (const start of ids) {
      const chain = [start];
      for (let below = model.downstream(start); below.length; below = model.downstream(chain.at(-1)!)) {
        chain.push(below[(seed + chain.length) % below.length]!);
      }
      expect(length(path)).toBeGreaterThanOrEqual(length(chain));
    }
    expect(path.slice(1).every((id, place) => model.upstream(id).includes(path[place]!))).toBe(true);
  });
});
