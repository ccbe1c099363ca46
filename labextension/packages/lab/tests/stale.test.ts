// SPDX-License-Identifier: BSD-3-Clause
import { describe, expect, it } from 'vitest';
import { checksum } from '../src/checksum.js';
import { stalenessOf } from '../src/stale.js';
import type { ITaskPayload } from '../src/task_cells.js';

const CELL = '%%task load\nrows = fetch()\n';

function task(id: string, more: Partial<ITaskPayload> = {}): ITaskPayload {
  return {
    id,
    state: 'success',
    code: checksum('rows = fetch()'),
    start: '2026-03-14T09:00:01Z',
    end: '2026-03-14T09:00:02Z',
    ...more
  };
}

describe('staleness', () => {
  it('is none while the code is as it was and what is read is older', () => {
    const later = { start: '2026-03-14T09:00:03Z', upstream: ['load'] };
    expect(
      stalenessOf([
        [CELL, task('load')],
        [CELL, task('join', later)],
        ['plain = 1', null]
      ]).size
    ).toBe(0);
  });

  it('begins with a changed cell and goes on to all that read it', () => {
    const found = stalenessOf([
      ['%%task load\nrows = fetch_all()', task('load')],
      [CELL, task('join', { start: '2026-03-14T09:00:03Z', upstream: ['load'] })],
      [CELL, task('report', { start: '2026-03-14T09:00:04Z', upstream: ['join'] })]
    ]);
    expect(found.get('load')).toBe('changed since its last run');
    expect(found.get('join')).toBe('load changed since its last run');
    expect(found.get('report')).toBe('join changed since its last run');
  });

  it('knows that something above ran again later', () => {
    const found = stalenessOf([
      [CELL, task('load', { end: '2026-03-14T10:00:00Z' })],
      [CELL, task('join', { upstream: ['load'] })]
    ]);
    expect([...found.keys()]).toEqual(['join']);
  });

  it('is none for what has never run, and none without what was defined', () => {
    const found = stalenessOf([
      ['%%task load\nother()', task('load', { start: null })],
      ['%%task old\nother()', { id: 'old', state: 'success', start: '2026-03-14T09:00:01Z' }]
    ]);
    expect(found.size).toBe(0);
  });

  it('does not mind options and empty lines', () => {
    expect(stalenessOf([['%%task load --retries 3\n\nrows = fetch()\n\n', task('load')]]).size).toBe(0);
  });
});

it('sums as Python does', () => {
  expect(checksum('y = x')).toBe(1966830066);
  expect(checksum('größe = 1')).toBe(2043388807);
});
