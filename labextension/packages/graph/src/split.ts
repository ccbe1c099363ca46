// SPDX-License-Identifier: BSD-3-Clause
/** A bar split by state, always in the same order, and the one state that stands for many. */

import type { LookName } from './glyphs.js';

export const BAR: readonly LookName[] = [
  'success',
  'cached',
  'running',
  'up_for_retry',
  'queued',
  'scheduled',
  'deferred',
  'up_for_reschedule',
  'awaiting_input',
  'failed',
  'upstream_failed',
  'cancelled',
  'skipped'
];

/** What somebody must look at comes first. */
export const LOUDEST: readonly LookName[] = [
  'failed',
  'upstream_failed',
  'awaiting_input',
  'up_for_retry',
  'running',
  'queued',
  'scheduled',
  'deferred',
  'cancelled'
];

/** What a folded group as a whole is: the loudest state any of its tasks is in. */
export function wholeLook(looks: ReadonlyMap<LookName, number>): LookName {
  const loud = LOUDEST.find(name => looks.get(name));
  if (loud) {
    return loud;
  }
  const has = (name: LookName): number => looks.get(name) ?? 0;
  let total = 0;
  looks.forEach(many => (total += many));
  if (has('success') + has('cached') + has('skipped') === total) {
    return has('success') ? 'success' : has('cached') ? 'cached' : 'skipped';
  }
  return has('pending') + has('removed') === total ? 'pending' : 'running';
}

/** The parts of a bar `width` wide. Every state that occurs gets two pixels at least. */
export function barParts(
  looks: ReadonlyMap<LookName, number>,
  total: number,
  width: number
): { name: LookName; x: number; wide: number }[] {
  const parts: { name: LookName; x: number; wide: number }[] = [];
  let x = 0;
  for (const name of BAR) {
    const many = looks.get(name) ?? 0;
    if (many && total) {
      const wide = Math.min(Math.max(2, (width * many) / total), width - x);
      parts.push({ name, x, wide });
      x += wide;
    }
  }
  return parts;
}
