// SPDX-License-Identifier: BSD-3-Clause
/** The critical path: of all chains of tasks the one whose durations add up to the most. A shorter run would have to begin there. */

import type { FlowModel } from './model.js';

/** Task ids on it, each with its share of the whole, first to last; empty before anything has taken any time. */
export function criticalPath(model: FlowModel): Map<string, number> {
  const took = (id: string): number => model.task(id)?.duration ?? 0;
  const total = new Map<string, number>();
  const before = new Map<string, string>();
  let last: string | undefined;
  for (const id of inOrder(model)) {
    let most = 0;
    for (const above of model.upstream(id)) {
      if ((total.get(above) ?? 0) > most) {
        most = total.get(above)!;
        before.set(id, above);
      }
    }
    total.set(id, most + took(id));
    if (took(id) && (last === undefined || total.get(id)! > total.get(last)!)) {
      last = id;
    }
  }
  const path: string[] = [];
  for (let id = last; id !== undefined; id = before.get(id)) {
    path.unshift(id);
  }
  const whole = last === undefined ? 0 : total.get(last)!;
  return new Map(whole ? path.map(id => [id, took(id) / whole]) : []);
}

/** Every task after all it waits for. */
function inOrder(model: FlowModel): string[] {
  const waits = new Map(model.ids.map(id => [id, model.upstream(id).length]));
  const order = model.ids.filter(id => waits.get(id) === 0);
  for (const id of order) {
    for (const below of model.downstream(id)) {
      const left = waits.get(below)! - 1;
      waits.set(below, left);
      if (!left) {
        order.push(below);
      }
    }
  }
  return order;
}
