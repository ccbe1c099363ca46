// SPDX-License-Identifier: BSD-3-Clause
/** What a graph tells whoever shows it, and how large it may be. */

import type { Verb } from './now.js';

/** What of a task is opened: all of it, its log, its outputs; of a mapped task one copy. */
export interface IOpening {
  readonly part?: 'log' | 'outputs';
  readonly copy?: number;
}

export interface IGraphOptions {
  /** A person chose a task; null: none. */
  readonly onSelect?: (id: string | null) => void;
  /** A person asked for a task's details (Enter, double click, `l`, `o`, a copy of a mapped task). */
  readonly onOpen?: (id: string, what: IOpening) => void;
  /** A person asked to do something (`r`, `x`); absent: these keys mean nothing. */
  readonly onAct?: (verb: Verb, id: string) => void;
  /** Pixels; a larger drawing is scaled down, then scrolled. */
  readonly maxHeight?: number;
}
