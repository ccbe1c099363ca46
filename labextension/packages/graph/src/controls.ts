// SPDX-License-Identifier: BSD-3-Clause
/** The buttons over a graph: what to see of it, and how large. */

import { html, svg, write, writeText } from './dom.js';

export interface IControlActions {
  readonly zoom: (factor: number) => void;
  readonly fit: () => void;
  readonly foldAll: (folded: boolean) => void;
  readonly critical: (shown: boolean) => void;
}

export class Controls {
  readonly element = html('div', 'nbflow-controls');
  readonly #level = html('span', 'nbflow-zoom-level');
  readonly #fold: HTMLElement;
  readonly #critical: HTMLElement;

  constructor(actions: IControlActions) {
    this.#fold = button('Fold groups', 'Fold groups', () => actions.foldAll(!isPressed(this.#fold)));
    this.#critical = button('Critical path', 'Critical path', () => actions.critical(!isPressed(this.#critical)));
    this.element.setAttribute('role', 'toolbar');
    this.element.setAttribute('aria-label', 'View of the graph');
    this.element.append(
      this.#fold,
      this.#critical,
      button('Zoom out', icon('M3 8h10'), () => actions.zoom(0.8)),
      this.#level,
      button('Zoom in', icon('M3 8h10M8 3v10'), () => actions.zoom(1.25)),
      button('Fit the whole graph', 'Fit', actions.fit)
    );
    this.setGroups(0, false);
    this.setCritical(false, false);
  }

  setScale(scale: number): void {
    writeText(this.#level, `${Math.round(scale * 100)} %`);
  }

  /** How many groups there are, and whether all are folded. */
  setGroups(groups: number, folded: boolean): void {
    this.#fold.hidden = !groups;
    write(this.#fold, 'aria-pressed', String(folded));
  }

  /** Whether there is a critical path to show, and whether it is shown. */
  setCritical(known: boolean, shown: boolean): void {
    this.#critical.hidden = !known;
    write(this.#critical, 'aria-pressed', String(shown));
  }
}

function icon(path: string): SVGElement {
  const picture = svg('svg', {
    class: 'nbflow-icon',
    width: 16,
    height: 16,
    viewBox: '0 0 16 16',
    'aria-hidden': 'true'
  });
  picture.append(svg('path', { d: path }));
  return picture;
}

function button(label: string, face: string | SVGElement, act: () => void): HTMLElement {
  const one = html('button', 'nbflow-button', face);
  if (label !== face) {
    one.setAttribute('aria-label', label);
    one.title = label;
  }
  one.addEventListener('click', act);
  return one;
}

function isPressed(element: HTMLElement): boolean {
  return element.getAttribute('aria-pressed') === 'true';
}
