// SPDX-License-Identifier: BSD-3-Clause
/** The graph in words: one line for each task that runs, waits for something or failed, with its sentence and what can be done. */

import { html } from './dom.js';
import { glyph, lookOf, type LookName } from './glyphs.js';
import type { FlowModel } from './model.js';
import { Pace } from './pace.js';
import type { ITask } from './types.js';
import { duration, sentence } from './words.js';

/** First who can act, then who waits. */
const ORDER: readonly LookName[] = [
  'running',
  'awaiting_input',
  'up_for_retry',
  'failed',
  'queued',
  'scheduled',
  'deferred',
  'up_for_reschedule',
  'upstream_failed'
];
const LINES = 5;

export type Verb = 'cancel' | 'retry';

export interface INowOptions {
  readonly onSelect?: (id: string) => void;
  /** Present: lines carry buttons. */
  readonly onAct?: (verb: Verb, id: string) => void;
}

export class NowStrip {
  readonly element = html('div', 'nbflow-now');
  readonly #pace = new Pace(() => this.#draw(), 250);
  readonly #stop: () => void;
  #selected: string | null = null;
  #key = '';

  constructor(
    private readonly model: FlowModel,
    private readonly options: INowOptions = {}
  ) {
    this.element.setAttribute('role', 'list');
    this.element.setAttribute('aria-label', 'Now');
    this.#stop = model.listen(() => this.#pace.ask());
    this.#draw();
  }

  dispose(): void {
    this.#stop();
    this.#pace.stop();
    this.element.remove();
  }

  select(id: string | null): void {
    this.#selected = id;
    this.#draw();
  }

  #draw(): void {
    const tasks = this.#chosen();
    const shown = tasks.slice(0, LINES);
    const rows = shown.map(task => this.#words(task));
    const key = JSON.stringify([this.#selected, tasks.length, ...rows, ...shown.map(task => [task.id, task.state])]);
    if (key === this.#key) {
      return;
    }
    this.#key = key;
    this.element.hidden = !shown.length;
    const more = tasks.length - shown.length;
    this.element.replaceChildren(
      ...shown.map((task, row) => this.#line(task, rows[row]!)),
      ...(more > 0 ? [html('div', 'nbflow-now-more nbflow-quiet', `${more} more`)] : [])
    );
    this.element.lastElementChild?.setAttribute('role', 'listitem');
  }

  #chosen(): ITask[] {
    const rank = new Map(ORDER.map((name, place) => [name as string, place]));
    const wanted = this.model.tasks.filter(task => rank.has(lookOf(task)) && task.state !== null);
    const next = this.model.tasks.filter(task => task.state === 'pending' && this.#waitsForRunning(task.id));
    wanted.sort((a, b) => rank.get(lookOf(a))! - rank.get(lookOf(b))!);
    return wanted.some(task => task.state === 'running') ? [...wanted, ...next] : wanted;
  }

  /** What comes next: everything it waits for has ended or runs. */
  #waitsForRunning(id: string): boolean {
    const states = this.model.upstream(id).map(other => this.model.task(other)?.state);
    return (
      states.includes('running') &&
      states.every(state => state === 'running' || state === 'success' || state === 'skipped')
    );
  }

  #words(task: ITask): string {
    if (task.state === 'running' && typeof task.duration === 'number') {
      const running = `Running for ${duration(task.duration)}.`;
      return task.note
        ? `${task.note}. ${running}`
        : (task.reason ?? '').startsWith('Running,')
          ? `${task.reason ?? ''} ${running}`
          : running;
    }
    return sentence(task, this.model);
  }

  #line(task: ITask, words: string): HTMLElement {
    const line = html('div', 'nbflow-now-line');
    line.setAttribute('role', 'listitem');
    if (task.id === this.#selected) {
      line.dataset['selected'] = 'true';
    }
    const label = this.model.label(task.id);
    const name = this.options.onSelect
      ? html('button', 'nbflow-link nbflow-cut', label)
      : html('span', 'nbflow-strong nbflow-cut', label);
    name.title = task.id;
    name.addEventListener('click', () => this.options.onSelect?.(task.id));
    const said = html('span', 'nbflow-quiet nbflow-cut', words);
    said.title = words;
    line.append(glyph(lookOf(task)), name, said, ...this.#buttons(task));
    return line;
  }

  #buttons(task: ITask): HTMLElement[] {
    const act = this.options.onAct;
    if (!act) {
      return [];
    }
    const verb: Verb | undefined = task.state === 'running' ? 'cancel' : task.state === 'failed' ? 'retry' : undefined;
    if (!verb) {
      return [];
    }
    const button = html('button', 'nbflow-button', verb === 'cancel' ? 'Cancel' : 'Retry from here');
    button.setAttribute('aria-label', verb === 'cancel' ? `Cancel ${task.id}` : `Retry from here: ${task.id}`);
    button.addEventListener('click', () => act(verb, task.id));
    return [button];
  }
}
