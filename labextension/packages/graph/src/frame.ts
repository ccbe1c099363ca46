// SPDX-License-Identifier: BSD-3-Clause
/** The frame around an open group: its name, how its tasks stand, and the way to fold it. */

import { svg, write, writeText } from './dom.js';
import { HEADER, type IFrame } from './layout.js';
import type { FlowModel } from './model.js';
import { groupCounts } from './words.js';

export class FrameView {
  readonly element = svg('g', { class: 'nbflow-frame' });
  readonly #counts: SVGElement;
  readonly #button: SVGElement;
  readonly #members: readonly string[];

  constructor(
    private readonly frame: IFrame,
    private readonly model: FlowModel,
    fold: (group: string) => void
  ) {
    const { x, y, width, height, group, label } = frame;
    this.#members = model.ids.filter(id => id.startsWith(`${group}.`));
    this.#counts = svg('text', { class: 'nbflow-meta', x: x + width - 12, y: y + 20, 'text-anchor': 'end' });
    this.#button = svg('g', { class: 'nbflow-frame-name', role: 'button', tabindex: -1, 'aria-expanded': 'true' });
    this.#button.append(
      svg('rect', { class: 'nbflow-frame-hit', x: x + 1, y: y + 1, width: width - 2, height: HEADER - 4 }),
      svg('path', { class: 'nbflow-kind', d: 'M0 0l4 4 4-4', transform: `translate(${x + 12} ${y + 13})` }),
      svg('text', { x: x + 27, y: y + 20 }, `${label} `),
      this.#counts
    );
    this.#button.addEventListener('click', () => fold(group));
    this.element.append(
      svg('rect', { class: 'nbflow-frame-box', x: x + 0.5, y: y + 0.5, width: width - 1, height: height - 1, rx: 4 }),
      this.#button
    );
    this.update();
  }

  update(): void {
    const started = this.#members.some(id => this.model.task(id)?.state);
    const words = groupCounts(this.model.looks(this.#members), started);
    writeText(this.#counts, words);
    write(this.#button, 'aria-label', `Group ${this.frame.group}, ${words}, fold`);
  }
}
