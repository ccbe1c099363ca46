// SPDX-License-Identifier: BSD-3-Clause
/** The interactive graph of a flow. It knows nothing of Jupyter: a model in, an element out, and what a person chose told by callbacks. */

import { Announcer } from './announcer.js';
import { Camera, detailAt, MARGIN, touches } from './camera.js';
import { Controls } from './controls.js';
import { CopiesList } from './copies.js';
import { criticalPath } from './critical.js';
import { Crowd } from './crowd.js';
import { html, svg, write, writeText } from './dom.js';
import { EdgeLayer } from './edges.js';
import { FrameView } from './frame.js';
import { keyHandler } from './keys.js';
import type { INode } from './layout.js';
import type { FlowModel, IModelChange } from './model.js';
import { NodeLayer } from './nodes.js';
import type { IGraphOptions } from './options.js';
import { Folds, Outline } from './outline.js';
import { Pace } from './pace.js';
import { standing, type Shares } from './standing.js';
import type { Direction } from './walk.js';
import { Why } from './why.js';

/** Drawings of more nodes are painted on a canvas; only what is seen at rest has elements, for keys and screen readers. */
const CROWD = 200;
/** A graph of few nodes begins at a scale where their names are shown, though its end may lie outside. */
const FEW = 60;
const LEGIBLE = 0.45;
/** More running tasks than this stand still. */
const TURNING = 30;
/** A view that has not moved for so many milliseconds is at rest. */
const REST = 120;

export class GraphView {
  readonly element = html('div', 'nbflow-graph');

  readonly #surface = svg('svg', { class: 'nbflow-canvas', role: 'application' });
  readonly #world = svg('g', { class: 'nbflow-world' });
  readonly #frameLayer = svg('g', { class: 'nbflow-frames' });
  readonly #nodes: NodeLayer;
  readonly #edges = new EdgeLayer();
  readonly #crowd: Crowd;
  readonly #announcer: Announcer;
  readonly #controls: Controls;
  readonly #away = html('button', 'nbflow-button nbflow-away');
  readonly #empty = html('div', 'nbflow-empty nbflow-quiet', 'No tasks yet. Put %%task on a cell, and execute it.');
  readonly #why: Why;
  readonly #copies: CopiesList;
  readonly #camera: Camera;
  readonly #pace = new Pace(() => this.#drawStates());
  readonly #stop: () => void;
  readonly #resize: ResizeObserver | undefined;

  readonly #folds = new Folds();
  #outline!: Outline; // set by the first #draw
  #frames: FrameView[] = [];
  #changed = new Set<string>();
  #selected: string | null = null;
  #hovered: string | null = null;
  #critical = false;
  #shares: Shares = new Map();
  #lineKey: string | null = null;
  #rest: number | undefined;

  constructor(
    private readonly model: FlowModel,
    private readonly options: IGraphOptions = {}
  ) {
    this.#nodes = new NodeLayer(model, () => this.#shares);
    this.#why = new Why(model);
    this.#copies = new CopiesList((id, copy) => this.options.onOpen?.(id, { copy }));
    this.#announcer = new Announcer(model);
    this.#controls = new Controls({
      zoom: factor => this.#camera.zoom(factor),
      fit: () => this.#camera.fit(),
      foldAll: folded => this.foldAll(folded),
      critical: shown => this.showCritical(shown)
    });
    this.#world.append(
      this.#frameLayer,
      this.#edges.element,
      this.#edges.critical,
      this.#edges.hot,
      this.#nodes.element
    );
    this.#surface.append(this.#world);
    // While the graph has the focus its keys are its own; Escape gives them back to the page around it.
    this.element.dataset['lmSuppressShortcuts'] = 'true';
    this.#away.hidden = true;
    this.#away.addEventListener('click', () => this.#goToFailed());
    this.#camera = new Camera(this.#surface, () => this.#drawCamera());
    this.#crowd = new Crowd(this.#camera, place => standing(place, model, this.#shares));
    this.element.append(this.#crowd.element, this.#surface, this.#empty, this.#controls.element, this.#away);
    this.element.append(this.#announcer.element, this.#why.element, this.#copies.element);
    this.#listenTo(this.#surface);
    this.#stop = model.listen(change => this.#take(change));
    if (typeof ResizeObserver !== 'undefined') {
      this.#resize = new ResizeObserver(() => this.#measure());
      this.#resize.observe(this.element);
    }
    this.#draw();
  }

  dispose(): void {
    this.#stop();
    this.#pace.stop();
    window.clearTimeout(this.#rest);
    this.#announcer.dispose();
    this.#resize?.disconnect();
    this.#camera.dispose();
    this.#crowd.dispose();
    this.#why.hide();
    this.#copies.hide();
    this.element.remove();
  }

  /** The buttons; they lie over the graph unless they are put elsewhere. */
  get controls(): HTMLElement {
    return this.#controls.element;
  }

  /** See the whole graph. */
  fit(): void {
    this.#camera.fit();
  }

  get scale(): number {
    return this.#camera.scale;
  }

  zoom(factor: number): void {
    this.#camera.zoom(factor);
  }

  /** Choose a task from outside; nothing is told back. */
  select(id: string | null): void {
    this.#selected = id;
    this.#nodes.setPressed(this.#outline.homeOf(id));
    this.#drawNodes();
    this.#light();
  }

  /** Show the chain of tasks that took the longest, and what part of it each took. */
  showCritical(shown: boolean): void {
    this.#critical = shown;
    this.#drawStates();
  }

  /** Fold or unfold a group. Everything before it keeps its place, and the group itself stays where it is seen. */
  fold(group: string, folded: boolean): void {
    const before = this.#outline.cornerOf(group);
    this.#folds.set(group, folded);
    this.#why.hide();
    const { x, y, scale, moved } = this.#camera;
    this.#draw();
    const after = this.#outline.cornerOf(group);
    if (moved && before && after) {
      Object.assign(this.#camera, { x, y, scale, moved });
      this.#camera.pan((before.x - after.x) * scale, (before.y - after.y) * scale);
    }
    this.#focusOn(
      this.#outline.places.has(group)
        ? group
        : (this.#outline.layout.nodes.find(node => node.id.startsWith(`${group}.`))?.id ?? null)
    );
  }

  foldAll(folded: boolean): void {
    this.#outline.groups.forEach(group => this.#folds.set(group, folded));
    this.#draw();
  }

  // --- structure ----------------------------------------------------------------------------------------------------

  #take(change: IModelChange): void {
    if (change.structure) {
      this.#announcer.forget();
    }
    this.#announcer.hear(change.tasks);
    change.tasks.forEach(id => this.#changed.add(id));
    if (change.structure) {
      this.#draw();
    } else {
      this.#pace.ask();
    }
  }

  #draw(): void {
    this.#outline = new Outline(this.model, this.#folds);
    const { layout, groups, isFolded } = this.#outline;
    this.#nodes.reset(this.#isCrowd);
    this.#changed.clear();
    this.#frames = layout.frames.map(frame => new FrameView(frame, this.model, group => this.fold(group, true)));
    this.#frameLayer.replaceChildren(...this.#frames.map(frame => frame.element));
    write(this.element, 'data-crowd', this.#isCrowd ? 'true' : null);
    this.#lineKey = null;
    this.#drawEdges();
    write(this.#surface, 'aria-label', `Graph of ${this.model.flow}`);
    this.#controls.setGroups(groups.size, isFolded);
    write(this.element, 'data-empty', layout.nodes.length ? null : 'true');
    if (!this.#outline.places.has(this.#nodes.focused ?? '')) {
      this.#nodes.setFocused(layout.nodes[0]?.id ?? null);
    }
    this.#camera.setContent({ x: 0, y: 0, width: Math.max(1, layout.width), height: Math.max(1, layout.height) });
    this.#hovered = null;
    this.#measure();
    this.#drawStates();
    this.select(this.#selected);
  }

  get #isCrowd(): boolean {
    return this.#outline.layout.nodes.length > CROWD;
  }

  /** Take the width the page gives, and the height that needs. */
  #measure(): void {
    const width = this.element.clientWidth;
    if (!width) {
      this.#camera.setSize(0, 0);
      this.#drawCamera();
      return;
    }
    const limit = this.options.maxHeight ?? 420;
    const scale = this.#camera.fitScale(width, limit);
    const height = this.element.dataset['fill']
      ? this.element.clientHeight
      : Math.min(limit, Math.ceil(this.#outline.layout.height * scale + 2 * MARGIN));
    this.#surface.style.height = `${height}px`;
    this.#camera.setSize(width, height);
    if (this.#camera.moved) {
      this.#drawCamera();
    } else {
      this.#camera.fit(this.#outline.layout.nodes.length > FEW ? undefined : LEGIBLE);
    }
  }

  // --- what is seen -------------------------------------------------------------------------------------------------

  #drawCamera(): void {
    const { x, y, scale } = this.#camera;
    this.#world.setAttribute('transform', `translate(${x.toFixed(2)} ${y.toFixed(2)}) scale(${scale.toFixed(4)})`);
    write(this.element, 'data-detail', detailAt(scale));
    this.#controls.setScale(scale);
    window.clearTimeout(this.#rest);
    if (this.#isCrowd) {
      this.#crowd.move();
      write(this.element, 'data-moving', 'true');
      this.#rest = window.setTimeout(() => this.#atRest(), REST);
    } else {
      this.#atRest();
    }
  }

  #atRest(): void {
    write(this.element, 'data-moving', null);
    this.#drawNodes();
    this.#drawAway();
  }

  /** Far away nobody could tell the elements of a crowd apart. */
  #drawNodes(): void {
    const { scale, view } = this.#camera;
    this.#nodes.show(this.#outline.layout.nodes, detailAt(scale) === 'far' ? null : view);
  }

  #drawStates(): void {
    this.#drawCritical();
    const homes = new Set([...this.#changed].flatMap(id => this.#outline.homeOf(id) ?? []));
    this.#drawEdges();
    this.#nodes.update(homes);
    this.#crowd.update(homes);
    this.#frames.forEach(frame => frame.update());
    // Each turning arc is a layer of its own: dozens of them cost more than they say.
    write(this.element, 'data-calm', (this.model.looks().get('running') ?? 0) > TURNING ? 'true' : null);
    this.#why.refresh(this.#changed);
    if (this.#changed.has(this.#copies.shownTask)) {
      this.#copies.refresh(this.model.task(this.#copies.shownTask));
    }
    this.#changed.clear();
    this.#drawAway();
  }

  /** Lines, when which of them lead to tasks that were skipped has changed. */
  #drawEdges(): void {
    const { key, kindOf } = this.#outline.kinds();
    if (key === this.#lineKey) {
      return;
    }
    this.#lineKey = key;
    this.#edges.draw(this.#outline.layout, kindOf, this.#isCrowd);
    this.#crowd.draw(this.#isCrowd ? this.#outline.layout : undefined, kindOf);
    this.#light();
  }

  /** Its tasks say their share of it, its lines are drawn over the others. */
  #drawCritical(): void {
    const path = criticalPath(this.model);
    this.#controls.setCritical(path.size > 0, this.#critical);
    if (!this.#critical && !this.#shares.size) {
      return;
    }
    [...this.#shares.keys(), ...path.keys()].forEach(id => this.#changed.add(id));
    this.#shares = this.#critical ? path : new Map<string, number>();
    this.#edges.setCritical(this.#outline.edgesAlong([...this.#shares.keys()]));
  }

  /** Failures that are out of sight are said at the border, and one click away. Nothing moves by itself. */
  #drawAway(): void {
    const { view } = this.#camera;
    const hidden = this.#outline.failed().filter(place => view.width > 0 && !touches(place, view, 0)).length;
    this.#away.hidden = hidden === 0;
    writeText(this.#away, `${hidden} failed`);
  }

  // --- what a person does -------------------------------------------------------------------------------------------

  #listenTo(surface: SVGElement): void {
    surface.addEventListener('click', event => this.#click(event));
    surface.addEventListener('dblclick', event => {
      const place = this.#at(event);
      if (place && !place.members.length) {
        this.options.onOpen?.(place.id, {});
      }
    });
    surface.addEventListener('pointermove', event =>
      this.#hover(event.buttons ? null : (this.#at(event)?.id ?? null), event.shiftKey)
    );
    surface.addEventListener('pointerleave', () => this.#hover(null, false));
    surface.addEventListener('focusin', event => this.#focusIn(event));
    surface.addEventListener('focusout', () => this.#why.hide());
    const actions = {
      walk: (id: string, direction: Direction) => this.#focusOn(this.#outline.walk.next(id, direction) ?? id),
      first: () => this.#focusOn(this.#outline.layout.nodes[0]?.id ?? null),
      last: () => this.#focusOn(this.#outline.layout.nodes.at(-1)?.id ?? null),
      enter: (id: string) => this.#enter(id),
      fold: (id: string) => this.#toggle(id),
      nextFailed: (id: string, step: number) => this.#nextFailed(id, step),
      explain: (id: string) => this.#explain(id, true),
      zoom: (factor: number) => this.#camera.zoom(factor),
      fit: () => this.#camera.fit(),
      escape: () => this.#escape(),
      task: (key: string, id: string) => this.#onTask(key, id)
    };
    surface.addEventListener(
      'keydown',
      keyHandler(actions, () => this.#nodes.focused)
    );
  }

  #at(event: MouseEvent): INode | undefined {
    const box = this.#surface.getBoundingClientRect();
    const x = (event.clientX - box.left - this.#camera.x) / this.#camera.scale;
    const y = (event.clientY - box.top - this.#camera.y) / this.#camera.scale;
    return this.#outline.layout.nodes.find(node => touches(node, { x, y, width: 0, height: 0 }, 0));
  }

  #click(event: MouseEvent): void {
    if (this.#camera.dragged) {
      this.#camera.dragged = false;
      return;
    }
    const place = this.#at(event);
    if (place?.members.length) {
      this.fold(place.id, false);
    } else if (place) {
      this.#focusOn(place.id);
      this.#choose(place.id);
      this.#why.hide(); // whoever chose it reads on elsewhere
    } else if (!(event.target as Element).closest('.nbflow-frame-name')) {
      this.#choose(null);
    }
  }

  #choose(id: string | null): void {
    if (id !== this.#selected) {
      this.select(id);
      this.options.onSelect?.(id);
    }
  }

  #hover(id: string | null, far: boolean): void {
    if (id === this.#hovered) {
      return;
    }
    this.#hovered = id;
    write(this.#surface, 'data-over', id ? 'node' : null);
    this.#light(far);
    if (id && !this.#copies.isShown) {
      this.#explain(id);
    } else {
      this.#why.hide();
    }
  }

  /** Light the edges of what is pointed at, else of what is selected. */
  #light(far = false): void {
    const id = this.#hovered ?? this.#outline.homeOf(this.#selected);
    const edges =
      id === null ? new Set<number>() : far ? this.#outline.walk.edgesThrough(id) : this.#outline.walk.edgesAt(id);
    this.#edges.light(edges, edge => (far ? [] : this.#outline.namesOn(edge)));
  }

  #explain(id: string, now = false): void {
    const boxes = (): DOMRect[] => [id, ...this.#outline.walk.neighbours(id)].map(one => this.#boxOf(one));
    this.#why.show(id, this.#outline.places.get(id)!.members, boxes, now);
  }

  #boxOf(id: string): DOMRect {
    const { x, y, width, height } = this.#outline.places.get(id)!;
    const { scale, x: left, y: top } = this.#camera;
    const box = this.#surface.getBoundingClientRect();
    return new DOMRect(box.left + left + x * scale, box.top + top + y * scale, width * scale, height * scale);
  }

  #focusIn(event: FocusEvent): void {
    const id = (event.target as SVGElement).closest<SVGElement>('.nbflow-node')?.dataset['id'];
    if (id) {
      this.#nodes.setFocused(id);
      this.#explain(id);
    }
  }

  #focusOn(id: string | null): void {
    const place = id === null ? undefined : this.#outline.places.get(id);
    if (!place) {
      return;
    }
    this.#camera.reveal(place);
    this.#nodes.focus(place);
  }

  /** A group unfolds, a mapped task shows its copies, any other task opens. */
  #enter(id: string): void {
    const task = this.model.task(id);
    if (!task) {
      this.fold(id, false);
      return;
    }
    this.#choose(id);
    if (task.instances?.length) {
      this.#why.hide();
      this.#copies.show(task, this.#boxOf(id), () => this.#focusOn(id));
    } else {
      this.options.onOpen?.(id, {});
    }
  }

  #onTask(key: string, id: string): boolean {
    const { onOpen, onAct } = this.options;
    if ((key === 'l' || key === 'o') && onOpen && this.model.task(id)) {
      this.#choose(id);
      onOpen(id, { part: key === 'l' ? 'log' : 'outputs' });
    } else if ((key === 'r' || key === 'x') && onAct && this.model.task(id)) {
      onAct(key === 'r' ? 'retry' : 'cancel', id);
    } else {
      return false;
    }
    return true;
  }

  /** Unfold the group, or fold the one this task is in; a task without a group is chosen. */
  #toggle(id: string): void {
    const around = this.#outline.groupAround(id);
    if (this.#outline.places.get(id)?.members.length) {
      this.fold(id, false);
    } else if (around) {
      this.fold(around, true);
    } else {
      this.#choose(id);
    }
  }

  #nextFailed(id: string, step: number): void {
    const failed = this.#outline.failed().map(place => place.id);
    const place = failed.indexOf(id);
    this.#focusOn(failed.at((place + step) % failed.length) ?? null);
  }

  #goToFailed(): void {
    const { view } = this.#camera;
    this.#focusOn(this.#outline.failed().find(place => !touches(place, view, 0))?.id ?? null);
  }

  #escape(): void {
    if (this.#why.isShown) {
      this.#why.hide();
    } else if (this.#selected) {
      this.#choose(null);
    } else {
      (document.activeElement as HTMLElement | SVGElement | null)?.blur();
    }
  }
}
