// SPDX-License-Identifier: BSD-3-Clause
/** One node: a task, a mapped task with its copies, or a folded group. Its box never changes; what is in it does. */

import { svg, write, writeText } from './dom.js';
import { glyphShapes, LOOKS, MARKS, type LookName } from './glyphs.js';
import { NAME_LEFT, NAME_RIGHT, type INode } from './layout.js';
import { isMapped, type FlowModel } from './model.js';
import { standing, type IBarPart, type IStanding, type Shares } from './standing.js';
import { fit, textWidth } from './text.js';

/** What an element of a node is to the graph. */
export interface INodeElement {
  readonly element: SVGElement;
  update(): void;
}

/** Marks at the right of the second line, on a 12 px grid. */
const KINDS: Readonly<Record<string, string>> = {
  branch: 'M1 6h3c2 0 2-3.5 4-3.5h2M4 6c2 0 2 3.5 4 3.5h2M8.5 1l1.7 1.5L8.5 4M8.5 8l1.7 1.5L8.5 11',
  'short-circuit': 'M6.8 1L2.6 6.8h3L5.2 11l4.2-5.8h-3z',
  'latest-only': 'M6.8 1L2.6 6.8h3L5.2 11l4.2-5.8h-3z',
  sensor: 'M1 6c2.6-4 7.4-4 10 0-2.6 4-7.4 4-10 0zM4.6 6a1.4 1.4 0 1 0 2.8 0 1.4 1.4 0 1 0-2.8 0z',
  approval: 'M3 6.5V3.4m2 2.6V2m2 4V2.4m2 3.8V3.6M9 6v2a3 3 0 0 1-6 .2L1.6 6.4',
  setup: 'M7.2 4.8L2 10m4.4-6.4a2.4 2.4 0 0 1 3-1.3L8 3.7l.4.4 1.4-1.4a2.4 2.4 0 0 1-3.2 3',
  teardown: 'M7.2 4.8L2 10m4.4-6.4a2.4 2.4 0 0 1 3-1.3L8 3.7l.4.4 1.4-1.4a2.4 2.4 0 0 1-3.2 3'
};
const CARET = 'M0 0l4 4-4 4';
const BAR_HEIGHT = 3;
/** Sizes of the two lines. */
const NAME = 13;
const META = 11;

export class NodeView implements INodeElement {
  readonly element: SVGElement;
  /** How it is drawn now. */
  look: LookName = 'pending';

  readonly #glyph = svg('g', { class: 'nbflow-ink', transform: 'translate(12 14)' });
  readonly #box: SVGElement;
  readonly #meta = svg('text', { class: 'nbflow-meta', x: NAME_LEFT, y: 34 });
  readonly #bars = svg('g', { class: 'nbflow-bars' });
  readonly #beside = svg('text', { class: 'nbflow-meta nbflow-copies', y: 19, 'text-anchor': 'end' });
  readonly #mark = svg('path', { class: 'nbflow-far-mark' });
  #drawn: LookName | '' = '';
  #barKey = '';

  constructor(
    readonly place: INode,
    private readonly model: FlowModel,
    private readonly shares: () => Shares
  ) {
    const { width, height, id, label } = place;
    this.element = svg('g', {
      class: 'nbflow-node',
      transform: `translate(${place.x} ${place.y})`,
      role: 'button',
      tabindex: -1
    });
    this.element.dataset['id'] = id;
    const task = model.task(id);
    const mapped = isMapped(task);
    const right = width - NAME_LEFT - NAME_RIGHT - (place.members.length ? 12 : mapped ? 36 : 0);
    const name = svg('text', { class: 'nbflow-name', x: NAME_LEFT, y: 19 });
    writeLine(name, label, right, NAME, true);
    const inner = { x: 0.5, y: 0.5, width: width - 1, height: height - 1, rx: 4 };
    this.#box = svg('rect', { class: 'nbflow-box', ...inner });
    if (mapped) {
      this.element.append(
        ...[6, 3].map(by => svg('rect', { ...inner, class: 'nbflow-paper', x: by + 0.5, y: by + 0.5 }))
      );
    }
    const critical = svg('rect', { class: 'nbflow-critical-mark', width: 2, height });
    this.element.append(this.#box, critical, this.#bars, this.#glyph, name, this.#meta, this.#far(), ring(place));
    this.#beside.setAttribute('x', String(width - NAME_RIGHT));
    if (mapped) {
      this.element.append(this.#beside);
    }
    const mark = place.members.length ? '' : (KINDS[task?.kind ?? ''] ?? '');
    if (mark) {
      this.element.append(svg('path', { class: 'nbflow-kind', d: mark, transform: `translate(${width - 20} 26)` }));
    }
    if (place.members.length) {
      this.element.append(svg('path', { class: 'nbflow-kind', d: CARET, transform: `translate(${width - 16} 10)` }));
      this.element.setAttribute('aria-expanded', 'false');
    }
    this.update();
  }

  /** Draws how it stands now. */
  update(): void {
    const stands = standing(this.place, this.model, this.shares());
    this.#show(stands);
    writeText(this.#beside, stands.beside && ` ${stands.beside}`); // a reader of the text keeps the words apart
    if (stands.bars.length) {
      this.#split(stands.bars);
    } else {
      this.#progress(stands.progress);
    }
  }

  #show({ look, line, spoken, critical }: IStanding): void {
    this.look = look;
    if (this.#drawn !== look) {
      this.#glyph.replaceChildren(...glyphShapes(look));
      this.#mark.setAttribute('d', MARKS[look] ?? '');
      this.element.dataset['state'] = look;
      const { tinted, dashed } = LOOKS[look];
      this.element.classList.toggle('nbflow-mod-tinted', Boolean(tinted));
      this.element.classList.toggle('nbflow-mod-dashed', Boolean(dashed));
      this.element.classList.toggle('nbflow-mod-fresh', Boolean(this.#drawn));
      this.#drawn = look;
    }
    this.element.classList.toggle('nbflow-mod-critical', critical);
    const mark = KINDS[this.model.task(this.place.id)?.kind ?? ''];
    writeLine(this.#meta, line, this.place.width - NAME_LEFT - (mark ? 24 : 6), META);
    write(this.element, 'aria-label', spoken);
  }

  /** 2 px along the lower edge; an unknown progress draws none. */
  #progress(part: number | null): void {
    const key = part === null ? '' : part.toFixed(3);
    if (key === this.#barKey) {
      return;
    }
    this.#barKey = key;
    if (part === null) {
      this.#bars.replaceChildren();
      return;
    }
    const wide = this.place.width - 4;
    const y = this.place.height - 3;
    let [ground, bar] = this.#bars.children;
    if (!ground || !bar) {
      ground = svg('rect', { class: 'nbflow-bar0', x: 2, y, width: wide, height: 2 });
      bar = svg('rect', { class: 'nbflow-bar1', x: 2, y, height: 2 });
      this.#bars.replaceChildren(ground, bar);
    }
    (bar as SVGElement).style.width = `${(wide * part).toFixed(1)}px`;
  }

  #split(parts: readonly IBarPart[]): void {
    const key = JSON.stringify(parts);
    if (key !== this.#barKey) {
      this.#barKey = key;
      const y = this.place.height - BAR_HEIGHT - 2;
      this.#bars.replaceChildren(
        ...parts.map(({ name, x, wide }) =>
          svg('rect', { class: 'nbflow-bar1', 'data-state': name, x: 2 + x, y, width: wide, height: BAR_HEIGHT })
        )
      );
    }
  }

  /** The block of ink it is when it is far away. */
  #far(): SVGElement {
    const { width, height } = this.place;
    this.#mark.setAttribute('transform', `translate(${width / 2} ${height / 2})`);
    const group = svg('g', { class: 'nbflow-far' });
    group.append(svg('rect', { class: 'nbflow-far-box', width, height, rx: 4 }), this.#mark);
    return group;
  }
}

/** A node of a crowd, which is painted on a canvas: what can be focused, pressed and heard of it. */
export class NodeButton implements INodeElement {
  readonly element: SVGElement;

  constructor(
    private readonly place: INode,
    private readonly model: FlowModel,
    private readonly shares: () => Shares
  ) {
    const { x, y, width, height, id, members } = place;
    this.element = svg('g', {
      class: 'nbflow-node',
      transform: `translate(${x} ${y})`,
      role: 'button',
      tabindex: -1
    });
    this.element.dataset['id'] = id;
    if (members.length) {
      this.element.setAttribute('aria-expanded', 'false');
    }
    this.element.append(svg('rect', { class: 'nbflow-hit', width, height }), ring(place));
    this.update();
  }

  update(): void {
    const { look, spoken } = standing(this.place, this.model, this.shares());
    this.element.dataset['state'] = look;
    write(this.element, 'aria-label', spoken);
  }
}

/** `line` as it fits, held there when the page's font is wider than thought. The space at its end keeps it off the next for a reader of the text. */
function writeLine(element: SVGElement, line: string, room: number, size: number, middle = false): void {
  const shown = fit(line, room * 1.08, size, middle);
  const wide = textWidth(shown, size);
  const tight = wide > 0.9 * room;
  writeText(element, `${shown} `);
  write(element, 'textLength', tight ? Math.min(wide, room).toFixed(0) : null);
  write(element, 'lengthAdjust', tight ? 'spacingAndGlyphs' : null);
}

function ring({ width, height }: INode): SVGElement {
  return svg('rect', { class: 'nbflow-ring', x: -3, y: -3, width: width + 6, height: height + 6, rx: 6 });
}
