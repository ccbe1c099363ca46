// SPDX-License-Identifier: BSD-3-Clause
/**
 * A crowd of tasks, painted instead of built: thousands of elements would move at a few frames a second.
 *
 * What is seen and some more is painted once and then only moved. A repaint happens in slices behind the picture that is shown, a few
 * milliseconds a frame; only when a zoom uncovers what was never painted, blocks are painted at once and the lines follow.
 */

import { Bitmap } from './bitmap.js';
import { Brush } from './brush.js';
import { touches, type Camera } from './camera.js';
import { html } from './dom.js';
import { tipPath, type KindOf } from './edges.js';
import type { ILayout, INode } from './layout.js';
import { readPalette, watchColours, type IPalette } from './palette.js';
import type { IStanding } from './standing.js';
import { Tiles } from './tiles.js';

/** Milliseconds of each frame that a repaint may take. */
const SLICE = 6;
/** A repaint begins when less than this many pixels around the view are painted. */
const SOON = 128;
/** A scale that has not changed for so many milliseconds is worth a sharp picture. */
const STILL = 90;
/** Below this scale arrowheads are smaller than a pixel. */
const TIPS = 0.2;

export class Crowd {
  readonly element = html('div', 'nbflow-crowd');
  #front = new Bitmap();
  #back = new Bitmap();
  #work: Generator<void> | undefined;
  #frame: number | undefined;
  #timer: number | undefined;
  #palette: IPalette | undefined;
  #brush: Brush | undefined;
  readonly #names = new Map<string, string>();
  readonly #stopWatching: () => void;
  #layout: ILayout | undefined;
  #places = new Map<string, INode>();
  #tiles = new Tiles([], () => 'data');
  #kindOf: KindOf = () => 'data';

  constructor(
    private readonly camera: Camera,
    private readonly standing: (place: INode) => IStanding
  ) {
    this.element.setAttribute('aria-hidden', 'true');
    this.element.append(this.#front.element);
    this.#stopWatching = watchColours(() => {
      this.#palette = undefined;
      this.#repaint();
    });
  }

  dispose(): void {
    this.#stopWatching();
    this.#stop();
  }

  /** Takes another drawing; none: nothing is painted. */
  draw(layout: ILayout | undefined, kindOf: KindOf): void {
    this.#stop();
    this.#layout = layout;
    this.#kindOf = kindOf;
    this.element.hidden = !layout;
    this.#front.scale = 0;
    this.#names.clear();
    this.#places = new Map(layout?.nodes.map(node => [node.id, node]));
    this.#tiles = new Tiles(layout?.strokes ?? [], stroke => kindOf(stroke.data, stroke.edges));
  }

  /** The lines are of other kinds now. */
  setKinds(kindOf: KindOf): void {
    this.#kindOf = kindOf;
    this.#tiles = new Tiles(this.#layout?.strokes ?? [], stroke => kindOf(stroke.data, stroke.edges));
    this.#repaint();
  }

  /** These nodes stand differently: no line lies behind a box, so each can be painted over where it is. */
  update(ids: Iterable<string>): void {
    const places = [...ids].flatMap(id => this.#places.get(id) ?? []);
    for (const bitmap of this.#work ? [this.#front, this.#back] : [this.#front]) {
      const { context, scale, area } = bitmap;
      if (this.#layout && context && scale) {
        const brush = this.#brushAt(scale);
        context.save();
        places
          .filter(place => touches(place, area, 0))
          .forEach(place => brush.node(context, place, this.standing(place)));
        context.restore();
      }
    }
  }

  /** The camera sees something else, or at another scale. */
  move(): void {
    const { camera } = this;
    const front = this.#front;
    if (!this.#layout || !camera.view.width) {
      return;
    }
    const ratio = front.scale ? camera.scale / front.scale : 0;
    if (ratio > 0.4 && ratio < 3 && front.covers(camera)) {
      front.place(camera);
      if (ratio !== 1) {
        this.#later();
      } else if (!this.#work && !front.covers(camera, SOON)) {
        this.#repaint();
      }
      return;
    }
    this.#paintNow();
    this.#later();
  }

  // --- painting -----------------------------------------------------------------------------------------------------

  /** Nodes alone, at once. */
  #paintNow(): void {
    this.#stop();
    const front = this.#front;
    front.begin(this.camera);
    const nodes = this.#nodes(front);
    while (!nodes.next().done) {
      // slice after slice, to its end
    }
    front.place(this.camera);
  }

  #later(): void {
    window.clearTimeout(this.#timer);
    this.#timer = window.setTimeout(() => this.#repaint(), STILL);
  }

  /** All of it, in slices, into the picture behind; then the two change places. */
  #repaint(): void {
    this.#stop();
    if (!this.#layout || !this.camera.view.width) {
      return;
    }
    this.#back.begin(this.camera);
    this.#work = this.#whole(this.#back);
    this.#slice();
  }

  #slice(): void {
    this.#frame = undefined;
    const until = performance.now() + SLICE;
    while (performance.now() < until) {
      if (this.#work?.next().done !== false) {
        this.#swap();
        return;
      }
    }
    this.#frame = requestAnimationFrame(() => this.#slice());
  }

  #swap(): void {
    this.#work = undefined;
    [this.#front, this.#back] = [this.#back, this.#front];
    this.#front.place(this.camera);
    this.element.replaceChildren(this.#front.element);
    if (!this.#front.covers(this.camera) || this.#front.scale !== this.camera.scale) {
      this.move();
    }
  }

  #stop(): void {
    this.#work = undefined;
    window.clearTimeout(this.#timer);
    if (this.#frame !== undefined) {
      cancelAnimationFrame(this.#frame);
      this.#frame = undefined;
    }
  }

  *#whole(bitmap: Bitmap): Generator<void> {
    yield* this.#nodes(bitmap);
    yield* this.#edges(bitmap);
  }

  *#nodes(bitmap: Bitmap): Generator<void> {
    const { context, area, scale } = bitmap;
    if (!context || !this.#layout) {
      return;
    }
    const brush = this.#brushAt(scale);
    for (const frame of this.#layout.frames) {
      if (touches(frame, area, 0)) {
        brush.frame(context, frame);
      }
    }
    let painted = 0;
    for (const place of this.#layout.nodes) {
      if (touches(place, area, 0)) {
        brush.node(context, place, this.standing(place));
        if (++painted % 32 === 0) {
          yield;
        }
      }
    }
  }

  *#edges(bitmap: Bitmap): Generator<void> {
    const { context, area, scale } = bitmap;
    if (!context) {
      return;
    }
    context.globalAlpha = 1;
    context.strokeStyle = context.fillStyle = this.#colours().edge;
    // Never thinner than most of a pixel: far away a line is a hint, not a measure.
    context.lineWidth = Math.max(1.25, 0.6 / scale);
    for (const [kind, path] of this.#tiles.seen(area)) {
      context.setLineDash(kind === 'data' || scale < TIPS ? [] : [4, 3]);
      context.globalAlpha = kind === 'dim' ? 0.7 : 1;
      context.stroke(path);
      yield;
    }
    context.setLineDash([]);
    context.globalAlpha = 1;
    yield* scale < TIPS ? [] : this.#tips(context, bitmap);
  }

  *#tips(context: CanvasRenderingContext2D, { area }: Bitmap): Generator<void> {
    const full: string[] = [];
    const open: string[] = [];
    for (const tip of this.#layout?.tips ?? []) {
      if (touches({ x: tip.x, y: tip.y, width: 0, height: 0 }, area, 0)) {
        const kind = this.#kindOf(tip.data, tip.edges);
        (kind === 'data' ? full : open).push(tipPath(tip, kind));
      }
    }
    yield;
    context.fill(new Path2D(full.join('')));
    context.stroke(new Path2D(open.join('')));
  }

  #brushAt(scale: number): Brush {
    const palette = this.#colours();
    if (this.#brush?.palette !== palette || this.#brush.scale !== scale) {
      this.#brush = new Brush(palette, scale, window.devicePixelRatio || 1, this.#names);
    }
    return this.#brush;
  }

  #colours(): IPalette {
    this.#palette ??= readPalette(this.element);
    return this.#palette;
  }
}
