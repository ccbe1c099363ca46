// SPDX-License-Identifier: BSD-3-Clause
/** A crowd of tasks from far away: one path for each state instead of thousands of elements. */

import { svg } from './dom.js';
import { lookOf, type LookName } from './glyphs.js';
import type { INode } from './layout.js';
import type { FlowModel } from './model.js';
import { wholeLook } from './split.js';

export class FarLayer {
  readonly element = svg('g', { class: 'nbflow-crowd', 'aria-hidden': 'true' });
  #nodes: readonly INode[] = [];
  readonly #drawn = new Map<LookName, string>();

  draw(nodes: readonly INode[]): void {
    this.#nodes = nodes;
    this.#drawn.clear();
    this.element.replaceChildren();
  }

  /** Only the paths of states that some task entered or left are written again. */
  colour(model: FlowModel): void {
    const paths = new Map<LookName, string>();
    for (const { id, members, x, y, width, height } of this.#nodes) {
      const task = model.task(id);
      const look = task ? lookOf(task) : wholeLook(model.looks(members));
      paths.set(look, `${paths.get(look) ?? ''}M${x} ${y}h${width}v${height}h${-width}z`);
    }
    for (const look of new Set([...paths.keys(), ...this.#drawn.keys()])) {
      const path = paths.get(look) ?? '';
      if (this.#drawn.get(look) !== path) {
        this.#drawn.set(look, path);
        this.#pathOf(look).setAttribute('d', path);
      }
    }
  }

  #pathOf(look: LookName): SVGElement {
    let path = this.element.querySelector<SVGElement>(`[data-state="${look}"]`);
    if (!path) {
      path = svg('path', { class: 'nbflow-far-box', 'data-state': look });
      this.element.append(path);
    }
    return path;
  }
}
