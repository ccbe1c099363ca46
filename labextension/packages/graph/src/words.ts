// SPDX-License-Identifier: BSD-3-Clause
/** Every word the views add to the engine's own sentences, in one place. As nbflow/views/words.py. */

import { LOOKS, lookOf, type LookName } from './glyphs.js';
import { round } from './numbers.js';
import type { FlowModel } from './model.js';
import type { ITask } from './types.js';

/** `12.4 s`, `1 m 48 s`, `2 h 05 m`, `3 d 04 h`. */
export function duration(seconds: number): string {
  if (seconds < 59.95) {
    return `${seconds.toFixed(1)} s`;
  }
  const whole = round(seconds);
  const two = (value: number): string => String(Math.floor(value)).padStart(2, '0');
  if (whole < 3_600) {
    return `${Math.floor(whole / 60)} m ${two(whole % 60)} s`;
  }
  if (whole < 86_400) {
    return `${Math.floor(whole / 3_600)} h ${two((whole % 3_600) / 60)} m`;
  }
  return `${Math.floor(whole / 86_400)} d ${two((whole % 86_400) / 3_600)} h`;
}

/** `1 task`, `2 tasks`. */
export function plural(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`;
}

export function took(task: ITask): string {
  return task.duration === null || task.duration === undefined || task.from_cache ? '' : duration(task.duration);
}

/** `attempt 3 of 3` where there was more than one, else nothing. */
export function attemptWords(task: ITask): string {
  const attempt = task.attempt ?? 0;
  return attempt > 1 ? `attempt ${attempt} of ${Math.max(task.attempts ?? 0, attempt)}` : '';
}

/** The second line of a node: a duration, then what matters; a few words, never the whole sentence. */
export function nodeLine(task: ITask, model: FlowModel): string {
  if (task.from_cache) {
    return 'from cache';
  }
  const attempt = task.attempt ?? 0;
  const reason = task.reason ?? '';
  const many = attempt > 1 ? `${attempt} attempts` : '';
  switch (task.state) {
    case null:
      return gives(task, model) || 'not started';
    case 'running':
      return joined(took(task) || 'running', attemptWords(task), progress(task));
    case 'success':
      return joined(took(task) || 'succeeded', many);
    case 'failed':
      return joined(took(task), many || 'failed');
    case 'cancelled':
      return joined(took(task), 'cancelled');
    case 'skipped':
      return /^Skipped: \S+ chose /.test(reason) ? 'not chosen' : after(reason, 'Skipped: ') || 'skipped';
    case 'upstream_failed':
      return after(reason, 'Did not run: ') || 'not run';
    case 'up_for_retry':
      return retry(task, attempt, reason);
    case 'pending':
      return waits(reason) || 'not started';
    default:
      return LOOKS[lookOf(task)].word;
  }
}

function joined(...parts: string[]): string {
  return parts.filter(Boolean).join(', ');
}

function progress(task: ITask): string {
  return task.progress === null || task.progress === undefined ? '' : percent(task.progress);
}

/** `62 %`; whole, and never more than is done. */
export function percent(part: number): string {
  return `${Math.floor(part * 100)} %`;
}

function retry(task: ITask, attempt: number, reason: string): string {
  const starts = /starts (now|in \d[^A-Z]*?)\.(?:\s|$)/.exec(reason);
  const coming = `${attempt + 1} of ${Math.max(task.attempts ?? 1, attempt + 1)}`;
  return starts ? `${coming} ${starts[1]}` : `attempt ${coming} to come`;
}

/** Before any run: what the task gives, since that is what the edges carry. */
function gives(task: ITask, model: FlowModel): string {
  const wanted = new Set(model.edges.filter(edge => edge.from === task.id).flatMap(edge => edge.names ?? []));
  const names = (task.writes ?? []).filter(name => wanted.has(name));
  return names.length ? `gives ${names.join(', ')}` : '';
}

function after(reason: string, start: string): string {
  return reason.startsWith(start) ? reason.slice(start.length).replace(/\.+$/, '') : '';
}

/** `waits for train`, `waits for 5 of 9`. */
function waits(reason: string): string {
  if (!reason.startsWith('Waiting for ')) {
    return '';
  }
  const what = reason.slice('Waiting for '.length).split(':')[0]!.replace(/\.+$/, '');
  return `waits for ${what.replace(/ upstream tasks$/, '')}`;
}

/** The whole sentence: the recorded reason as it is, else the state in a word. */
export function sentence(task: ITask, model: FlowModel): string {
  if (task.reason) {
    return task.reason;
  }
  if (task.state === null) {
    const above = model.upstream(task.id);
    return above.length ? `Waits for ${names(above)}.` : 'Waits for nothing.';
  }
  const { word } = LOOKS[lookOf(task)];
  return `${word[0]!.toUpperCase()}${word.slice(1)}.`;
}

/** `a`, `a and b`, `a, b and c`, or six names `and 3 more`. */
export function names(list: readonly string[]): string {
  if (list.length > 6) {
    return `${list.slice(0, 6).join(', ')} and ${list.length - 6} more`;
  }
  return [list.slice(0, -1).join(', '), list.at(-1) ?? ''].filter(Boolean).join(' and ');
}

/** What a screen reader says of a node, first what is seen in it: `tokenApp, 2 of 3 in 18 s, waits to be retried`. */
export function spoken(task: ITask, model: FlowModel): string {
  const word = task.state === null ? '' : LOOKS[lookOf(task)].word;
  const line = nodeLine(task, model);
  const attempts = line.includes('attempt') ? '' : attemptWords(task);
  return joined(task.id, line, line.includes(word) ? '' : word, attempts);
}

/** `9 tasks` before a run and when all went well, `4 of 9` on the way, `1 of 9 failed` as soon as it is so. */
export function groupCounts(looks: ReadonlyMap<LookName, number>, started: boolean): string {
  const total = count(looks);
  const failed = looks.get('failed') ?? 0;
  if (failed) {
    return `${failed} of ${total} failed`;
  }
  const done = finished(looks);
  return started && done < total ? `${done} of ${total}` : plural(total, 'task');
}

export function count(looks: ReadonlyMap<LookName, number>): number {
  let total = 0;
  looks.forEach(many => (total += many));
  return total;
}

export function finished(looks: ReadonlyMap<LookName, number>): number {
  const ends: LookName[] = ['success', 'cached', 'failed', 'cancelled', 'skipped', 'upstream_failed', 'removed'];
  return ends.reduce((total, name) => total + (looks.get(name) ?? 0), 0);
}

/** `2 succeeded, 1 running`. */
export function tally(looks: ReadonlyMap<LookName, number>): string {
  return [...looks].map(([name, many]) => `${many} ${LOOKS[name].word}`).join(', ');
}

/** `6 of 8 finished, 1 failed`. */
export function progressWords(looks: ReadonlyMap<LookName, number>): string {
  const failed = looks.get('failed') ?? 0;
  return joined(`${finished(looks)} of ${count(looks)} finished`, failed ? `${failed} failed` : '');
}

const RULES: Readonly<Record<string, string>> = {
  all_success: 'succeed',
  all_failed: 'failed',
  all_done: 'have ended',
  all_skipped: 'are skipped',
  none_failed: 'have ended and none failed'
};

/** When a task starts: `Starts when all 9 succeed (all_success)`; nothing for one that waits for no other. */
export function ruleWords(task: ITask, model: FlowModel): string {
  const above = model.upstream(task.id).length;
  const rule = task.trigger_rule ?? 'all_success';
  if (!above) {
    return '';
  }
  if (above === 1 && rule === 'all_success') {
    return `Starts when ${model.label(model.upstream(task.id)[0]!)} succeeds`;
  }
  const when = RULES[rule];
  return when ? `Starts when all ${above} ${when} (${rule})` : `Starts by the rule ${rule}`;
}
