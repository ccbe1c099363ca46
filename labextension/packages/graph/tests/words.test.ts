// SPDX-License-Identifier: BSD-3-Clause
import { describe, expect, it } from 'vitest';
import { FlowModel } from '../src/model.js';
import { duration, groupCounts, names, nodeLine, spoken } from '../src/words.js';
import type { ITask } from '../src/types.js';
import { edge, payload, task } from './flows.js';

describe('durations', () => {
  it.each([
    [0, '0.0 s'],
    [12.44, '12.4 s'],
    [59.96, '1 m 00 s'],
    [108, '1 m 48 s'],
    [7_500, '2 h 05 m'],
    [273_600, '3 d 04 h']
  ])('%d seconds are %s', (seconds, said) => expect(duration(seconds)).toBe(said));
});

describe('the second line of a node', () => {
  const cases: [Partial<ITask>, string][] = [
    [{ state: null }, 'gives x'],
    [{ state: 'success', duration: 12.4 }, '12.4 s'],
    [{ state: 'success', from_cache: true, duration: 3 }, 'from cache'],
    [{ state: 'running', duration: 24, progress: 0.629 }, '24.0 s, 62 %'],
    [{ state: 'failed', duration: 0.9, attempt: 3 }, '0.9 s, 3 attempts'],
    [{ state: 'failed', duration: 0.9, attempt: 1 }, '0.9 s, failed'],
    [{ state: 'skipped', reason: 'Skipped: check chose all_quiet.' }, 'not chosen'],
    [{ state: 'upstream_failed', reason: 'Did not run: join failed.' }, 'join failed'],
    [
      { state: 'up_for_retry', attempt: 1, reason: 'Attempt 2 of 3 starts in 18 s. Attempt 1 failed: no.' },
      '2 of 3 in 18 s'
    ],
    [{ state: 'pending', reason: 'Waiting for 5 of 9 upstream tasks: a, b.' }, 'waits for 5 of 9'],
    [{ state: 'pending', reason: 'Waiting for train.' }, 'waits for train'],
    [{ state: 'queued' }, 'queued'],
    [{ state: 'deferred' }, 'asleep until its trigger']
  ];
  it.each(cases)('%j is %s', (status, line) => {
    const model = new FlowModel();
    const one = task('a', { attempts: 3, writes: ['x', 'private'], ...status });
    model.update(payload([one, task('b')], [edge('a', 'b', 'x')]));
    expect(nodeLine(one, model)).toBe(line);
  });
});

it('says a name, a state and the time to a screen reader', () => {
  const model = new FlowModel();
  expect(spoken(task('a', { state: 'success', duration: 3.2 }), model)).toBe('a, 3.2 s, succeeded');
});

it('counts a group as finished, failed or whole', () => {
  expect(
    groupCounts(
      new Map([
        ['success', 4],
        ['running', 5]
      ]),
      true
    )
  ).toBe('4 of 9');
  expect(
    groupCounts(
      new Map([
        ['success', 8],
        ['failed', 1]
      ]),
      true
    )
  ).toBe('1 of 9 failed');
  expect(groupCounts(new Map([['success', 9]]), true)).toBe('9 tasks');
});

it('lists six names at most', () => {
  expect(names(['a', 'b', 'c'])).toBe('a, b and c');
  expect(names(['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'])).toBe('a, b, c, d, e, f and 2 more');
});
