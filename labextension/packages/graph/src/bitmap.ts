// SPDX-License-Identifier: BSD-3-Clause
/** A picture of one part of a drawing at one scale. Moving it is the compositor's work: nothing is painted again. */

import type { Camera, IRect } from './camera.js';

/** Painted around what is seen, in pixels of the page, so that there is something to move into view. */
const AROUND = 256;

export class Bitmap {
  readonly element = document.createElement('canvas');
  readonly context: CanvasRenderingContext2D | null;
  /** What of the drawing it shows. */
  area: IRect = { x: 0, y: 0, width: 0, height: 0 };
  scale = 0;

  constructor() {
    this.element.className = 'nbflow-bitmap';
    this.context = contextOf(this.element);
  }

  /** Empties it and makes it ready to paint, in the drawing's own coordinates, what this camera sees and some more. */
  begin(camera: Camera): void {
    const { view, scale } = camera;
    const dense = window.devicePixelRatio || 1;
    const around = AROUND / scale;
    this.scale = scale;
    this.area = {
      x: view.x - around,
      y: view.y - around,
      width: view.width + 2 * around,
      height: view.height + 2 * around
    };
    const width = Math.round(this.area.width * scale);
    const height = Math.round(this.area.height * scale);
    const { element, context } = this;
    if (element.width !== Math.round(width * dense) || element.height !== Math.round(height * dense)) {
      element.width = Math.round(width * dense);
      element.height = Math.round(height * dense);
      element.style.width = `${width}px`;
      element.style.height = `${height}px`;
    }
    context?.setTransform(1, 0, 0, 1, 0, 0);
    context?.clearRect(0, 0, element.width, element.height);
    const part = scale * dense;
    context?.setTransform(part, 0, 0, part, -this.area.x * part, -this.area.y * part);
  }

  /** Puts it where this camera sees it; sharp only at its own scale. */
  place(camera: Camera): void {
    const by = camera.scale / this.scale;
    const x = camera.x + this.area.x * camera.scale;
    const y = camera.y + this.area.y * camera.scale;
    this.element.style.transform = `translate(${x.toFixed(2)}px, ${y.toFixed(2)}px) scale(${by.toFixed(4)})`;
  }

  /** Whether all that is seen, and `around` more pixels of the page, is in it. */
  covers(camera: Camera, around = 0): boolean {
    const { view, scale } = camera;
    const more = around / scale;
    return (
      this.scale > 0 &&
      view.x - more >= this.area.x &&
      view.y - more >= this.area.y &&
      view.x + view.width + more <= this.area.x + this.area.width &&
      view.y + view.height + more <= this.area.y + this.area.height
    );
  }
}

/** Null where there is nothing to paint on: a page without canvases still has the buttons and their words. */
function contextOf(element: HTMLCanvasElement): CanvasRenderingContext2D | null {
  return typeof Path2D === 'undefined' ? null : element.getContext('2d');
}
