// SPDX-License-Identifier: BSD-3-Clause
/** What keys mean on a graph. A key that means nothing here is left to the page. */

import type { Direction } from './walk.js';

const ARROWS: Readonly<Record<string, Direction>> = {
  ArrowLeft: 'left',
  ArrowRight: 'right',
  ArrowUp: 'up',
  ArrowDown: 'down'
};

/** What a graph does with the node that has the focus. */
export interface IKeyActions {
  readonly walk: (id: string, direction: Direction) => void;
  readonly first: () => void;
  readonly last: () => void;
  readonly enter: (id: string) => void;
  readonly fold: (id: string) => void;
  readonly nextFailed: (id: string, step: number) => void;
  readonly explain: (id: string) => void;
  readonly zoom: (factor: number) => void;
  readonly fit: () => void;
  readonly escape: () => void;
  /** Whether this key of `l o r x` did something. */
  readonly task: (key: string, id: string) => boolean;
}

/** Answers key presses while `focused` says which node has the focus. */
export function keyHandler(actions: IKeyActions, focused: () => string | null): (event: KeyboardEvent) => void {
  const meanings: Readonly<Record<string, (id: string, shift: boolean) => void>> = {
    Home: actions.first,
    End: actions.last,
    Enter: actions.enter,
    ' ': actions.fold,
    '.': id => actions.nextFailed(id, 1),
    ':': id => actions.nextFailed(id, -1),
    w: actions.explain,
    '+': () => actions.zoom(1.25),
    '=': () => actions.zoom(1.25),
    '-': () => actions.zoom(0.8),
    '0': actions.fit,
    Escape: actions.escape
  };
  const press = (key: string, id: string, shift: boolean): boolean => {
    const direction = ARROWS[key];
    if (direction) {
      actions.walk(id, direction);
      return true;
    }
    const meaning = meanings[key === '.' && shift ? ':' : key];
    meaning?.(id, shift);
    return meaning !== undefined || actions.task(key, id);
  };
  return event => {
    const id = focused();
    if (id && !event.ctrlKey && !event.metaKey && !event.altKey && press(event.key, id, event.shiftKey)) {
      event.preventDefault();
      event.stopPropagation();
    }
  };
}
