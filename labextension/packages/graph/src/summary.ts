// SPDX-License-Identifier: BSD-3-Clause
/** The line above a graph: how the run stands, a bar split by state, and the same in words. */

import { html, writeText } from './dom.js';
import { glyph, LOOKS, type LookName } from './glyphs.js';
import type { FlowModel } from './model.js';
import { Pace } from './pace.js';
import { barParts } from './split.js';
import { count, duration, progressWords, tally } from './words.js';

export class Summary {
  readonly element = html('div', 'nbflow-summary');
  /** Where whoever uses this line puts its buttons. */
  readonly actions = html('div', 'nbflow-actions');
  readonly #mark = html('span', 'nbflow-summary-mark');
  readonly #title = html('span', 'nbflow-strong nbflow-cut');
  readonly #bar = html('div', 'nbflow-split');
  readonly #words = html('span', 'nbflow-quiet nbflow-cut');
  readonly #pace = new Pace(() => this.#draw());
  readonly #stop: () => void;
  #key = '';
  #elapsed: number | null = null;

  constructor(private readonly model: FlowModel) {
    this.#bar.setAttribute('role', 'img');
    this.element.append(this.#mark, this.#title, this.#bar, this.#words, this.actions);
    this.#stop = model.listen(() => this.#pace.ask());
    this.#draw();
  }

  dispose(): void {
    this.#stop();
    this.#pace.stop();
    this.element.remove();
  }

  /** How long the run has taken, where somebody counts. */
  setElapsed(seconds: number | null): void {
    this.#elapsed = seconds;
    this.#draw();
  }

  #draw(): void {
    const { state, flow } = this.model;
    const looks = this.model.looks();
    const started = this.model.tasks.some(task => task.state !== null);
    const look: LookName | null = state ?? null;
    const word = look ? LOOKS[look].word : '';
    const title = look ? `${word[0]!.toUpperCase()}${word.slice(1)}` : flow;
    const after = this.model.sentence.startsWith(`${flow}: `)
      ? this.model.sentence.slice(flow.length + 2)
      : this.model.sentence;
    writeText(
      this.#title,
      look && this.#elapsed !== null ? `${title}, ${duration(this.#elapsed).replace('.0 s', ' s')}` : title
    );
    writeText(this.#words, state === 'running' || (look && !after) ? progressWords(looks) : after);
    this.#words.title = this.model.sentence;
    this.#bar.hidden = !started;
    const total = count(looks);
    const parts = barParts(looks, total, 100);
    const key = JSON.stringify([look, parts]);
    if (key !== this.#key) {
      this.#key = key;
      this.#mark.replaceChildren(...(look ? [glyph(look)] : []));
      this.#bar.setAttribute('aria-label', tally(looks));
      this.#bar.replaceChildren(
        ...parts.map(({ name, wide }) => {
          const part = html('i', '');
          part.dataset['state'] = name;
          part.style.width = `${wide}%`;
          return part;
        })
      );
    }
  }
}
