// SPDX-License-Identifier: BSD-3-Clause
/** The elements of nodes: all of them, or, of a crowd, those that are seen at rest. One of them is in the tab order. */

import { touches, type IRect } from './camera.js';
import { svg, write } from './dom.js';
import type { INode } from './layout.js';
import type { FlowModel } from './model.js';
import { NodeButton, NodeView, type INodeElement } from './node.js';
import type { Shares } from './standing.js';

export class NodeLayer {
  readonly element = svg('g', { class: 'nbflow-nodes' });
  readonly #shown = new Map<string, INodeElement>();
  #crowd = false;
  #focused: string | null = null;
  #pressed: string | null = null;

  constructor(
    private readonly model: FlowModel,
    private readonly shares: () => Shares
  ) {}

  /** The node in the tab order. */
  get focused(): string | null {
    return this.#focused;
  }

  reset(crowd: boolean): void {
    this.#crowd = crowd;
    this.#shown.clear();
    this.element.replaceChildren();
  }

  /** Elements for those of `nodes` that are in `view`; for the one in the tab order and the chosen one always. */
  show(nodes: readonly INode[], view: IRect | null): void {
    for (const place of nodes) {
      const kept = !this.#crowd || place.id === this.#focused || place.id === this.#pressed;
      const known = this.#shown.get(place.id);
      if (kept || (view && touches(place, view, 0))) {
        this.add(place);
      } else if (known) {
        known.element.remove();
        this.#shown.delete(place.id);
      }
    }
  }

  add(place: INode): void {
    if (this.#shown.has(place.id)) {
      return;
    }
    const node = new (this.#crowd ? NodeButton : NodeView)(place, this.model, this.shares);
    this.#shown.set(place.id, node);
    write(node.element, 'tabindex', place.id === this.#focused ? '0' : '-1');
    write(node.element, 'aria-pressed', place.id === this.#pressed ? 'true' : null);
    this.element.append(node.element);
  }

  update(ids: Iterable<string>): void {
    for (const id of ids) {
      this.#shown.get(id)?.update();
    }
  }

  setFocused(id: string | null): void {
    this.#write(this.#focused, 'tabindex', '-1');
    this.#focused = id;
    this.#write(id, 'tabindex', '0');
  }

  setPressed(id: string | null): void {
    this.#write(this.#pressed, 'aria-pressed', null);
    this.#pressed = id;
    this.#write(id, 'aria-pressed', 'true');
  }

  /** Give it the keys. */
  focus(place: INode): void {
    this.add(place);
    this.setFocused(place.id);
    this.#shown.get(place.id)!.element.focus({ preventScroll: true });
  }

  #write(id: string | null, name: string, value: string | null): void {
    const node = id === null ? undefined : this.#shown.get(id);
    if (node) {
      write(node.element, name, value);
    }
  }
}
