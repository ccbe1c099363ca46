// SPDX-License-Identifier: BSD-3-Clause
/** The JSON that a graph is drawn from: the payload of `application/vnd.nbflow.graph+json`, version 1. */

export type TaskState =
  | 'pending'
  | 'scheduled'
  | 'queued'
  | 'running'
  | 'success'
  | 'failed'
  | 'cancelled'
  | 'skipped'
  | 'upstream_failed'
  | 'up_for_retry'
  | 'up_for_reschedule'
  | 'deferred'
  | 'awaiting_input'
  | 'removed';

/** A task as it stands. Everything that may change while a run goes on. */
export interface ITaskStatus {
  /** null before any run. */
  readonly state: TaskState | null;
  readonly from_cache?: boolean;
  /** The engine's sentence, shown as it is. */
  readonly reason?: string;
  readonly attempt?: number;
  /** Seconds of the newest attempt, null when it has not started. */
  readonly duration?: number | null;
  /** From 0 to 1, where it is known. */
  readonly progress?: number | null;
  /** What the task last said of its progress. */
  readonly note?: string;
  /** Of a mapped task: how many of its copies stand in which state. */
  readonly copies?: Readonly<Partial<Record<TaskState, number>>> | null;
  /** Of a mapped task whose elements were counted: its copies, those that need somebody first. */
  readonly instances?: readonly ICopy[] | null;
}

/** One copy of a mapped task. */
export interface ICopy {
  readonly index: number;
  /** The element it was given, as it is shown: `'berlin'`. */
  readonly value?: string;
  readonly state: TaskState;
  readonly reason?: string;
  readonly attempt?: number;
  readonly duration?: number | null;
}

export interface ITask extends ITaskStatus {
  /** A dot in it is a group: `download.mainApp`. */
  readonly id: string;
  /** plain, branch, short-circuit, sensor, setup, teardown, approval, ... */
  readonly kind?: string;
  /** Attempts allowed. */
  readonly attempts?: number;
  readonly reads?: readonly string[];
  readonly writes?: readonly string[];
  readonly trigger_rule?: string;
  /** Of a mapped task: each element's name and the list it is taken from. */
  readonly map?: Readonly<Record<string, string>>;
}

/** `names` are the variables that travel; an edge without any only orders. */
export interface IEdge {
  readonly from: string;
  readonly to: string;
  readonly names?: readonly string[];
}

export interface IGraphPayload {
  readonly version?: number;
  readonly flow: string;
  readonly run_id?: string | null;
  readonly state?: TaskState | null;
  readonly tasks: readonly ITask[];
  readonly edges: readonly IEdge[];
  /** The graph in one sentence. */
  readonly sentence?: string;
  /** The panel that showed it: it sits there again wherever it still lives. */
  readonly panel?: string;
  /** What that panel showed last of a task's log. */
  readonly log?: { readonly task: string; readonly lines: readonly string[] };
  /** The run in a line: `Run manual__2026-03-14T07:12:04Z, failed, 48.0 s`. */
  readonly line?: string;
}

/** What changed, by task id. */
export type StatusDelta = Readonly<Record<string, Partial<ITaskStatus>>>;
