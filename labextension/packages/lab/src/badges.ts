// SPDX-License-Identifier: BSD-3-Clause
/** A badge under the prompt of each task cell: how its task stands, how long it took, and whether it would come out differently now. */

import type { Cell } from '@jupyterlab/cells';
import type { NotebookPanel } from '@jupyterlab/notebook';
import { duration, glyph, html, lookOf, LOOKS, Pace, write, writeText } from '@nbflow/graph';
import { drawArrows } from './arrows.js';
import { RenderedGraph } from './graph_renderer.js';
import { stalenessOf } from './stale.js';
import { outputsOf, taskIn, type ITaskPayload } from './task_cells.js';

const GLYPH = 14;

/** All badges of one notebook. */
export class Badges {
  readonly #pace = new Pace(() => this.#draw(), 250);
  readonly #shown = new Map<Cell, Badge>();
  readonly #heard = new WeakSet();
  #arrows: () => void = () => undefined;

  constructor(private readonly panel: NotebookPanel) {
    panel.content.modelContentChanged.connect(this.#ask, this);
    panel.content.modelChanged.connect(this.#ask, this);
    this.#ask();
  }

  dispose(): void {
    this.#arrows();
    this.#pace.stop();
    this.#shown.forEach(badge => badge.element.remove());
    this.#shown.clear();
  }

  #ask(): void {
    this.#pace.ask();
  }

  #draw(): void {
    if (this.panel.isDisposed) {
      return;
    }
    const cells = this.panel.content.widgets;
    const tasks = cells.map(cell => this.#taskOf(cell));
    const stale = stalenessOf(cells.map((cell, place) => [cell.model.sharedModel.getSource(), tasks[place]!]));
    cells.forEach((cell, place) => {
      const task = tasks[place];
      if (task && task.state !== null) {
        this.#badgeOf(cell).show(task, stale.get(task.id) ?? '');
      } else {
        this.#shown.get(cell)?.element.remove();
        this.#shown.delete(cell);
      }
    });
    for (const [cell, badge] of this.#shown) {
      if (cell.isDisposed) {
        badge.element.remove();
        this.#shown.delete(cell);
      }
    }
  }

  /** Outputs that are updated in place change no cell: they are listened to one by one. */
  #taskOf(cell: Cell): ITaskPayload | null {
    const outputs = outputsOf(cell.model);
    if (outputs && !this.#heard.has(outputs)) {
      this.#heard.add(outputs);
      outputs.changed.connect(this.#ask, this);
    }
    return taskIn(outputs);
  }

  #badgeOf(cell: Cell): Badge {
    let badge = this.#shown.get(cell);
    if (!badge) {
      badge = new Badge(
        task => this.#openGraph(task),
        task => this.#point(task)
      );
      this.#shown.set(cell, badge);
      cell.node.append(badge.element);
    }
    return badge;
  }

  /** Arrows in the margin from the cells a task waits for to its own; no task: none. */
  #point(task: ITaskPayload | null): void {
    this.#arrows();
    if (!task) {
      return;
    }
    const places = new Map([...this.#shown.values()].map(badge => [badge.task?.id, badge.element]));
    const from = (task.upstream ?? []).flatMap(id => places.get(id) ?? []);
    this.#arrows = drawArrows(this.panel.content.node, from, places.get(task.id)!);
  }

  /** The nearest graph below the cell that shows the task, else the last one above it. */
  #openGraph(task: ITaskPayload): void {
    const graphs = this.panel.content.widgets.flatMap(cell => [...graphsIn(cell)]).filter(graph => graph.has(task.id));
    const own = [...this.#shown].find(([, badge]) => badge.task?.id === task.id)?.[1].element;
    const below = graphs.find(
      graph => own && own.compareDocumentPosition(graph.node) & Node.DOCUMENT_POSITION_FOLLOWING
    );
    (below ?? graphs.at(-1))?.open(task.id);
  }
}

function* graphsIn(cell: { readonly children: () => Iterable<unknown> }): Generator<RenderedGraph> {
  for (const child of cell.children()) {
    if (child instanceof RenderedGraph) {
      yield child;
    } else {
      yield* graphsIn(child as typeof cell);
    }
  }
}

class Badge {
  readonly element = html('button', 'nbflow nbflow-badge');
  task: ITaskPayload | null = null;
  readonly #words = html('span', '');
  readonly #mark = html('span', '');
  #drawn = '';

  constructor(open: (task: ITaskPayload) => void, point: (task: ITaskPayload | null) => void) {
    this.element.append(this.#words, this.#mark);
    this.element.addEventListener('click', () => this.task && open(this.task));
    for (const begin of ['pointerenter', 'focus']) {
      this.element.addEventListener(begin, () => point(this.task));
    }
    for (const end of ['pointerleave', 'blur']) {
      this.element.addEventListener(end, () => point(null));
    }
  }

  /** `stale`: why it would come out differently now, as a sentence without its end. */
  show(task: ITaskPayload, stale: string): void {
    this.task = task;
    const look = lookOf(task);
    const time = look === 'cached' ? 'cache' : typeof task.duration === 'number' ? duration(task.duration) : '';
    writeText(this.#words, time + (stale ? '*' : ''));
    if (this.#drawn !== look) {
      this.#drawn = look;
      this.#mark.replaceChildren(glyph(look, GLYPH));
    }
    const said = [`${task.id} ${LOOKS[look].word}`, time, stale].filter(Boolean).join(', ');
    write(this.element, 'aria-label', said);
    write(this.element, 'title', [task.sentence ?? task.reason ?? said, stale].filter(Boolean).join('\n'));
  }
}
