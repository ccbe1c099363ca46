// SPDX-License-Identifier: BSD-3-Clause
/** Which part of a drawing is seen, and how large. Dragging pans, Ctrl and the wheel zoom; the page keeps its own scrolling. */

export type Detail = 'far' | 'mid' | 'near';

export interface IRect {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

const LEAST = 0.04;
const MOST = 2.5;
/** Between the drawing and the border when all of it is seen. */
export const MARGIN = 12;
/** A press that moves further than this is a drag, not a click. */
const DRAG = 4;

export function detailAt(scale: number): Detail {
  return scale < 0.45 ? 'far' : scale <= 0.8 ? 'mid' : 'near';
}

export class Camera {
  x = 0;
  y = 0;
  scale = 1;
  /** A person has chosen what to see: it stays when the page changes its size. */
  moved = false;
  /** The press that ended last was a drag. */
  dragged = false;

  #width = 0;
  #height = 0;
  #content: IRect = { x: 0, y: 0, width: 1, height: 1 };
  readonly #abort = new AbortController();

  constructor(
    private readonly surface: SVGElement,
    private readonly changed: () => void
  ) {
    const options = { signal: this.#abort.signal };
    surface.addEventListener('pointerdown', event => this.#press(event), options);
    surface.addEventListener('wheel', event => this.#wheel(event), { ...options, passive: false });
  }

  setSize(width: number, height: number): void {
    this.#width = width;
    this.#height = height;
  }

  setContent(content: IRect): void {
    this.#content = content;
  }

  /** What of the drawing is seen, in its own pixels. */
  get view(): IRect {
    return {
      x: -this.x / this.scale,
      y: -this.y / this.scale,
      width: this.#width / this.scale,
      height: this.#height / this.scale
    };
  }

  /** The scale at which the whole drawing fits, never larger than life. */
  fitScale(width = this.#width, height = this.#height): number {
    const across = (width - 2 * MARGIN) / Math.max(1, this.#content.width);
    const down = (height - 2 * MARGIN) / Math.max(1, this.#content.height);
    return Math.max(LEAST, Math.min(1, across, down));
  }

  /** See all of it, or its beginning when that would be smaller than `least`. */
  fit(least = LEAST): void {
    this.scale = Math.max(least, this.fitScale());
    this.x = MARGIN - this.#content.x * this.scale;
    this.y = Math.max(MARGIN, (this.#height - this.#content.height * this.scale) / 2) - this.#content.y * this.scale;
    this.moved = false;
    this.changed();
  }

  /** Zoom so that the point (x, y) of the surface stays where it is; without one, its middle. */
  zoom(factor: number, x = this.#width / 2, y = this.#height / 2): void {
    const scale = Math.min(MOST, Math.max(LEAST, this.scale * factor));
    const by = scale / this.scale;
    this.scale = scale;
    this.#moveTo(x - (x - this.x) * by, y - (y - this.y) * by);
  }

  pan(dx: number, dy: number): void {
    this.#moveTo(this.x + dx, this.y + dy);
  }

  /** Move as little as needed to see this part of the drawing. */
  reveal(part: IRect, around = 24): void {
    const { view } = this;
    const space = around / this.scale;
    const shift = (from: number, size: number, start: number, length: number): number => {
      if (from - space < start) {
        return start - (from - space);
      }
      return Math.min(0, start + length - (from + size + space));
    };
    const dx = shift(part.x, part.width, view.x, view.width) * this.scale;
    const dy = shift(part.y, part.height, view.y, view.height) * this.scale;
    if (dx || dy) {
      this.pan(dx, dy);
    }
  }

  dispose(): void {
    this.#abort.abort();
  }

  #moveTo(x: number, y: number): void {
    this.moved = true;
    const keep = 48; // so much of the drawing is always seen
    const { scale } = this;
    const content = this.#content;
    this.x = Math.min(this.#width - keep - content.x * scale, Math.max(keep - (content.x + content.width) * scale, x));
    this.y = Math.min(
      this.#height - keep - content.y * scale,
      Math.max(keep - (content.y + content.height) * scale, y)
    );
    this.changed();
  }

  #press(event: PointerEvent): void {
    if (event.button !== 0) {
      return;
    }
    let { clientX: x, clientY: y } = event;
    const start = { x, y };
    this.dragged = false;
    const drag = new AbortController();
    const options = { signal: AbortSignal.any([drag.signal, this.#abort.signal]) };
    const move = (moving: PointerEvent): void => {
      if (!this.dragged && Math.hypot(moving.clientX - start.x, moving.clientY - start.y) < DRAG) {
        return;
      }
      this.dragged = true;
      this.surface.classList.add('nbflow-mod-dragged');
      this.pan(moving.clientX - x, moving.clientY - y);
      ({ clientX: x, clientY: y } = moving);
    };
    const stop = (): void => {
      this.surface.classList.remove('nbflow-mod-dragged');
      drag.abort();
    };
    window.addEventListener('pointermove', move, options);
    window.addEventListener('pointerup', stop, options);
    window.addEventListener('pointercancel', stop, options);
  }

  #wheel(event: WheelEvent): void {
    if (!event.ctrlKey && !event.metaKey) {
      return; // the page scrolls
    }
    event.preventDefault();
    const box = this.surface.getBoundingClientRect();
    const lines = event.deltaMode === 1 ? 16 : 1;
    this.zoom(Math.exp(-event.deltaY * lines * 0.0035), event.clientX - box.left, event.clientY - box.top);
  }
}

/** Whether part of `place`, or of the `around` pixels around it, is seen. */
export function touches(place: IRect, view: IRect, around: number): boolean {
  return (
    place.x + place.width > view.x - around &&
    place.x < view.x + view.width + around &&
    place.y + place.height > view.y - around &&
    place.y < view.y + view.height + around
  );
}
