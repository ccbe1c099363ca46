// SPDX-License-Identifier: BSD-3-Clause
/**
 * One level of a layout: boxes in columns, ordered so that few edges cross and placed so that most run straight.
 *
 * A *bundle* is a set of edges that share one trunk. Where it crosses a column it has a *lane* of its own there, so no edge ever lies
 * behind a box. Boxes and lanes are the *elements* of a column; a *joint* is what one bundle does in one gutter.
 */

import { forPairs, portKey, ranks, type IBox, type IBundle, type IEnd, type IJoint } from './bundles.js';
import { inversions } from './inversions.js';
import { largest, median, round } from './numbers.js';
import type { EdgeSet } from './routes.js';

/** Down between two boxes, between a frame and its neighbour, and around a lane. */
export const GAP = 8;
const FRAME_GAP = 16;
const LANE = 12;
/** Between two routes that arrive at one box, and how much of its side they may take. */
const PORT_STEP = 10;
const PORT_SPAN = 28;
/** A lane may come this much nearer to its neighbour when that makes it straight. */
const SLACK = 2;
const SWEEPS = 4;
/** Where lines meet a lane. */
const MIDDLE: readonly number[] = [0];
/** Beyond this many elements, ordering stops after two sweeps: nobody sees one crossing less in a hundred thousand. */
const MANY = 20_000;

/** The elements of one level with their columns, order and heights (`y` is the middle of an element; everything is an integer). */
export class Columns {
  readonly rank: readonly number[];
  readonly count: number;
  /** Elements are numbered: boxes first, then lanes. A lane knows its bundle. */
  readonly laneOf = new Map<number, number>();
  readonly half: number[];
  readonly joints: IJoint[] = [];
  readonly columnOf: number[];
  y: number[];

  readonly #lanes = new Map<string, number>();
  #columns: number[][];
  #place: number[] = [];
  #wishes = new Float64Array(0);
  readonly #leftJoints: IJoint[][];
  readonly #rightJoints: IJoint[][];
  readonly #ports = new Map<number, number>();

  constructor(
    readonly boxes: readonly IBox[],
    readonly bundles: readonly IBundle[]
  ) {
    this.rank = ranks(boxes.length, bundles);
    this.count = 1 + largest(this.rank, -1);
    this.half = boxes.map(box => box.height / 2);
    this.columnOf = [...this.rank];
    bundles.forEach((bundle, number) => this.#addJoints(number, bundle));
    this.#columns = Array.from({ length: this.count }, () => []);
    this.#leftJoints = this.half.map(() => []);
    this.#rightJoints = this.half.map(() => []);
    for (const joint of this.joints) {
      joint.rights.forEach(element => this.#leftJoints[element]!.push(joint));
      joint.lefts.forEach(element => this.#rightJoints[element]!.push(joint));
    }
    this.#order();
    this.#choosePorts();
    this.y = this.half.map(() => 0);
    this.#settleAll();
    this.#straighten();
  }

  // --- building -----------------------------------------------------------------------------------------------------

  #addJoints(number: number, bundle: IBundle): void {
    const first = bundle.sources.length ? Math.min(...bundle.sources.map(end => this.rank[end.box]!)) : -1;
    const last = bundle.targets.length
      ? largest(
          bundle.targets.map(end => this.rank[end.box]!),
          -1
        )
      : this.count;
    for (let column = first + 1; column < last; column++) {
      const element = this.half.length;
      this.half.push(LANE / 2);
      this.columnOf.push(column);
      this.#lanes.set(`${number} ${column}`, element);
      this.laneOf.set(element, number);
    }
    for (let right = first + 1; right <= last; right++) {
      const lefts = this.#at(number, bundle.sources, right - 1);
      const rights = this.#at(number, bundle.targets, right);
      this.joints.push({ bundle: number, right, lefts, rights });
    }
  }

  #at(number: number, ends: readonly IEnd[], column: number): number[] {
    const found = new Set<number>();
    for (const end of ends) {
      if (this.rank[end.box] === column) {
        found.add(end.box);
      }
    }
    const lane = this.#lanes.get(`${number} ${column}`);
    return lane === undefined ? [...found] : [...found, lane];
  }

  #isLane(element: number): boolean {
    return element >= this.boxes.length;
  }

  isFrame(element: number): boolean {
    return this.boxes[element]?.inputs !== undefined;
  }

  // --- order within columns -----------------------------------------------------------------------------------------

  /** Sweeps to and fro put each element near the middle of its neighbours; the order with the fewest crossings stays, the written one first. */
  #order(): void {
    const written = this.#written();
    const all = this.half.map((_, element) => element);
    all.sort((a, b) => written[a]! - written[b]! || a - b);
    for (const element of all) {
      this.#columns[this.columnOf[element]!]!.push(element);
    }
    this.#place = this.half.map(() => 0);
    this.#wishes = new Float64Array(this.half.length);
    this.#columns.forEach(column => this.#note(column));
    let best = this.#columns.map(column => [...column]);
    let fewest = this.#crossings();
    const sweeps = this.half.length > MANY ? 2 : SWEEPS * 2;
    for (let sweep = 0; sweep < sweeps && fewest; sweep++) {
      const forward = sweep % 2 === 0;
      for (let step = 0; step < this.count; step++) {
        this.#sort(forward ? step : this.count - 1 - step, forward);
      }
      const crossings = this.#crossings();
      if (crossings < fewest) {
        best = this.#columns.map(column => [...column]);
        fewest = crossings;
      }
    }
    this.#columns = best;
    this.#columns.forEach(column => this.#note(column));
  }

  /** Boxes as written; a lane between its sources. */
  #written(): number[] {
    const places = this.boxes.map((_, place) => place);
    for (const number of this.laneOf.values()) {
      const bundle = this.bundles[number]!;
      const ends = bundle.sources.length ? bundle.sources : bundle.targets;
      places.push(ends.reduce((total, end) => total + end.box, 0) / ends.length + 0.5);
    }
    return places;
  }

  #note(column: readonly number[]): void {
    column.forEach((element, place) => {
      this.#place[element] = (place + 0.5) / column.length;
    });
  }

  #sort(number: number, forward: boolean): void {
    const column = this.#columns[number]!;
    const joints = forward ? this.#leftJoints : this.#rightJoints;
    const wish = this.#wishes;
    for (const element of column) {
      let total = 0;
      let count = 0;
      for (const joint of joints[element]!) {
        for (const other of forward ? joint.lefts : joint.rights) {
          total += this.#place[other]!;
          count++;
        }
      }
      wish[element] = count ? total / count : this.#place[element]!;
    }
    column.sort((a, b) => wish[a]! - wish[b]!);
    this.#note(column);
  }

  /** How many pairs of lines cross; counted from column to column. */
  #crossings(): number {
    const place: number[] = [];
    this.#columns.forEach(column => column.forEach((element, spot) => (place[element] = spot)));
    const lines: [number, number][][] = Array.from({ length: this.count + 1 }, () => []);
    for (const joint of this.joints) {
      if (joint.lefts.length && joint.rights.length) {
        const gutter = lines[joint.right]!;
        forPairs(joint, (left, right) => gutter.push([place[left]!, place[right]!]));
      }
    }
    let total = 0;
    lines.forEach((gutter, number) => {
      if (gutter.length) {
        gutter.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
        total += inversions(
          gutter.map(line => line[1]),
          this.#columns[number]!.length
        );
      }
    });
    return total;
  }

  // --- ports --------------------------------------------------------------------------------------------------------

  #portOf(element: number, bundle: number, incoming: boolean): number {
    return (element * this.bundles.length + bundle) * 2 + Number(incoming);
  }

  /** Routes that meet one side of a box lie 10 px apart, in the order of where they come from or go to. */
  #choosePorts(): void {
    this.boxes.forEach((_, element) => {
      if (this.isFrame(element)) {
        return;
      }
      for (const incoming of [true, false]) {
        const joints = (incoming ? this.#leftJoints : this.#rightJoints)[element]!;
        const wishes = joints.map((joint): [number, number] => [this.#far(joint, incoming), joint.bundle]);
        wishes.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
        const step = Math.min(PORT_STEP, Math.floor(PORT_SPAN / Math.max(1, wishes.length - 1)));
        const top = Math.floor(-(step * (wishes.length - 1)) / 2);
        wishes.forEach(([, bundle], spot) =>
          this.#ports.set(this.#portOf(element, bundle, incoming), top + spot * step)
        );
      }
    });
  }

  #far(joint: IJoint, incoming: boolean): number {
    const others = incoming ? joint.lefts : joint.rights;
    return others.length ? others.reduce((total, other) => total + this.#place[other]!, 0) / others.length : 0.5;
  }

  /** As `spots`, without the edges. */
  #heights(element: number, bundle: number, incoming: boolean): readonly number[] {
    if (this.#isLane(element)) {
      return MIDDLE;
    }
    const port = this.#ports.get(this.#portOf(element, bundle, incoming));
    if (port !== undefined) {
      return [port];
    }
    const whole = this.bundles[bundle]!;
    const found = new Set<number>();
    for (const end of incoming ? whole.targets : whole.sources) {
      if (end.box === element) {
        found.add(this.#offset(element, bundle, end, incoming));
      }
    }
    return [...found].sort((a, b) => a - b);
  }

  /** Where this bundle meets an element, as heights from its middle with the edges that pass there: several for a frame. */
  spots(element: number, bundle: number, incoming: boolean): [number, EdgeSet][] {
    const whole = this.bundles[bundle]!;
    if (this.#isLane(element)) {
      return [[0, this.#through(element, whole)]];
    }
    const leaves = new Map<string, number>();
    const found = new Map<number, Set<number>>();
    for (const end of incoming ? whole.targets : whole.sources) {
      if (end.box === element) {
        const offset = this.#offset(element, bundle, end, incoming);
        leaves.set(end.leaf, offset);
        if (!found.has(offset)) {
          found.set(offset, new Set());
        }
      }
    }
    for (const edge of whole.edges) {
      const offset = leaves.get(incoming ? edge.to : edge.from);
      if (offset !== undefined) {
        found.get(offset)!.add(edge.number);
      }
    }
    return [...found].sort((a, b) => a[0] - b[0]);
  }

  #offset(element: number, bundle: number, end: IEnd, incoming: boolean): number {
    const box = this.boxes[element]!;
    const known = incoming ? box.inputs : box.outputs;
    return known
      ? known.get(portKey(end.leaf, this.bundles[bundle]!.data))!
      : this.#ports.get(this.#portOf(element, bundle, incoming))!;
  }

  /** The edges that pass a lane: from a source at its left to a target at its right. */
  #through(lane: number, bundle: IBundle): EdgeSet {
    const column = this.columnOf[lane]!;
    const lefts = new Set(bundle.sources.filter(end => this.rank[end.box]! < column).map(end => end.leaf));
    const rights = new Set(bundle.targets.filter(end => this.rank[end.box]! > column).map(end => end.leaf));
    const found = new Set<number>();
    for (const edge of bundle.edges) {
      if ((!bundle.sources.length || lefts.has(edge.from)) && (!bundle.targets.length || rights.has(edge.to))) {
        found.add(edge.number);
      }
    }
    return found;
  }

  // --- heights ------------------------------------------------------------------------------------------------------

  #settleAll(): void {
    for (const column of this.#columns) {
      let depth = 0;
      column.forEach((element, spot) => {
        depth += spot ? this.#apart(column[spot - 1]!, element) : 0;
        this.y[element] = depth;
      });
    }
    for (let sweep = 0; sweep < SWEEPS; sweep++) {
      for (let number = 1; number < this.count; number++) {
        this.#settle(number, true, false);
      }
      for (let number = this.count - 2; number >= 0; number--) {
        this.#settle(number, false, true);
      }
    }
    for (let number = 0; number < this.count; number++) {
      this.#settle(number, true, number === 0);
    }
    let top = Infinity;
    this.y.forEach((y, element) => (top = Math.min(top, y - this.half[element]!)));
    this.y = this.y.map(y => round(y - top));
  }

  #apart(upper: number, lower: number): number {
    const lanes = Number(this.#isLane(upper)) + Number(this.#isLane(lower));
    const frames = this.isFrame(upper) || this.isFrame(lower);
    const gap = lanes === 2 ? 0 : frames ? FRAME_GAP : GAP;
    return this.half[upper]! + this.half[lower]! + gap;
  }

  /** Each element as near to its neighbours' height as order and gaps allow (least squares, by pooling adjacent violators). */
  #settle(number: number, left: boolean, right: boolean): void {
    const elements = this.#columns[number]!;
    const depths: number[] = [];
    let depth = 0;
    const blocks: [number, number, number][] = []; // mean, weight, how many
    elements.forEach((element, spot) => {
      depth += spot ? this.#apart(elements[spot - 1]!, element) : 0;
      depths.push(depth);
      const [wish, insists] = this.#wish(element, left, right);
      let mean = wish - depth;
      let weight = insists;
      let count = 1;
      while (blocks.length && blocks.at(-1)![0] > mean) {
        const [other, otherWeight, more] = blocks.pop()!;
        mean = (mean * weight + other * otherWeight) / (weight + otherWeight);
        weight += otherWeight;
        count += more;
      }
      blocks.push([mean, weight, count]);
    });
    let spot = 0;
    for (const [mean, , count] of blocks) {
      const level = round(mean);
      for (const stop = spot + count; spot < stop; spot++) {
        this.y[elements[spot]!] = level + depths[spot]!;
      }
    }
  }

  /** The height this element would like, and how much it insists; lanes insist most, so that they run straight. */
  #wish(element: number, left: boolean, right: boolean): [number, number] {
    const wishes: number[] = [];
    for (const [incoming, wanted] of [
      [true, left],
      [false, right]
    ] as const) {
      if (!wanted) {
        continue;
      }
      for (const joint of (incoming ? this.#leftJoints : this.#rightJoints)[element]!) {
        const own = median(this.#heights(element, joint.bundle, incoming));
        for (const other of incoming ? joint.lefts : joint.rights) {
          for (const height of this.#heights(other, joint.bundle, !incoming)) {
            wishes.push(this.y[other]! + height - own);
          }
        }
      }
    }
    return wishes.length ? [median(wishes), this.#isLane(element) ? 8 : 1] : [this.y[element]!, 0.5];
  }

  /** A line that would jog by a few pixels is drawn straight instead: its port moves along the box's side, its lanes with it. */
  #straighten(): void {
    for (const joint of this.joints) {
      this.#levelLanes(joint);
      const { jog, left, right } = this.#leastJog(joint);
      if (!jog || Math.abs(jog) > PORT_STEP) {
        continue;
      }
      const moved = joint.rights.length === 1 && this.#move(right, joint.bundle, jog, true);
      if (!moved && joint.lefts.length === 1) {
        if (joint.rights.length === 1) {
          this.#moveBack(left, joint.bundle, -jog);
        } else {
          this.#move(left, joint.bundle, -jog, false);
        }
      }
    }
  }

  /** How much lower the straightest line of a star begins than it ends, with its two elements. */
  #leastJog(joint: IJoint): { jog: number; left: number; right: number } {
    let least = { jog: 0, left: 0, right: 0 };
    if (joint.lefts.length > 1 && joint.rights.length > 1) {
      return least;
    }
    let found = false;
    for (const left of joint.lefts) {
      const starts = this.#heights(left, joint.bundle, false);
      for (const right of starts.length === 1 ? joint.rights : []) {
        const ends = this.#heights(right, joint.bundle, true);
        if (ends.length === 1) {
          const jog = round(this.y[left]! + starts[0]! - this.y[right]! - ends[0]!);
          if (!found || Math.abs(jog) < Math.abs(least.jog)) {
            least = { jog, left, right };
            found = true;
          }
        }
      }
    }
    return least;
  }

  /** Two lanes of one bundle side by side: the right one takes the height of the left one when there is room. */
  #levelLanes(joint: IJoint): void {
    const left = joint.lefts.find(element => this.#isLane(element));
    const right = joint.rights.find(element => this.#isLane(element));
    if (left !== undefined && right !== undefined) {
      const jog = round(this.y[left]! - this.y[right]!);
      if (jog && Math.abs(jog) <= PORT_STEP && this.#hasRoom(right, jog)) {
        this.y[right]! += jog;
      }
    }
  }

  /** Move the port a line comes from, and the lanes in between; nothing moves when one of them cannot. */
  #moveBack(start: number, bundle: number, by: number): void {
    const lanes: number[] = [];
    let element = start;
    while (this.#isLane(element)) {
      lanes.push(element);
      const joint = this.#leftJoints[element]![0]!;
      if (joint.lefts.length !== 1 || joint.rights.length !== 1 || !this.#hasRoom(element, by)) {
        return;
      }
      element = joint.lefts[0]!;
    }
    if (this.#move(element, bundle, by, false)) {
      lanes.forEach(lane => (this.y[lane]! += by));
    }
  }

  #hasRoom(lane: number, by: number): boolean {
    const column = this.#columns[this.columnOf[lane]!]!;
    const spot = column.indexOf(lane);
    const other = column[by < 0 ? spot - 1 : spot + 1];
    if (other === undefined) {
      return true;
    }
    const room = by < 0 ? this.y[lane]! + by - this.y[other]! : this.y[other]! - this.y[lane]! - by;
    return room >= this.#apart(lane, other) - SLACK;
  }

  #move(element: number, bundle: number, by: number, incoming: boolean): boolean {
    const port = this.#portOf(element, bundle, incoming);
    const now = this.#ports.get(port);
    if (now === undefined) {
      return false;
    }
    const wanted = now + by;
    if (Math.abs(wanted) > PORT_SPAN / 2) {
      return false;
    }
    for (const joint of (incoming ? this.#leftJoints : this.#rightJoints)[element]!) {
      const other = this.#ports.get(this.#portOf(element, joint.bundle, incoming))!;
      if (joint.bundle !== bundle && Math.abs(wanted - other) < PORT_STEP - 2) {
        return false;
      }
    }
    this.#ports.set(port, wanted);
    return true;
  }
}
