// SPDX-License-Identifier: BSD-3-Clause
/** The interactive graph of a flow. It knows nothing of Jupyter: a model in, an element out, and what a person chose told by callbacks. */

import { Camera, detailAt, MARGIN, type IRect } from './camera.js';
import { html, svg, write, writeText } from './dom.js';
import { EdgeLayer } from './edges.js';
import { FarLayer } from './far.js';
import { FrameView } from './frame.js';
import { lookOf } from './glyphs.js';
import { groupsToFold, layout, type ILayout, type INode } from './layout.js';
import { isFinished, type FlowModel, type IModelChange } from './model.js';
import { NodeView } from './node.js';
import { Pace } from './pace.js';
import { nodeId, Walk, type Direction } from './walk.js';
import { Why } from './why.js';
import { finished } from './words.js';

export interface IGraphOptions {
  /** A person chose a task; null: none. */
  readonly onSelect?: (id: string | null) => void;
  /** A person asked for a task's details (Enter, double click). */
  readonly onOpen?: (id: string) => void;
  /** Pixels; a larger drawing is scaled down, then scrolled. */
  readonly maxHeight?: number;
}

/** Drawings of more nodes have elements only for those that are seen. */
const CROWD = 400;
/** A graph of few nodes begins at a scale where their names are shown, though its end may lie outside. */
const FEW = 60;
const LEGIBLE = 0.5;
/** More running tasks than this stand still. */
const TURNING = 30;
/** Polite messages come at most this often. */
const SPEAK_EVERY = 5000;
const ARROWS: Readonly<Record<string, Direction>> = {
  ArrowLeft: 'left',
  ArrowRight: 'right',
  ArrowUp: 'up',
  ArrowDown: 'down'
};

export class GraphView {
  readonly element = html('div', 'nbflow-graph');

  readonly #surface = svg('svg', { class: 'nbflow-canvas', role: 'application' });
  readonly #world = svg('g', { class: 'nbflow-world' });
  readonly #frameLayer = svg('g', { class: 'nbflow-frames' });
  readonly #nodeLayer = svg('g', { class: 'nbflow-nodes' });
  readonly #edges = new EdgeLayer();
  readonly #far = new FarLayer();
  readonly #live = html('div', 'nbflow-sr');
  readonly #level = html('span', 'nbflow-zoom-level');
  readonly #away = html('button', 'nbflow-button nbflow-away');
  readonly #why: Why;
  readonly #camera: Camera;
  readonly #pace = new Pace(() => this.#drawStates());
  readonly #stop: () => void;
  readonly #resize: ResizeObserver | undefined;

  #layout: ILayout = layout([], []);
  #walk = new Walk(this.#layout);
  #folded = new Set<string>();
  #unfolded = new Set<string>();
  readonly #nodes = new Map<string, NodeView>();
  #places = new Map<string, INode>();
  #homes = new Map<string, string>();
  #frames: FrameView[] = [];
  #changed = new Set<string>();
  #selected: string | null = null;
  #focused: string | null = null;
  #hovered: string | null = null;
  #spoken = -Infinity;
  #ends: string[] = [];
  readonly #states = new Map<string, boolean>();

  constructor(
    private readonly model: FlowModel,
    private readonly options: IGraphOptions = {}
  ) {
    this.#why = new Why(model);
    this.#world.append(this.#frameLayer, this.#edges.element, this.#far.element, this.#edges.hot, this.#nodeLayer);
    this.#surface.append(this.#world);
    this.#live.setAttribute('aria-live', 'polite');
    // While the graph has the focus its keys are its own; Escape gives them back to the page around it.
    this.element.dataset['lmSuppressShortcuts'] = 'true';
    this.element.append(this.#surface, this.#controls(), this.#away, this.#live, this.#why.element);
    this.#away.hidden = true;
    this.#away.addEventListener('click', () => this.#goToFailed());
    this.#camera = new Camera(this.#surface, () => this.#drawCamera());
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
    this.#resize?.disconnect();
    this.#camera.dispose();
    this.#why.hide();
    this.element.remove();
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
    for (const [key, view] of this.#nodes) {
      write(view.element, 'aria-pressed', key === this.#homeOf(id) ? 'true' : null);
    }
    this.#light();
  }

  /** Fold or unfold a group. Everything before it keeps its place, and the group itself stays where it is seen. */
  fold(group: string, folded: boolean): void {
    const before = this.#corner(group);
    (folded ? this.#folded : this.#unfolded).add(group);
    (folded ? this.#unfolded : this.#folded).delete(group);
    this.#why.hide();
    const { x, y, scale, moved } = this.#camera;
    this.#draw();
    const after = this.#corner(group);
    if (moved && before && after) {
      Object.assign(this.#camera, { x, y, scale, moved });
      this.#camera.pan((before.x - after.x) * scale, (before.y - after.y) * scale);
    }
    this.#focusOn(
      this.#places.has(group) ? group : (this.#layout.nodes.find(node => node.id.startsWith(`${group}.`))?.id ?? null)
    );
  }

  // --- structure ----------------------------------------------------------------------------------------------------

  #take(change: IModelChange): void {
    this.#speak(change.tasks);
    change.tasks.forEach(id => this.#changed.add(id));
    if (change.structure) {
      this.#states.clear();
      this.#draw();
    } else {
      this.#pace.ask();
    }
  }

  #draw(): void {
    const { ids } = this.model;
    const folded = new Set([...groupsToFold(ids), ...this.#folded].filter(group => !this.#unfolded.has(group)));
    this.#layout = layout(ids, this.model.edges, folded);
    this.#walk = new Walk(this.#layout);
    this.#places = new Map(this.#layout.nodes.map(node => [node.id, node]));
    this.#homes = new Map(this.#layout.nodes.flatMap(node => node.members.map(id => [id, node.id] as const)));
    this.#nodes.clear();
    this.#nodeLayer.replaceChildren();
    this.#changed.clear();
    this.#frames = this.#layout.frames.map(frame => new FrameView(frame, this.model, group => this.fold(group, true)));
    this.#frameLayer.replaceChildren(...this.#frames.map(frame => frame.element));
    this.#edges.draw(this.#layout, this.#notTaken());
    this.#far.draw(this.#isCrowd ? this.#layout.nodes : []);
    write(this.#surface, 'aria-label', `Graph of ${this.model.flow}`);
    if (!this.#focused || !this.#places.has(this.#focused)) {
      this.#focused = this.#layout.nodes[0]?.id ?? null;
    }
    this.#camera.setContent({
      x: 0,
      y: 0,
      width: Math.max(1, this.#layout.width),
      height: Math.max(1, this.#layout.height)
    });
    this.#hovered = null;
    this.#measure();
    this.#drawStates();
    this.select(this.#selected);
  }

  get #isCrowd(): boolean {
    return this.#layout.nodes.length > CROWD;
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
      : Math.min(limit, Math.ceil(this.#layout.height * scale + 2 * MARGIN));
    this.#surface.style.height = `${height}px`;
    this.#camera.setSize(width, height);
    if (this.#camera.moved) {
      this.#drawCamera();
    } else {
      this.#camera.fit(this.#layout.nodes.length > FEW ? undefined : LEGIBLE);
    }
  }

  // --- what is seen -------------------------------------------------------------------------------------------------

  #drawCamera(): void {
    const { x, y, scale } = this.#camera;
    this.#world.setAttribute('transform', `translate(${x.toFixed(2)} ${y.toFixed(2)}) scale(${scale.toFixed(4)})`);
    write(this.element, 'data-detail', detailAt(scale));
    writeText(this.#level, `${Math.round(scale * 100)} %`);
    this.#drawNodes();
    this.#drawAway();
  }

  /** Elements for the nodes that are seen (all of them, when there are few); the far view of a crowd has none. */
  #drawNodes(): void {
    const far = this.#isCrowd && detailAt(this.#camera.scale) === 'far';
    write(this.#far.element, 'display', far ? null : 'none');
    write(this.element, 'data-crowd', this.#isCrowd ? 'true' : null);
    const { view } = this.#camera;
    const around = 200;
    for (const place of this.#layout.nodes) {
      const seen = !this.#isCrowd || place.id === this.#focused || (!far && touches(place, view, around));
      const known = this.#nodes.get(place.id);
      if (seen && !known) {
        this.#addNode(place);
      } else if (!seen && known) {
        known.element.remove();
        this.#nodes.delete(place.id);
      }
    }
  }

  #addNode(place: INode): void {
    const node = new NodeView(place, this.model);
    this.#nodes.set(place.id, node);
    write(node.element, 'tabindex', place.id === this.#focused ? '0' : '-1');
    write(node.element, 'aria-pressed', this.#homeOf(this.#selected) === place.id ? 'true' : null);
    this.#nodeLayer.append(node.element);
  }

  #drawStates(): void {
    const homes = new Set([...this.#changed].map(id => this.#homeOf(id)));
    this.#edges.setDim(this.#notTaken());
    for (const id of homes) {
      if (id) {
        this.#nodes.get(id)?.update();
      }
    }
    this.#frames.forEach(frame => frame.update());
    // Each turning arc is a layer of its own: dozens of them cost more than they say.
    write(this.element, 'data-calm', (this.model.looks().get('running') ?? 0) > TURNING ? 'true' : null);
    if (this.#isCrowd) {
      this.#far.colour(this.model);
    }
    this.#why.refresh(this.#changed);
    this.#changed.clear();
    this.#drawAway();
  }

  /** Failures that are out of sight are said at the border, and one click away. Nothing moves by itself. */
  #drawAway(): void {
    const { view } = this.#camera;
    const hidden = this.#failed().filter(place => view.width > 0 && !touches(place, view, 0)).length;
    this.#away.hidden = hidden === 0;
    writeText(this.#away, `${hidden} failed`);
  }

  #failed(): INode[] {
    return this.#layout.nodes.filter(place =>
      (place.members.length ? place.members : [place.id]).some(id => this.model.task(id)?.state === 'failed')
    );
  }

  /** The edges between nodes that lead to tasks that were skipped only. */
  #notTaken(): Set<number> {
    const skipped = (leaf: string): boolean => this.model.task(leaf)?.state === 'skipped';
    return new Set(this.#layout.edges.filter(edge => skipped(edge.to)).map(edge => edge.number));
  }

  /** The node that stands for a task: its own, or the folded group it is in. */
  #homeOf(id: string | null): string | null {
    return id === null ? null : this.#places.has(id) ? id : (this.#homes.get(id) ?? null);
  }

  #corner(group: string): { x: number; y: number } | undefined {
    return this.#layout.frames.find(frame => frame.group === group) ?? this.#places.get(group);
  }

  // --- what a person does -------------------------------------------------------------------------------------------

  #listenTo(surface: SVGElement): void {
    surface.addEventListener('click', event => this.#click(event));
    surface.addEventListener('dblclick', event => {
      const place = this.#at(event);
      if (place && !place.members.length) {
        this.options.onOpen?.(place.id);
      }
    });
    surface.addEventListener('pointermove', event =>
      this.#hover(event.buttons ? null : (this.#at(event)?.id ?? null), event.shiftKey)
    );
    surface.addEventListener('pointerleave', () => this.#hover(null, false));
    surface.addEventListener('focusin', event => this.#focusIn(event));
    surface.addEventListener('focusout', () => this.#why.hide());
    surface.addEventListener('keydown', event => this.#key(event));
  }

  #at(event: MouseEvent): INode | undefined {
    const box = this.#surface.getBoundingClientRect();
    const x = (event.clientX - box.left - this.#camera.x) / this.#camera.scale;
    const y = (event.clientY - box.top - this.#camera.y) / this.#camera.scale;
    return this.#layout.nodes.find(
      node => node.x <= x && x <= node.x + node.width && node.y <= y && y <= node.y + node.height
    );
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
    if (id) {
      this.#explain(id);
    } else {
      this.#why.hide();
    }
  }

  /** Light the edges of what is pointed at, else of what is selected. */
  #light(far = false): void {
    const id = this.#hovered ?? this.#homeOf(this.#selected);
    this.#edges.light(id === null ? new Set() : far ? this.#walk.edgesThrough(id) : this.#walk.edgesAt(id));
  }

  #explain(id: string, now = false): void {
    const place = this.#places.get(id)!;
    this.#why.show(
      id,
      place.members,
      () =>
        this.#nodes.get(id)?.element.querySelector('.nbflow-box')?.getBoundingClientRect() ??
        this.#surface.getBoundingClientRect(),
      now
    );
  }

  #focusIn(event: FocusEvent): void {
    const id = (event.target as SVGElement).closest<SVGElement>('.nbflow-node')?.dataset['id'];
    if (id) {
      this.#setFocused(id);
      this.#explain(id);
    }
  }

  #setFocused(id: string): void {
    if (this.#focused !== id) {
      const before = this.#focused;
      this.#focused = id;
      if (before) {
        const view = this.#nodes.get(before);
        if (view) {
          write(view.element, 'tabindex', '-1');
        }
      }
    }
    const view = this.#nodes.get(id);
    if (view) {
      write(view.element, 'tabindex', '0');
    }
  }

  #focusOn(id: string | null): void {
    const place = id === null ? undefined : this.#places.get(id);
    if (!place) {
      return;
    }
    this.#setFocused(place.id);
    if (!this.#nodes.has(place.id)) {
      this.#addNode(place);
    }
    this.#camera.reveal(place);
    this.#nodes.get(place.id)!.element.focus({ preventScroll: true });
  }

  #key(event: KeyboardEvent): void {
    const id = this.#focused;
    if (!id || event.ctrlKey || event.metaKey || event.altKey) {
      return;
    }
    if (this.#press(event.key, id, event.shiftKey)) {
      event.preventDefault();
      event.stopPropagation();
    }
  }

  /** Does what a key means; false when it means nothing here. */
  #press(key: string, id: string, shift: boolean): boolean {
    const direction = ARROWS[key];
    const group = this.#places.get(id)?.members.length;
    if (direction) {
      this.#focusOn(this.#walk.next(id, direction) ?? id);
      return true;
    }
    const actions: Readonly<Record<string, () => void>> = {
      Home: () => this.#focusOn(this.#layout.nodes[0]?.id ?? null),
      End: () => this.#focusOn(this.#layout.nodes.at(-1)?.id ?? null),
      Enter: () => (group ? this.fold(id, false) : this.#open(id)),
      ' ': () => this.#toggle(id),
      '.': () => this.#nextFailed(id, shift ? -1 : 1),
      w: () => this.#explain(id, true),
      '+': () => this.#camera.zoom(1.25),
      '=': () => this.#camera.zoom(1.25),
      '-': () => this.#camera.zoom(0.8),
      '0': () => this.#camera.fit(),
      Escape: () => this.#escape()
    };
    actions[key]?.();
    return key in actions;
  }

  #open(id: string): void {
    this.#choose(id);
    this.options.onOpen?.(id);
  }

  /** Unfold the group, or fold the one this task is in; a task without a group is chosen. */
  #toggle(id: string): void {
    const around = this.#layout.frames.filter(frame => id.startsWith(`${frame.group}.`)).at(-1);
    if (this.#places.get(id)?.members.length) {
      this.fold(id, false);
    } else if (around) {
      this.fold(around.group, true);
    } else {
      this.#choose(id);
    }
  }

  #nextFailed(id: string, step: number): void {
    const failed = this.#failed().map(place => place.id);
    const place = failed.indexOf(id);
    this.#focusOn(failed.at((place + step) % failed.length) ?? null);
  }

  #goToFailed(): void {
    const { view } = this.#camera;
    this.#focusOn(this.#failed().find(place => !touches(place, view, 0))?.id ?? null);
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

  #controls(): HTMLElement {
    const button = (label: string, text: string, act: () => void): HTMLElement => {
      const one = html('button', 'nbflow-button', text);
      one.setAttribute('aria-label', label);
      one.title = label;
      one.addEventListener('click', act);
      return one;
    };
    const group = html('div', 'nbflow-controls');
    group.append(
      button('Zoom out', '−', () => this.#camera.zoom(0.8)),
      this.#level,
      button('Zoom in', '+', () => this.#camera.zoom(1.25)),
      button('Fit the whole graph', 'Fit', () => this.#camera.fit())
    );
    return group;
  }

  /** Says ends of tasks, `tokenApp failed, 9 of 16 finished`, at most one message in five seconds. */
  #speak(changed: ReadonlySet<string>): void {
    for (const id of changed) {
      const task = this.model.task(id);
      const ended = task ? isFinished(task.state) : false;
      if (task && ended && this.#states.get(id) === false) {
        this.#ends.push(`${id} ${lookOf(task) === 'cached' ? 'succeeded' : (task.state ?? '').replace('_', ' ')}`);
      }
      this.#states.set(id, ended);
    }
    if (this.#ends.length && performance.now() - this.#spoken > SPEAK_EVERY) {
      this.#spoken = performance.now();
      this.#live.textContent = `${this.#ends.slice(-2).join(', ')}, ${finished(this.model.looks())} of ${this.model.ids.length} finished`;
      this.#ends = [];
    }
  }
}

function touches(place: INode, view: IRect, around: number): boolean {
  return (
    place.x + place.width > view.x - around &&
    place.x < view.x + view.width + around &&
    place.y + place.height > view.y - around &&
    place.y < view.y + view.height + around
  );
}

export { nodeId };
