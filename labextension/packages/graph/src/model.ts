// SPDX-License-Identifier: BSD-3-Clause
/** What is known of a flow and of its run. State flows one way: into here, then to the views that listen. */

import { lookOf, type LookName } from './glyphs.js';
import type { IEdge, IGraphPayload, ITask, StatusDelta, TaskState } from './types.js';

/** What a view is told: the flow itself changed, or only how these tasks stand. */
export interface IModelChange {
  readonly structure: boolean;
  readonly tasks: ReadonlySet<string>;
}

const FINISHED: ReadonlySet<string> = new Set([
  'success',
  'failed',
  'cancelled',
  'skipped',
  'upstream_failed',
  'removed'
]);

export function isFinished(state: TaskState | null): boolean {
  return state !== null && FINISHED.has(state);
}

/** It runs once for each element of a list; drawn as a stack of paper, also before anybody has counted. */
export function isMapped(task: ITask | undefined): boolean {
  return Boolean(task && (task.copies ?? Object.keys(task.map ?? {}).length));
}

export class FlowModel {
  flow = '';
  state: TaskState | null = null;
  runId: string | null = null;
  sentence = '';
  edges: readonly IEdge[] = [];

  readonly #all = new Map<string, ITask>();
  #above = new Map<string, string[]>();
  #below = new Map<string, string[]>();
  #short = new Map<string, number>();
  #key = '';
  readonly #listeners = new Set<(change: IModelChange) => void>();

  /** Takes a whole payload; tells what of it is new. */
  update(payload: IGraphPayload): void {
    const key = structureOf(payload);
    const structure = key !== this.#key;
    this.#key = key;
    this.flow = payload.flow;
    this.state = payload.state ?? null;
    this.runId = payload.run_id ?? null;
    this.sentence = payload.sentence ?? '';
    if (structure) {
      this.edges = payload.edges;
      this.#all.clear();
      this.#short = shortNames(payload);
      this.#above = neighbours(payload.edges, 'to', 'from');
      this.#below = neighbours(payload.edges, 'from', 'to');
    }
    const changed = new Set<string>();
    for (const task of payload.tasks) {
      const before = this.#all.get(task.id);
      if (!before || !sameStatus(before, task)) {
        this.#all.set(task.id, task);
        changed.add(task.id);
      }
    }
    this.#tell({ structure, tasks: changed });
  }

  /** Takes what changed. Tasks the flow does not have are passed over. */
  apply(delta: StatusDelta): void {
    const changed = new Set<string>();
    for (const [id, status] of Object.entries(delta)) {
      const before = this.#all.get(id);
      if (before) {
        const after = { ...before, ...status };
        if (!sameStatus(before, after)) {
          this.#all.set(id, after);
          changed.add(id);
        }
      }
    }
    if (changed.size) {
      this.#tell({ structure: false, tasks: changed });
    }
  }

  /** The run as a whole. */
  setRun(run: { state?: TaskState | null; run_id?: string | null; sentence?: string }): void {
    this.state = run.state ?? null;
    this.runId = run.run_id ?? null;
    this.sentence = run.sentence ?? this.sentence;
    this.#tell({ structure: false, tasks: new Set() });
  }

  get ids(): string[] {
    return [...this.#all.keys()];
  }

  get tasks(): ITask[] {
    return [...this.#all.values()];
  }

  task(id: string): ITask | undefined {
    return this.#all.get(id);
  }

  upstream(id: string): readonly string[] {
    return this.#above.get(id) ?? [];
  }

  downstream(id: string): readonly string[] {
    return this.#below.get(id) ?? [];
  }

  /** How many of these tasks are drawn how; copies of a mapped task count one by one. */
  looks(ids: Iterable<string> = this.#all.keys()): Map<LookName, number> {
    const found = new Map<LookName, number>();
    for (const id of ids) {
      const task = this.#all.get(id);
      if (task) {
        const look = lookOf(task);
        found.set(look, (found.get(look) ?? 0) + 1);
      }
    }
    return found;
  }

  /** A task's name in lists: without its group, unless another task has that name too. */
  label(id: string): string {
    const short = id.slice(id.lastIndexOf('.') + 1);
    return this.#short.get(short) === 1 ? short : id;
  }

  /** Returns the way to stop listening. */
  listen(listener: (change: IModelChange) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #tell(change: IModelChange): void {
    this.#listeners.forEach(listener => listener(change));
  }
}

function structureOf(payload: IGraphPayload): string {
  const tasks = payload.tasks.map(task => [task.id, task.kind ?? '', isMapped(task)]);
  return JSON.stringify([payload.flow, tasks, payload.edges.map(edge => [edge.from, edge.to, edge.names ?? []])]);
}

function shortNames(payload: IGraphPayload): Map<string, number> {
  const found = new Map<string, number>();
  for (const { id } of payload.tasks) {
    const short = id.slice(id.lastIndexOf('.') + 1);
    found.set(short, (found.get(short) ?? 0) + 1);
  }
  return found;
}

function neighbours(edges: readonly IEdge[], key: 'from' | 'to', value: 'from' | 'to'): Map<string, string[]> {
  const found = new Map<string, string[]>();
  for (const edge of edges) {
    const known = found.get(edge[key]);
    if (known) {
      known.push(edge[value]);
    } else {
      found.set(edge[key], [edge[value]]);
    }
  }
  return found;
}

function sameStatus(a: ITask, b: ITask): boolean {
  return (
    a.state === b.state &&
    a.reason === b.reason &&
    a.attempt === b.attempt &&
    a.duration === b.duration &&
    a.from_cache === b.from_cache &&
    a.progress === b.progress &&
    a.note === b.note &&
    a.attempts === b.attempts &&
    (a.instances === b.instances || JSON.stringify(a.instances) === JSON.stringify(b.instances)) &&
    (a.copies === b.copies || JSON.stringify(a.copies) === JSON.stringify(b.copies))
  );
}
