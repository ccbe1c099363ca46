// SPDX-License-Identifier: BSD-3-Clause
import type { IEdge, IGraphPayload, ITask } from '../src/types.js';

export function task(id: string, status: Partial<ITask> = {}): ITask {
  return { id, state: null, ...status };
}

export function edge(from: string, to: string, ...names: string[]): IEdge {
  return { from, to, names };
}

export function payload(
  tasks: readonly ITask[],
  edges: readonly IEdge[],
  more: Partial<IGraphPayload> = {}
): IGraphPayload {
  return { version: 1, flow: 'demo', tasks, edges, ...more };
}

/** a group of two, a join, and two ways on. */
export function small(): IGraphPayload {
  return payload(
    [task('get.one'), task('get.two'), task('join', { attempts: 3 }), task('left'), task('right')],
    [edge('get.one', 'join', 'x'), edge('get.two', 'join', 'y'), edge('join', 'left', 'z'), edge('join', 'right')]
  );
}

/** The same flow for the same seed: each task waits for up to three of those shortly before it. */
export function random(seed: number, tasks: number, reach = 12): { ids: string[]; edges: IEdge[] } {
  let state = seed;
  const dice = (sides: number): number => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
    return Math.floor((state / 2_147_483_648) * sides);
  };
  const ids = Array.from({ length: tasks }, (_, number) => `t${number}`);
  const found = new Map<string, IEdge>();
  for (let below = 1; below < tasks; below++) {
    for (let many = [0, 1, 1, 2, 3][dice(5)]!; many > 0; many--) {
      const above = Math.max(0, below - reach) + dice(Math.min(reach, below));
      found.set(`${above} ${below}`, edge(`t${above}`, `t${below}`, ...(dice(5) ? ['x'] : [])));
    }
  }
  return { ids, edges: [...found.values()] };
}
