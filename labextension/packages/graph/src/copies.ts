// SPDX-License-Identifier: BSD-3-Clause
/** The copies of a mapped task in a list, failed first, each named by its value. Arrow keys walk it, Enter opens one, Escape closes it. */

import { html } from './dom.js';
import { glyph, LOOKS } from './glyphs.js';
import { placeBeside, popUp } from './popup.js';
import { LOUDEST } from './split.js';
import type { ICopy, ITask } from './types.js';
import { attemptWords, took } from './words.js';

export class CopiesList {
  readonly element = html('div', 'nbflow-pop nbflow-copies-list');
  #shown = '';
  #leave: () => void = () => undefined;

  constructor(private readonly open: (id: string, copy: number) => void) {
    this.element.setAttribute('role', 'dialog');
    this.element.popover = 'manual';
    this.element.hidden = true;
    this.element.addEventListener('keydown', event => this.#key(event));
    this.element.addEventListener('focusout', event => {
      if (this.#shown && !this.element.contains(event.relatedTarget as Node | null)) {
        this.hide();
      }
    });
  }

  get isShown(): boolean {
    return Boolean(this.#shown);
  }

  /** Show the copies of `task` beside `anchor`; `leave` takes the focus back. */
  show(task: ITask, anchor: DOMRect, leave: () => void): void {
    this.#shown = task.id;
    this.#leave = leave;
    this.#fill(task);
    popUp(this.element, true);
    placeBeside(this.element, anchor);
    this.#rows()[0]?.focus();
  }

  hide(): void {
    if (this.#shown) {
      this.#shown = '';
      popUp(this.element, false);
    }
  }

  /** Draws again what may have changed while it is shown; the focus stays on its copy. */
  refresh(task: ITask | undefined): void {
    if (task && task.id === this.#shown) {
      const focused = (document.activeElement as HTMLElement | null)?.dataset['copy'];
      this.#fill(task);
      this.#rows()
        .find(row => row.dataset['copy'] === focused)
        ?.focus();
    }
  }

  get shownTask(): string {
    return this.#shown;
  }

  #fill(task: ITask): void {
    const copies = sorted(task.instances ?? []);
    const total = Object.values(task.copies ?? {}).reduce((sum, many) => sum + many, 0);
    const more = total - copies.length;
    this.element.setAttribute('aria-label', `Copies of ${task.id}`);
    const list = html('div', 'nbflow-copies-rows', ...copies.map(copy => this.#row(task, copy)));
    list.setAttribute('role', 'list');
    this.element.replaceChildren(
      html('div', 'nbflow-why-title', html('b', '', task.id), html('span', 'nbflow-quiet', `x ${total}`)),
      list,
      ...(more > 0 ? [html('div', 'nbflow-quiet', `${more} more`)] : [])
    );
  }

  #row(task: ITask, copy: ICopy): HTMLElement {
    const status: ITask = { ...copy, id: task.id, attempts: task.attempts ?? 1 };
    const words = copy.state === 'success' ? '' : (copy.reason ?? '') || LOOKS[copy.state].word;
    const said = html('span', 'nbflow-quiet nbflow-cut', words);
    said.title = words;
    const times = [took(status), attemptWords(status)].filter(Boolean).join(', ');
    const row = html(
      'button',
      'nbflow-copy',
      glyph(copy.state),
      html('span', 'nbflow-strong nbflow-cut', copy.value ?? `copy ${copy.index}`),
      said,
      html('span', 'nbflow-quiet', times)
    );
    row.dataset['copy'] = String(copy.index);
    row.setAttribute(
      'aria-label',
      [copy.value ?? `copy ${copy.index}`, LOOKS[copy.state].word, words, times].join(', ')
    );
    row.addEventListener('click', () => {
      this.hide();
      this.open(task.id, copy.index);
    });
    const item = html('div', '', row);
    item.setAttribute('role', 'listitem');
    return item;
  }

  #rows(): HTMLElement[] {
    return [...this.element.querySelectorAll<HTMLElement>('.nbflow-copy')];
  }

  #key(event: KeyboardEvent): void {
    const rows = this.#rows();
    const at = rows.indexOf(document.activeElement as HTMLElement);
    const moves: Readonly<Record<string, number>> = {
      ArrowDown: at + 1,
      ArrowUp: at - 1,
      Home: 0,
      End: rows.length - 1
    };
    const to = moves[event.key];
    if (event.key === 'Escape') {
      this.hide();
      this.#leave();
    } else if (to !== undefined) {
      rows[Math.min(rows.length - 1, Math.max(0, to))]?.focus();
    } else {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  }
}

/** What somebody must look at first: as a folded group chooses its look. */
function sorted(copies: readonly ICopy[]): ICopy[] {
  const rank = (copy: ICopy): number => {
    const place = LOUDEST.indexOf(copy.state);
    return place < 0 ? LOUDEST.length : place;
  };
  return [...copies].sort((a, b) => rank(a) - rank(b) || a.index - b.index);
}
