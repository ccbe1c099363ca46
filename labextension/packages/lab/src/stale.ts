// SPDX-License-Identifier: BSD-3-Clause
/** Which tasks would come out differently if they ran now: their code changed, or something they read did. */

import { checksum } from './checksum.js';
import type { ITaskPayload } from './task_cells.js';

/** Task id -> why, for each that has run and is stale; cells come as their text and the task of their card. */
export function stalenessOf(cells: readonly (readonly [string, ITaskPayload | null])[]): Map<string, string> {
  const tasks = new Map(cells.flatMap(([source, task]) => (task ? [[task.id, { source, task }] as const] : [])));
  const found = new Map<string, string>();
  const seen = new Set<string>();
  const visit = (id: string): void => {
    const cell = tasks.get(id);
    if (!cell || seen.has(id)) {
      return;
    }
    seen.add(id);
    const { source, task } = cell;
    const above = task.upstream ?? [];
    above.forEach(visit);
    if (!task.start) {
      return;
    }
    const changed = above.find(other => found.has(other) || endedAfter(tasks.get(other)?.task, task));
    if (task.code !== undefined && checksum(bodyOf(source)) !== task.code) {
      found.set(id, 'changed since its last run');
    } else if (changed !== undefined) {
      found.set(id, `${changed} changed since its last run`);
    }
  };
  [...tasks.keys()].forEach(visit);
  return found;
}

/** Without the `%%task` line, and without what does not matter around it. */
function bodyOf(source: string): string {
  return source.slice(source.indexOf('\n') + 1 || source.length).trim();
}

function endedAfter(other: ITaskPayload | undefined, task: ITaskPayload): boolean {
  return Boolean(other?.end && task.start && Date.parse(other.end) > Date.parse(task.start));
}
