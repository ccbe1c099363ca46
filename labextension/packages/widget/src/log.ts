// SPDX-License-Identifier: BSD-3-Clause
/** What the chosen task showed: lines, pictures, tracebacks. It follows its end until somebody scrolls up. Nothing of it is ever executed. */

import { html, writeText } from '@nbflow/graph';
import { coloured } from './ansi.js';

/** A line, or a picture that came between two lines. */
export interface ILogEntry {
  /** As it is shown: `09:13:02.118`. */
  readonly time?: string;
  /** `W` and `E` are marked, all others are plain. */
  readonly level?: string;
  readonly text?: string;
  /** A `data:` URL; `text` then says what it is. */
  readonly image?: string;
}

/** Older lines are dropped here; the whole log is kept by the run. */
const KEPT = 500;

export class LogTail {
  readonly element = html('div', 'nbflow-log');
  /** What can be done with the chosen task. */
  readonly actions = html('span', 'nbflow-actions');
  readonly #name = html('span', 'nbflow-strong nbflow-cut');
  readonly #title = html('span', 'nbflow-quiet nbflow-cut');
  readonly #follow = html('button', 'nbflow-link nbflow-log-follow');
  readonly #lines = html('div', 'nbflow-log-lines');
  #following = true;
  #missed = 0;

  constructor() {
    this.element.hidden = true;
    this.#lines.setAttribute('role', 'log');
    this.#lines.setAttribute('aria-live', 'off');
    this.#lines.setAttribute('aria-label', 'Log');
    this.#lines.tabIndex = 0;
    this.#lines.addEventListener('scroll', () => this.#scrolled());
    this.#follow.addEventListener('click', () => this.#toEnd());
    this.element.append(
      html('div', 'nbflow-log-head', this.#name, this.#title, this.#follow, this.actions),
      this.#lines
    );
    this.#sayFollowing();
  }

  /** `live`: more may come. */
  setLive(live: boolean): void {
    this.#follow.hidden = !live;
  }

  setTask(id: string | null): void {
    writeText(this.#name, id ?? '');
    this.#name.title = id ?? '';
    this.element.hidden = id === null;
  }

  set(entries: readonly ILogEntry[], title: string): void {
    writeText(this.#title, title);
    this.#lines.replaceChildren(...entries.slice(-KEPT).map(drawn));
    if (!entries.length) {
      this.#lines.append(html('div', 'nbflow-log-empty nbflow-quiet', 'No lines yet.'));
    }
    this.#lines.classList.toggle(
      'nbflow-mod-timed',
      entries.some(entry => entry.time)
    );
    this.#toEnd();
  }

  /** More of it, in the place of its last entries. */
  append(entries: readonly ILogEntry[], insteadOf = 0): void {
    this.#lines.querySelector('.nbflow-log-empty')?.remove();
    for (let count = 0; count < insteadOf; count++) {
      this.#lines.lastElementChild?.remove();
    }
    if (entries.some(entry => entry.time)) {
      this.#lines.classList.add('nbflow-mod-timed');
    }
    this.#lines.append(...entries.map(drawn));
    while (this.#lines.childElementCount > KEPT) {
      this.#lines.firstElementChild?.remove();
    }
    if (this.#following) {
      this.#toEnd();
    } else {
      this.#missed += entries.length;
      this.#sayFollowing();
    }
  }

  #scrolled(): void {
    const { scrollTop, scrollHeight, clientHeight } = this.#lines;
    this.#following = scrollHeight - clientHeight - scrollTop < 24;
    this.#missed = this.#following ? 0 : this.#missed;
    this.#sayFollowing();
  }

  #toEnd(): void {
    this.#following = true;
    this.#missed = 0;
    this.#lines.scrollTop = this.#lines.scrollHeight;
    this.#sayFollowing();
  }

  #sayFollowing(): void {
    const more = this.#missed === 1 ? '1 new line' : `${this.#missed} new lines`;
    writeText(this.#follow, this.#following ? 'following' : this.#missed ? more : 'Follow');
    this.#follow.disabled = this.#following;
  }
}

function drawn(entry: ILogEntry): HTMLElement {
  const level = entry.level === 'W' || entry.level === 'E' ? entry.level : '';
  const row = html(
    'div',
    'nbflow-log-line',
    html('span', 'nbflow-quiet nbflow-log-time', entry.time ?? ''),
    html('span', '', level),
    entry.image?.startsWith('data:image/')
      ? picture(entry.image, entry.text ?? '')
      : html('span', 'nbflow-log-text', ...coloured(entry.text ?? ''))
  );
  if (level) {
    row.dataset['level'] = level;
  }
  return row;
}

/** As a picture even SVG is dead: no script of it runs and nothing is fetched. */
function picture(url: string, alt: string): HTMLImageElement {
  const image = html('img', 'nbflow-log-image');
  image.src = url;
  image.alt = alt;
  return image;
}
