// SPDX-License-Identifier: BSD-3-Clause
/**
 * Where everything of a flow's picture stands. It depends on the flow alone, never on states, so nothing moves while a run does.
 *
 * Left to right in columns; frames around groups; edges horizontal and vertical with round corners, straight inside a column, turning only
 * in the gutters between columns. nbflow/views/layout.py draws the same picture for saved files; a test holds the two together.
 */

import { portKey, type IBox, type IJoint, type ILeafEdge, type Ports } from './bundles.js';
import { Columns, GAP } from './columns.js';
import { readLevels, ROOT, type ILevels } from './levels.js';
import { largest, round } from './numbers.js';
import {
  assignTracks,
  GUTTER,
  gutterWidth,
  level,
  strokes,
  Trunk,
  trunkX,
  type EdgeSet,
  type ISpot,
  type IStroke
} from './routes.js';
import { textWidth } from './text.js';
import { bundlesOf } from './trunks.js';
import type { IEdge } from './types.js';

const NODE_WIDTH = 144;
const NODE_WIDEST = 220;
export const NODE_HEIGHT = 44;
/** Glyph and margins beside a node's name. */
export const NAME_LEFT = 36;
export const NAME_RIGHT = 12;
/** A frame's margin and the line with its name. */
const PAD = 10;
export const HEADER = 30;
/** Flows of more tasks are drawn with their groups folded. */
const FOLD_OVER = 60;
/** Tasks without any edge stand in a block of this many rows, once there are more than that. */
const BLOCK_ROWS = 8;

/** A task, or a folded group (then `members` are its tasks). */
export interface INode {
  readonly id: string;
  readonly label: string;
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
  readonly members: readonly string[];
}

/** A group with its tasks visible. */
export interface IFrame {
  readonly group: string;
  readonly label: string;
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

/** The point of an arrow: where edges reach their target. */
export interface ITip {
  readonly x: number;
  readonly y: number;
  readonly data: boolean;
  readonly edges: EdgeSet;
}

/** A drawn flow, from (0, 0) to (width, height). Frames stand before the frames inside them. */
export interface ILayout {
  readonly width: number;
  readonly height: number;
  readonly nodes: readonly INode[];
  readonly frames: readonly IFrame[];
  readonly strokes: readonly IStroke[];
  readonly tips: readonly ITip[];
  /** Between nodes; strokes and tips name them by number. */
  readonly edges: readonly ILeafEdge[];
}

/** The groups that are drawn folded: the outermost ones, in flows of more than 60 tasks. */
export function groupsToFold(ids: readonly string[]): string[] {
  if (ids.length <= FOLD_OVER) {
    return [];
  }
  return [...new Set(ids.filter(id => id.includes('.')).map(id => id.slice(0, id.indexOf('.'))))];
}

/** Place a flow, with these groups as one node each. Raises an error when its edges form a cycle. */
export function layout(ids: readonly string[], edges: readonly IEdge[], folded: Iterable<string> = []): ILayout {
  const levels = readLevels(ids, edges, folded);
  const whole = new Level(levels, ROOT);
  const pen: IPen = { nodes: [], frames: [], strokes: [], tips: [] };
  whole.draw(pen, 0, 0, 0);
  return { width: whole.width, height: whole.height, edges: levels.edges, ...pen };
}

interface IPen {
  readonly nodes: INode[];
  readonly frames: IFrame[];
  readonly strokes: IStroke[];
  readonly tips: ITip[];
}

function nodeWidth(label: string): number {
  const wide = Math.ceil((textWidth(label) + NAME_LEFT + NAME_RIGHT) / 4) * 4;
  return Math.min(NODE_WIDEST, Math.max(NODE_WIDTH, wide));
}

/** The inside of one frame (or the whole picture): measured when made, drawn afterwards where its frame stands. */
class Level {
  readonly width: number;
  readonly height: number;
  readonly #columns: Columns;
  readonly #inside: ReadonlyMap<string, Level>;
  readonly #alone: readonly string[];
  readonly #aloneTop: number;
  readonly #aloneWidth: number;
  readonly #items: readonly string[];
  readonly #leafWidth: number[];
  readonly #wide: number[];
  readonly #trunks: [IJoint, Trunk][][];
  readonly #tracks: number[];
  readonly #x: number[] = [];

  constructor(
    private readonly levels: ILevels,
    private readonly frame: string
  ) {
    const items = levels.children.get(frame)!;
    const links = levels.links.get(frame) ?? [];
    this.#inside = new Map(
      items.filter(item => levels.children.has(item)).map(item => [item, new Level(levels, item)])
    );
    const linked = new Set(links.flatMap(link => [link.source, link.target]));
    const alone = items.filter(item => !linked.has(item) && !this.#inside.has(item));
    this.#alone = alone.length > BLOCK_ROWS ? alone : [];
    const apart = new Set(this.#alone);
    this.#items = items.filter(item => !apart.has(item));
    this.#columns = new Columns(
      this.#items.map(item => this.#box(item)),
      bundlesOf(this.#items, links)
    );
    const { boxes, count, rank } = this.#columns;
    this.#leafWidth = Array.from({ length: count }, () => NODE_WIDTH);
    this.#wide = Array.from({ length: count }, () => 0);
    boxes.forEach((box, element) => {
      const column = rank[element]!;
      this.#wide[column] = Math.max(this.#wide[column]!, box.width);
      if (!this.#columns.isFrame(element)) {
        this.#leafWidth[column] = Math.max(this.#leafWidth[column]!, box.width);
      }
    });
    this.#trunks = Array.from({ length: count + 1 }, () => []);
    for (const joint of this.#columns.joints) {
      this.#trunks[joint.right]!.push([joint, this.#trunk(joint)]);
    }
    this.#tracks = this.#trunks.map(gutter => assignTracks(gutter.map(([, trunk]) => trunk)));
    let right = 0;
    this.#wide.forEach((wide, column) => {
      const left = column ? right + gutterWidth(this.#tracks[column]!) : 0;
      this.#x.push(left);
      right = left + wide;
    });
    const bottom = largest(
      this.#columns.half.map((half, element) => this.#columns.y[element]! + half),
      0
    );
    this.#aloneTop = round(bottom) + (this.#items.length ? 2 * GAP : 0);
    const [rows, across] = this.#block();
    this.#aloneWidth = largest(
      this.#alone.map(item => nodeWidth(this.#label(item))),
      0
    );
    this.width = Math.max(right, across * (this.#aloneWidth + GUTTER) - GUTTER);
    const height = this.#alone.length ? this.#aloneTop + rows * (NODE_HEIGHT + GAP) - GAP : round(bottom);
    this.height = height + (height % 2);
  }

  // --- measuring ----------------------------------------------------------------------------------------------------

  #label(item: string): string {
    const own = item.startsWith(this.frame) ? item.slice(this.frame.length) : item;
    return own.replace(/\.$/, '');
  }

  #box(item: string): IBox {
    const inside = this.#inside.get(item);
    if (!inside) {
      return { key: item, width: nodeWidth(this.#label(item)), height: NODE_HEIGHT };
    }
    const height = inside.height + HEADER + PAD;
    const width = Math.max(inside.width + 2 * PAD, Math.ceil(textWidth(this.#label(item)) + 96));
    const middle = HEADER - Math.floor(height / 2);
    return { key: item, width, height, inputs: inside.#ports(true, middle), outputs: inside.#ports(false, middle) };
  }

  /** Rows and columns of the tasks that stand alone. */
  #block(): [number, number] {
    if (!this.#alone.length) {
      return [0, 0];
    }
    const across = Math.ceil(this.#alone.length / BLOCK_ROWS);
    return [Math.ceil(this.#alone.length / across), across];
  }

  #trunk(joint: IJoint): Trunk {
    const data = this.#columns.bundles[joint.bundle]!.data;
    const lefts = joint.lefts.flatMap(element => this.#spots(element, joint, false));
    const rights = joint.rights.flatMap(element => this.#spots(element, joint, true));
    return new Trunk(data, lefts.length ? lefts : rights, rights.length ? rights : lefts);
  }

  #spots(element: number, joint: IJoint, incoming: boolean): ISpot[] {
    const y = this.#columns.y[element]!;
    const tip = incoming && element < this.#items.length && !this.#columns.isFrame(element);
    const found = this.#columns.spots(element, joint.bundle, incoming);
    return found.map(([offset, edges]) => ({ y: round(y + offset), edges, tip }));
  }

  /** Where edges from outside come in, or go out, as heights of the frame `middle` above or below this inside. */
  #ports(incoming: boolean, middle: number): Ports {
    const found = new Map<string, number>();
    for (const [joint, trunk] of (incoming ? this.#trunks[0] : this.#trunks.at(-1)) ?? []) {
      const bundle = this.#columns.bundles[joint.bundle]!;
      for (const end of incoming ? bundle.targets : bundle.sources) {
        found.set(portKey(end.leaf, bundle.data), trunk.low + middle);
      }
    }
    return found;
  }

  // --- drawing ------------------------------------------------------------------------------------------------------

  /** Draw with the top left corner of this level at (x, y); a frame's right border is at x + outerWidth - PAD. */
  draw(pen: IPen, x: number, y: number, outerWidth: number): void {
    const columns = this.#columns;
    columns.boxes.forEach((box, element) => this.#drawBox(pen, element, box, x, y));
    for (const [element, bundle] of columns.laneOf) {
      this.#drawLane(pen, element, bundle, x, y);
    }
    this.#trunks.forEach((gutter, number) => {
      const left = x + (number ? this.#x[number - 1]! + this.#wide[number - 1]! : -PAD);
      const right = number < this.#x.length ? x + this.#x[number]! : x + outerWidth - PAD;
      for (const [joint, trunk] of gutter) {
        const at = trunkX(left, Math.max(0, trunk.track), this.#tracks[number]!);
        const moved = trunk.movedDown(y);
        pen.strokes.push(...strokes(moved, left, right, at));
        for (const spot of moved.rights) {
          if (spot.tip) {
            pen.tips.push({ x: right, y: spot.y, data: trunk.data, edges: spot.edges });
          }
        }
        joint.lefts.forEach(element => this.#drawStub(pen, element, joint.bundle, left, y));
      }
    });
    const [rows] = this.#block();
    this.#alone.forEach((item, place) => {
      const left = x + Math.floor(place / rows) * (this.#aloneWidth + GUTTER);
      this.#drawNode(pen, item, left, y + this.#aloneTop + (place % rows) * (NODE_HEIGHT + GAP), this.#aloneWidth);
    });
  }

  #drawBox(pen: IPen, element: number, box: IBox, x: number, y: number): void {
    const column = this.#columns.rank[element]!;
    const left = x + this.#x[column]!;
    const top = y + this.#columns.y[element]! - box.height / 2;
    const inside = this.#inside.get(box.key);
    if (!inside) {
      this.#drawNode(pen, box.key, left, top, this.#leafWidth[column]!);
      return;
    }
    const group = box.key.slice(0, -1);
    pen.frames.push({ group, label: this.#label(box.key), x: left, y: top, width: box.width, height: box.height });
    inside.draw(pen, left + PAD, top + HEADER, box.width);
  }

  #drawNode(pen: IPen, item: string, x: number, y: number, width: number): void {
    const members = this.levels.members.get(item) ?? [];
    pen.nodes.push({
      id: item.replace(/\.$/, ''),
      label: this.#label(item),
      x,
      y,
      width,
      height: NODE_HEIGHT,
      members
    });
  }

  #drawLane(pen: IPen, element: number, bundle: number, x: number, y: number): void {
    const column = this.#columns.columnOf[element]!;
    const left = x + this.#x[column]!;
    for (const [offset, edges] of this.#columns.spots(element, bundle, true)) {
      const at = y + this.#columns.y[element]! + offset;
      pen.strokes.push(level(at, left, left + this.#wide[column]!, this.#columns.bundles[bundle]!.data, edges));
    }
  }

  /** From a box that is narrower than its column to the gutter. */
  #drawStub(pen: IPen, element: number, bundle: number, edge: number, y: number): void {
    const columns = this.#columns;
    if (columns.laneOf.has(element)) {
      return;
    }
    const column = columns.rank[element]!;
    const own = columns.isFrame(element) ? columns.boxes[element]!.width : this.#leafWidth[column]!;
    const start = edge - this.#wide[column]! + own;
    if (start < edge) {
      for (const [offset, edges] of columns.spots(element, bundle, false)) {
        const at = y + columns.y[element]! + offset;
        pen.strokes.push(level(at, start, edge, columns.bundles[bundle]!.data, edges));
      }
    }
  }
}
