// SPDX-License-Identifier: BSD-3-Clause
/** The lines of a large drawing, cut into tiles, so that what is out of sight is neither built nor painted. */

import { touches, type IRect } from './camera.js';
import type { LineKind } from './edges.js';
import type { IStroke } from './routes.js';

/** In pixels of the drawing. */
const TILE = 1024;

interface ITile {
  readonly area: IRect;
  readonly strokes: Map<LineKind, string[]>;
  readonly paths: Map<LineKind, Path2D>;
}

export class Tiles {
  readonly #tiles = new Map<string, ITile>();

  constructor(strokes: readonly IStroke[], kindOf: (stroke: IStroke) => LineKind) {
    for (const stroke of strokes) {
      const box = boundsOf(stroke);
      // A line longer than a tile is a tile of its own row or column, so that areas stay small.
      const across = Math.floor(box.x / TILE);
      const down = Math.floor(box.y / TILE);
      const size = `${Math.ceil((box.width + 1) / TILE)} ${Math.ceil((box.height + 1) / TILE)}`;
      const key = `${across} ${down} ${size}`;
      let tile = this.#tiles.get(key);
      if (!tile) {
        const [wide, high] = size.split(' ').map(count => TILE * (Number(count) + 1)) as [number, number];
        const area = { x: across * TILE, y: down * TILE, width: wide, height: high };
        tile = { area, strokes: new Map(), paths: new Map() };
        this.#tiles.set(key, tile);
      }
      const kind = kindOf(stroke);
      const known = tile.strokes.get(kind);
      if (known) {
        known.push(stroke.path);
      } else {
        tile.strokes.set(kind, [stroke.path]);
      }
    }
  }

  /** What of each kind is seen in `view`, tile by tile. */
  *seen(view: IRect): Generator<[LineKind, Path2D]> {
    for (const tile of this.#tiles.values()) {
      if (touches(tile.area, view, 0)) {
        for (const [kind, strokes] of tile.strokes) {
          let path = tile.paths.get(kind);
          if (!path) {
            path = new Path2D(strokes.join(''));
            tile.paths.set(kind, path);
          }
          yield [kind, path];
        }
      }
    }
  }
}

function boundsOf(stroke: IStroke): IRect {
  let [left, top, right, bottom] = [Infinity, Infinity, -Infinity, -Infinity];
  for (const [x1, y1, x2, y2] of stroke.segments) {
    left = Math.min(left, x1, x2);
    right = Math.max(right, x1, x2);
    top = Math.min(top, y1, y2);
    bottom = Math.max(bottom, y1, y2);
  }
  return { x: left, y: top, width: right - left, height: bottom - top };
}
