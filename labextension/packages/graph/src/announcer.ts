// SPDX-License-Identifier: BSD-3-Clause
/** Says ends of tasks to a screen reader, `tokenApp failed, 9 of 16 finished`, at most one message in five seconds. */

import { html } from './dom.js';
import { lookOf, LOOKS } from './glyphs.js';
import { isFinished, type FlowModel } from './model.js';
import { finished } from './words.js';

const EVERY = 5000;

export class Announcer {
  readonly element = html('div', 'nbflow-sr');
  #spoken = -Infinity;
  #timer: number | undefined;
  #ends: string[] = [];
  readonly #ended = new Map<string, boolean>();

  constructor(private readonly model: FlowModel) {
    this.element.setAttribute('aria-live', 'polite');
  }

  dispose(): void {
    window.clearTimeout(this.#timer);
  }

  /** Another flow: nothing of it has ended yet. */
  forget(): void {
    this.#ended.clear();
  }

  hear(changed: ReadonlySet<string>): void {
    for (const id of changed) {
      const task = this.model.task(id);
      const ended = task ? isFinished(task.state) : false;
      if (task && ended && this.#ended.get(id) === false) {
        this.#ends.push(`${id} ${LOOKS[lookOf(task)].word.replace('from cache', 'succeeded')}`);
      }
      this.#ended.set(id, ended);
    }
    if (this.#ends.length && this.#timer === undefined) {
      const wait = this.#spoken + EVERY - performance.now();
      if (wait <= 0) {
        this.#say();
      } else {
        this.#timer = window.setTimeout(() => this.#say(), wait);
      }
    }
  }

  #say(): void {
    this.#timer = undefined;
    this.#spoken = performance.now();
    const counts = `${finished(this.model.looks())} of ${this.model.ids.length} finished`;
    this.element.textContent = `${this.#ends.slice(-2).join(', ')}, ${counts}`;
    this.#ends = [];
  }
}
