// SPDX-License-Identifier: BSD-3-Clause
/** The last lines of the chosen task's log. It follows its end until somebody scrolls up. */

import { html, writeText } from '@nbflow/graph';

export interface ILogLine {
  /** As it is shown: `09:13:02.118`. */
  readonly time?: string;
  /** `W` and `E` are marked, all others are plain. */
  readonly level?: string;
  readonly text: string;
}

/** Older lines are dropped here; the whole log is kept by the run. */
const KEPT = 500;

export class LogTail {
  readonly element = html('div', 'nbflow-log');
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
    this.element.append(html('div', 'nbflow-log-head', this.#name, this.#title, this.#follow), this.#lines);
    this.#sayFollowing();
  }

  setTask(id: string | null): void {
    writeText(this.#name, id ?? '');
    this.element.hidden = id === null;
  }

  set(lines: readonly ILogLine[], title: string): void {
    writeText(this.#title, title);
    this.#lines.replaceChildren(...lines.slice(-KEPT).map(drawn));
    if (!lines.length) {
      this.#lines.append(html('div', 'nbflow-log-empty nbflow-quiet', 'No lines yet.'));
    }
    this.#toEnd();
  }

  append(lines: readonly ILogLine[]): void {
    this.#lines.querySelector('.nbflow-log-empty')?.remove();
    this.#lines.append(...lines.map(drawn));
    while (this.#lines.childElementCount > KEPT) {
      this.#lines.firstElementChild?.remove();
    }
    if (this.#following) {
      this.#toEnd();
    } else {
      this.#missed += lines.length;
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

function drawn(line: ILogLine): HTMLElement {
  const level = line.level === 'W' || line.level === 'E' ? line.level : '';
  const row = html(
    'div',
    'nbflow-log-line',
    html('span', 'nbflow-quiet', line.time ?? ''),
    html('span', '', level),
    html('span', 'nbflow-log-text', line.text)
  );
  if (level) {
    row.dataset['level'] = level;
  }
  return row;
}
