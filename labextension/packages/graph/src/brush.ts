// SPDX-License-Identifier: BSD-3-Clause
/** Paints one node on a canvas as NodeView draws it in SVG: the same box, glyph, words and bar, and the block it is from far away. */

import { detailAt, type Detail } from './camera.js';
import { LOOKS, MARKS, type LookName } from './glyphs.js';
import { NAME_LEFT, NAME_RIGHT, type IFrame, type INode } from './layout.js';
import type { IPalette } from './palette.js';
import type { IStanding } from './standing.js';
import { fit } from './text.js';

const GLYPH = 16;
const CARET = 'M0 0l4 4-4 4';
/** Marks in blocks smaller than this part of life cannot be seen. */
const MARKED = 0.12;

/** For one palette and one scale: glyphs are painted once, then copied. */
export class Brush {
  readonly #sprites = new Map<LookName, HTMLCanvasElement>();
  readonly #detail: Detail;

  /** `dense`: pixels of the canvas for one of the page; `names` keeps how names are cut. */
  constructor(
    readonly palette: IPalette,
    readonly scale: number,
    private readonly dense: number,
    private readonly names: Map<string, string>
  ) {
    this.#detail = detailAt(scale);
  }

  frame(context: CanvasRenderingContext2D, { x, y, width, height }: IFrame): void {
    context.setLineDash([]);
    context.beginPath();
    context.roundRect(x + 0.5, y + 0.5, width - 1, height - 1, 4);
    context.fillStyle = this.palette.frame;
    context.fill();
    context.lineWidth = 1;
    context.strokeStyle = this.palette.line;
    context.stroke();
  }

  node(context: CanvasRenderingContext2D, place: INode, stands: IStanding): void {
    context.globalAlpha = 1;
    context.setLineDash([]);
    context.lineCap = context.lineJoin = 'round';
    if (this.#detail === 'far') {
      this.#block(context, place, stands.look);
      return;
    }
    const { x, y, height } = place;
    const ink = this.palette.inks[stands.look];
    for (const by of stands.stacked ? [6, 3] : []) {
      this.#box(context, place, by, this.palette.node, this.palette.inks.success.border, false);
    }
    this.#box(context, place, 0, ink.ground, ink.border, Boolean(LOOKS[stands.look].dashed));
    if (stands.critical) {
      context.fillStyle = this.palette.text;
      context.fillRect(x, y, 2, height);
    }
    for (const bar of stands.bars) {
      context.fillStyle = this.palette.inks[bar.name].ink;
      context.fillRect(x + 2 + bar.x, y + height - 5, bar.wide, 3);
    }
    const near = this.#detail === 'near';
    context.drawImage(this.#sprite(stands.look), x + (near ? 12 : 9) - 1, y + 14 - 1, GLYPH + 2, GLYPH + 2);
    this.#words(context, place, stands, near);
  }

  #words(context: CanvasRenderingContext2D, place: INode, stands: IStanding, near: boolean): void {
    const { x, y, width, members } = place;
    const quiet = LOOKS[stands.look].dashed ?? ['scheduled', 'queued', 'skipped'].includes(stands.look);
    context.fillStyle = stands.look === 'skipped' ? this.palette.text2 : this.palette.text;
    context.font = `${quiet ? 400 : 500} ${near ? 13 : 14}px ${this.palette.font}`;
    context.fillText(this.#name(place, stands.stacked), x + NAME_LEFT - (near ? 0 : 4), y + (near ? 19 : 27));
    if (!near) {
      return;
    }
    context.fillStyle = this.palette.text2;
    context.font = `400 11px ${this.palette.font}`;
    const room = width - NAME_LEFT - 6;
    context.fillText(fit(stands.line, room * 1.08, 11), x + NAME_LEFT, y + 34, room);
    if (stands.beside) {
      context.textAlign = 'right';
      context.fillText(stands.beside, x + width - NAME_RIGHT, y + 19);
      context.textAlign = 'left';
    }
    if (members.length) {
      context.translate(x + width - 16, y + 10);
      context.lineWidth = 1.1;
      context.strokeStyle = this.palette.text2;
      context.stroke(new Path2D(CARET));
      context.translate(16 - x - width, -y - 10);
    }
  }

  #box(
    context: CanvasRenderingContext2D,
    { x, y, width, height }: INode,
    by: number,
    ground: string,
    border: string,
    dashed: boolean
  ): void {
    context.beginPath();
    context.roundRect(x + by + 0.5, y + by + 0.5, width - 1, height - 1, 4);
    context.fillStyle = ground;
    context.fill();
    context.lineWidth = 1;
    context.strokeStyle = border;
    if (dashed) {
      context.setLineDash([3, 3]);
    }
    context.stroke();
    if (dashed) {
      context.setLineDash([]);
    }
  }

  /** Only its outline tells a state without colour, so each block carries the mark of its grid cell. */
  #block(context: CanvasRenderingContext2D, { x, y, width, height }: INode, look: LookName): void {
    const { block, ink } = this.palette.inks[look];
    context.fillStyle = block;
    if (look === 'skipped' && this.scale > MARKED) {
      context.lineWidth = 4;
      context.strokeStyle = ink;
      context.strokeRect(x + 2, y + 2, width - 4, height - 4);
      return;
    }
    context.fillRect(x, y, width, height);
    const mark = this.scale > MARKED ? MARKS[look] : undefined;
    if (mark) {
      context.translate(x + width / 2, y + height / 2);
      context.lineWidth = 6;
      context.strokeStyle = LOOKS[look].dashed ? ink : this.palette.ground;
      context.stroke(new Path2D(mark));
      context.translate(-x - width / 2, -y - height / 2);
    }
  }

  #name({ id, label, width, members }: INode, stacked: boolean): string {
    let name = this.names.get(id);
    if (name === undefined) {
      name = fit(label, width - NAME_LEFT - NAME_RIGHT - (members.length ? 12 : stacked ? 36 : 0), 13, true);
      this.names.set(id, name);
    }
    return name;
  }

  /** With a pixel around it, which the wider strokes reach into. */
  #sprite(look: LookName): HTMLCanvasElement {
    let sprite = this.#sprites.get(look);
    if (!sprite) {
      sprite = document.createElement('canvas');
      sprite.width = sprite.height = Math.ceil((GLYPH + 2) * this.scale * this.dense);
      const context = sprite.getContext('2d')!;
      const part = sprite.width / (GLYPH + 2);
      context.setTransform(part, 0, 0, part, part, part);
      context.lineCap = 'round';
      context.lineJoin = 'round';
      this.#glyph(context, look);
      this.#sprites.set(look, sprite);
    }
    return sprite;
  }

  #glyph(context: CanvasRenderingContext2D, look: LookName): void {
    const { ink, ground } = this.palette.inks[look];
    for (const shape of LOOKS[look].shapes) {
      const path = new Path2D(shape.d);
      context.globalAlpha = shape.opacity ?? 1;
      context.setLineDash(shape.dash?.split(' ').map(Number) ?? []);
      if (shape.width) {
        context.lineWidth = shape.width;
        context.strokeStyle = shape.cut ? ground : ink;
        context.stroke(path);
      } else {
        context.fillStyle = shape.cut ? ground : ink;
        context.fill(path, 'evenodd');
      }
    }
  }
}
