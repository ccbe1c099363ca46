// SPDX-License-Identifier: BSD-3-Clause
/** How a node stands, in everything that is drawn of it: the same for an element, for a canvas and for a screen reader. */

import { lookOf, type LookName } from './glyphs.js';
import type { INode } from './layout.js';
import { isMapped, type FlowModel } from './model.js';
import { barParts, wholeLook } from './split.js';
import type { ITask } from './types.js';
import { finished, groupCounts, nodeLine, percent, spoken, tally } from './words.js';

export interface IBarPart {
  readonly name: LookName;
  readonly x: number;
  readonly wide: number;
}

export interface IStanding {
  readonly look: LookName;
  /** The second line. */
  readonly line: string;
  /** At the right of the name: `x 128`. */
  readonly beside: string;
  /** What a screen reader says. */
  readonly spoken: string;
  /** The bar along the lower edge, split by state. */
  readonly bars: readonly IBarPart[];
  /** From 0 to 1 along the lower edge, where it is known. */
  readonly progress: number | null;
  /** It stands for copies: drawn on a stack of paper. */
  readonly stacked: boolean;
  /** It lies on the critical path. */
  readonly critical: boolean;
}

/** Task ids on the critical path with their share of its time; empty while it is not shown. */
export type Shares = ReadonlyMap<string, number>;

export function standing(place: INode, model: FlowModel, shares: Shares): IStanding {
  const task = model.task(place.id);
  return task ? ofTask(place, task, model, shares) : ofGroup(place, model, shares);
}

function ofTask(place: INode, task: ITask, model: FlowModel, shares: Shares): IStanding {
  const share = shares.get(task.id);
  const own = task.copies ? ofCopies(place, task.id, task.copies) : undefined;
  // The bar says the progress; beside a share a second per cent would only be mistaken for it.
  const line = own?.line ?? nodeLine(share === undefined ? task : { ...task, progress: null }, model);
  return {
    look: lookOf(task),
    line: share === undefined ? line : `${line}, ${percent(share)}`,
    beside: '',
    spoken: spoken(task, model) + (share === undefined ? '' : `, ${percent(share)} of the critical path`),
    bars: [],
    progress: task.state === 'running' && typeof task.progress === 'number' ? clamped(task.progress) : null,
    stacked: isMapped(task),
    critical: share !== undefined,
    ...(own ? { beside: own.beside, bars: own.bars, spoken: own.spoken, progress: null } : {})
  };
}

function ofCopies(
  place: INode,
  id: string,
  copies: NonNullable<ITask['copies']>
): { line: string; beside: string; bars: IBarPart[]; spoken: string } {
  const looks = new Map(Object.entries(copies) as [LookName, number][]);
  const total = [...looks.values()].reduce((sum, many) => sum + many, 0);
  const failed = looks.get('failed') ?? 0;
  const line = `${finished(looks)} of ${total}${failed ? `, ${failed} failed` : ''}`;
  return {
    line,
    beside: `x ${total}`,
    bars: barParts(looks, total, place.width - 4),
    spoken: `${id}, ${line}, x ${total}, ${tally(looks)}`
  };
}

function ofGroup(place: INode, model: FlowModel, shares: Shares): IStanding {
  const { members, id } = place;
  const looks = model.looks(members);
  const started = members.some(member => model.task(member)?.state);
  const line = groupCounts(looks, started);
  return {
    look: wholeLook(looks),
    line,
    beside: '',
    spoken: `Group ${id}, ${line}${started ? `, ${tally(looks)}` : ''}, folded`,
    bars: barParts(looks, members.length, place.width - 4),
    progress: null,
    stacked: false,
    critical: members.some(member => shares.has(member))
  };
}

function clamped(part: number): number {
  return Math.min(1, Math.max(0, part));
}
