// SPDX-License-Identifier: BSD-3-Clause
/** The tooltip that says why a task stands as it does: the sentence, up to six causes, then what it reads and gives. */

import { html } from './dom.js';
import { glyph, lookOf, LOOKS } from './glyphs.js';
import { isFinished, type FlowModel } from './model.js';
import { placeBeside, popUp } from './popup.js';
import { attemptWords, names, nodeLine, ruleWords, sentence, tally } from './words.js';

const CAUSES = 6;
const DELAY = 300;

export class Why {
  readonly element = html('div', 'nbflow-pop nbflow-why');
  #timer: number | undefined;
  #shown = '';

  constructor(private readonly model: FlowModel) {
    this.element.setAttribute('role', 'tooltip');
    this.element.popover = 'manual'; // in the top layer, where no output area cuts it off
    this.element.hidden = true;
  }

  /** Show it beside the first of these boxes, off the others, a little later or at once. */
  show(id: string, members: readonly string[], boxes: () => readonly DOMRect[], now = false): void {
    window.clearTimeout(this.#timer);
    this.#timer = window.setTimeout(
      () => {
        this.#shown = id;
        this.#fill(id, members);
        popUp(this.element, true);
        const [own, ...others] = boxes();
        placeBeside(this.element, own!, others);
      },
      now || this.#shown ? 0 : DELAY
    );
  }

  hide(): void {
    window.clearTimeout(this.#timer);
    if (this.#shown) {
      this.#shown = '';
      popUp(this.element, false);
    }
  }

  get isShown(): boolean {
    return Boolean(this.#shown);
  }

  /** Draws again what may have changed while it is shown. */
  refresh(changed: ReadonlySet<string>): void {
    if (this.#shown && changed.size && this.model.task(this.#shown)) {
      this.#fill(this.#shown, []);
    }
  }

  #fill(id: string, members: readonly string[]): void {
    const task = this.model.task(id);
    if (!task) {
      const looks = this.model.looks(members);
      this.element.replaceChildren(html('div', 'nbflow-why-title', html('b', '', id)), html('div', '', tally(looks)));
      return;
    }
    const look = lookOf(task);
    const word = task.state === null ? '' : LOOKS[look].word;
    const title = html('div', 'nbflow-why-title', glyph(look), html('b', '', id), html('span', 'nbflow-quiet', word));
    this.element.replaceChildren(
      title,
      html('div', 'nbflow-why-sentence', task.note || sentence(task, this.model)),
      ...this.#causes(id),
      ...this.#foot(id)
    );
  }

  #causes(id: string): HTMLElement[] {
    const task = this.model.task(id);
    if (!task || (task.state !== 'pending' && task.state !== 'upstream_failed')) {
      return [];
    }
    const open = this.model.upstream(id).flatMap(other => {
      const cause = this.model.task(other);
      return cause && (!isFinished(cause.state) || cause.state === 'failed' || cause.state === 'upstream_failed')
        ? [cause]
        : [];
    });
    const rows = open.slice(0, CAUSES).map(cause => {
      const line = html('span', 'nbflow-quiet nbflow-cut', nodeLine(cause, this.model));
      return html(
        'div',
        'nbflow-why-cause',
        glyph(lookOf(cause)),
        html('span', 'nbflow-cut', this.model.label(cause.id)),
        line
      );
    });
    const more = open.length - CAUSES;
    return more > 0 ? [...rows, html('div', 'nbflow-quiet', `${more} more`)] : rows;
  }

  #foot(id: string): HTMLElement[] {
    const task = this.model.task(id)!;
    const reads = task.reads?.length ? `reads ${names(task.reads)}` : '';
    const writes = task.writes?.length ? `gives ${names(task.writes)}` : '';
    const waits = isFinished(task.state) || task.state === 'running' ? '' : ruleWords(task, this.model);
    const left = waits || [reads, writes].filter(Boolean).join(', ');
    const right = attemptWords(task);
    return left || right
      ? [html('div', 'nbflow-why-foot', html('span', 'nbflow-cut', left), html('span', '', right))]
      : [];
  }
}
