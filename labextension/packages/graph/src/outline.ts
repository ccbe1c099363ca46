// SPDX-License-Identifier: BSD-3-Clause
/** A flow as it is laid out now: which node stands for which task, what travels along which line, which groups there are. */

import { kindsOf, type KindOf } from './edges.js';
import { groupsToFold, layout, type ILayout, type INode } from './layout.js';
import type { FlowModel } from './model.js';
import { nodeId, Walk } from './walk.js';

/** Which groups a person folded or unfolded; of all others the size of the flow decides. */
export class Folds {
  readonly #folded = new Set<string>();
  readonly #unfolded = new Set<string>();

  set(group: string, folded: boolean): void {
    (folded ? this.#folded : this.#unfolded).add(group);
    (folded ? this.#unfolded : this.#folded).delete(group);
  }

  of(ids: readonly string[]): Set<string> {
    return new Set([...groupsToFold(ids), ...this.#folded].filter(group => !this.#unfolded.has(group)));
  }
}

export class Outline {
  readonly layout: ILayout;
  readonly walk: Walk;
  readonly places: ReadonlyMap<string, INode>;
  /** The outermost groups. */
  readonly groups: ReadonlySet<string>;
  readonly isFolded: boolean;
  readonly #homes: ReadonlyMap<string, string>;
  readonly #names: ReadonlyMap<string, ReadonlySet<string>>;
  readonly #keys: ReadonlyMap<number, string>;

  constructor(
    private readonly model: FlowModel,
    folds: Folds
  ) {
    const { ids } = model;
    const folded = folds.of(ids);
    this.layout = layout(ids, model.edges, folded);
    this.walk = new Walk(this.layout);
    const { nodes, edges } = this.layout;
    this.places = new Map(nodes.map(node => [node.id, node]));
    this.groups = new Set(ids.filter(id => id.includes('.')).map(id => id.slice(0, id.indexOf('.'))));
    this.isFolded = [...this.groups].every(group => folded.has(group));
    this.#homes = new Map(nodes.flatMap(node => node.members.map(id => [id, node.id] as const)));
    this.#keys = new Map(edges.map(edge => [edge.number, `${nodeId(edge.from)}\n${nodeId(edge.to)}`]));
    const names = new Map<string, Set<string>>();
    for (const edge of model.edges) {
      const key = this.#key(edge.from, edge.to);
      names.set(key, new Set([...(names.get(key) ?? []), ...(edge.names ?? [])]));
    }
    this.#names = names;
  }

  /** The node that stands for a task: its own, or the folded group it is in. */
  homeOf(id: string | null): string | null {
    return id === null ? null : this.places.has(id) ? id : (this.#homes.get(id) ?? null);
  }

  /** Where a group begins, folded or not. */
  cornerOf(group: string): { x: number; y: number } | undefined {
    return this.layout.frames.find(frame => frame.group === group) ?? this.places.get(group);
  }

  /** The innermost unfolded group around a task. */
  groupAround(id: string): string | undefined {
    return this.layout.frames.filter(frame => id.startsWith(`${frame.group}.`)).at(-1)?.group;
  }

  /** Nodes with a task that failed. */
  failed(): INode[] {
    return this.layout.nodes.filter(place =>
      (place.members.length ? place.members : [place.id]).some(id => this.model.task(id)?.state === 'failed')
    );
  }

  /** The variables that travel along an edge. */
  namesOn(edge: number): readonly string[] {
    return [...(this.#names.get(this.#keys.get(edge) ?? '') ?? [])];
  }

  /** The edges from each of these tasks to the next. */
  edgesAlong(ids: readonly string[]): Set<number> {
    const steps = new Set(ids.slice(1).map((id, place) => this.#key(ids[place]!, id)));
    return new Set([...this.#keys].filter(([, key]) => steps.has(key)).map(([number]) => number));
  }

  /** The kinds of its lines as tasks stand now, and what tells these kinds from others. */
  kinds(): { key: string; kindOf: KindOf } {
    const is = (key: 'state' | 'kind', value: string, leaf: string): boolean => this.model.task(leaf)?.[key] === value;
    const { edges } = this.layout;
    const dim = edges.filter(edge => is('state', 'skipped', edge.to)).map(edge => edge.number);
    const setup = edges.filter(edge => is('kind', 'setup', edge.from) && is('kind', 'teardown', edge.to));
    return { key: dim.join(), kindOf: kindsOf(new Set(dim), new Set(setup.map(edge => edge.number))) };
  }

  #key(from: string, to: string): string {
    return `${this.homeOf(from)}\n${this.homeOf(to)}`;
  }
}
