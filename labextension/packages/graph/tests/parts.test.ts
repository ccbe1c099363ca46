// SPDX-License-Identifier: BSD-3-Clause
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { GraphView } from '../src/graph.js';
import { labelsOf } from '../src/labels.js';
import { layout } from '../src/layout.js';
import { FlowModel } from '../src/model.js';
import type { IOpening } from '../src/options.js';
import { edge, payload, small, task } from './flows.js';

describe('parts of the graph', () => {
  let model: FlowModel;
  let graph: GraphView;
  let opened: [string, IOpening][];
  let acted: [string, string][];

  const node = (id: string): SVGElement => graph.element.querySelector<SVGElement>(`[data-id="${id}"]`)!;
  const press = (key: string): void => {
    document.activeElement!.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true, cancelable: true }));
  };
  const button = (name: string): HTMLButtonElement =>
    [...graph.element.querySelectorAll('button')].find(one => one.textContent === name)!;

  beforeEach(() => {
    vi.useFakeTimers();
    opened = [];
    acted = [];
    model = new FlowModel();
    model.update(small());
    graph = new GraphView(model, {
      onOpen: (id, what) => opened.push([id, what]),
      onAct: (verb, id) => acted.push([verb, id])
    });
    document.body.append(graph.element);
  });

  afterEach(() => {
    graph.dispose();
    vi.useRealTimers();
  });

  it('opens a log or outputs, repeats and stops a task by keys', () => {
    node('join').focus();
    ['l', 'o', 'r', 'x'].forEach(press);
    expect(opened).toEqual([
      ['join', { part: 'log' }],
      ['join', { part: 'outputs' }]
    ]);
    expect(acted).toEqual([
      ['retry', 'join'],
      ['cancel', 'join']
    ]);
  });

  it('leaves keys to the page that mean nothing here', () => {
    node('join').focus();
    const event = new KeyboardEvent('keydown', { key: 'q', bubbles: true, cancelable: true });
    document.activeElement!.dispatchEvent(event);
    expect(event.defaultPrevented).toBe(false);
  });

  it('shows the critical path when asked, and says its shares', () => {
    expect(button('Critical path').hidden).toBe(true);
    model.apply({
      'get.one': { state: 'success', duration: 1 },
      join: { state: 'success', duration: 3 }
    });
    vi.runAllTimers();
    button('Critical path').click();
    expect(node('join').textContent).toContain('3.0 s, 75 %');
    expect(node('join').getAttribute('aria-label')).toContain('75 % of the critical path');
    expect(node('join').classList.contains('nbflow-mod-critical')).toBe(true);
    expect(graph.element.querySelectorAll('.nbflow-critical .nbflow-edge')).toHaveLength(1);
    button('Critical path').click();
    expect(node('join').classList.contains('nbflow-mod-critical')).toBe(false);
    expect(graph.element.querySelector('.nbflow-critical')!.childElementCount).toBe(0);
  });

  it('follows the critical path as states change', () => {
    graph.showCritical(true);
    model.apply({ 'get.two': { state: 'running', duration: 9 }, 'get.one': { state: 'success', duration: 1 } });
    vi.runAllTimers();
    expect(node('get.two').classList.contains('nbflow-mod-critical')).toBe(true);
    model.apply({ 'get.one': { duration: 20 } });
    vi.runAllTimers();
    expect(node('get.two').classList.contains('nbflow-mod-critical')).toBe(false);
    expect(node('get.one').classList.contains('nbflow-mod-critical')).toBe(true);
  });

  it('folds all groups and opens them', () => {
    button('Fold groups').click();
    expect(node('get').getAttribute('aria-expanded')).toBe('false');
    expect(button('Fold groups').getAttribute('aria-pressed')).toBe('true');
    button('Fold groups').click();
    expect(graph.element.querySelectorAll('.nbflow-node')).toHaveLength(5);
  });

  it('lists the copies of a mapped task, failed first, each by its value', () => {
    const instances = [
      { index: 0, state: 'success' as const, value: "'bern'", duration: 1 },
      { index: 1, state: 'failed' as const, value: "'basel'", reason: 'Failed: <b>no</b>.' },
      { index: 2, state: 'running' as const }
    ];
    model.update(
      payload([task('score', { state: 'running', copies: { success: 125, failed: 1, running: 1 }, instances })], [])
    );
    node('score').focus();
    press('Enter');
    const list = graph.element.querySelector('.nbflow-copies-list')!;
    const names = [...list.querySelectorAll('.nbflow-copy .nbflow-strong')].map(one => one.textContent);
    expect(names).toEqual(["'basel'", 'copy 2', "'bern'"]);
    expect(list.textContent).toContain('Failed: <b>no</b>.');
    expect(list.textContent).toContain('124 more');
    expect(list.querySelector('.nbflow-copy b')).toBeNull();
    press('ArrowDown');
    expect((document.activeElement as HTMLElement).dataset['copy']).toBe('2');
    model.apply({ score: { instances: instances.map(one => ({ ...one, state: 'success' as const })) } });
    vi.runAllTimers();
    expect((document.activeElement as HTMLElement).dataset['copy']).toBe('2');
    press('Escape');
    expect((document.activeElement as SVGElement).dataset['id']).toBe('score');
    press('Enter');
    list.querySelector<HTMLElement>('.nbflow-copy')!.click();
    expect(opened).toEqual([['score', { copy: 0 }]]);
  });

  it('draws the way from a setup to its teardown as its own kind of line', () => {
    model.update(payload([task('up', { kind: 'setup' }), task('down', { kind: 'teardown' })], [edge('up', 'down')]));
    expect(graph.element.querySelectorAll('.nbflow-edges .nbflow-mod-setup')).toHaveLength(1);
  });

  it('has elements for a few of a crowd only', () => {
    const ids = Array.from({ length: 600 }, (_, place) => `t${place}`);
    model.update(
      payload(
        ids.map(id => task(id)),
        ids.slice(1).map((id, place) => edge(ids[place]!, id, 'x'))
      )
    );
    vi.runAllTimers();
    expect(graph.element.querySelectorAll('.nbflow-node').length).toBeLessThan(10);
    node('t0').focus();
    press('ArrowRight');
    expect((document.activeElement as SVGElement).dataset['id']).toBe('t1');
    press('End');
    expect(document.activeElement!.getAttribute('aria-label')).toBe('t599, not started');
  });

  it('says all ends of tasks, a few at a time', () => {
    const live = graph.element.querySelector('[aria-live]')!;
    model.apply({ 'get.one': { state: 'running' }, 'get.two': { state: 'running' } });
    model.apply({ 'get.one': { state: 'success' } });
    expect(live.textContent).toBe('get.one succeeded, 1 of 5 finished');
    model.apply({ 'get.two': { state: 'failed' } });
    expect(live.textContent).toBe('get.one succeeded, 1 of 5 finished');
    vi.advanceTimersByTime(5000);
    expect(live.textContent).toBe('get.two failed, 2 of 5 finished');
  });
});

describe('names on lines', () => {
  const drawn = layout(['a', 'b', 'c', 'd'], [edge('a', 'b', 'x'), edge('b', 'c', 'y'), edge('a', 'c', 'readings')]);
  const all = new Set(drawn.edges.map(one => one.number));

  it('stand on the longest level piece of their line', () => {
    const long = drawn.edges.find(one => one.from === 'a' && one.to === 'c')!.number;
    const [label] = labelsOf(drawn, new Set([long]), () => ['readings']);
    const middle = drawn.nodes.find(node => node.id === 'b')!;
    expect(label!.text).toBe('readings');
    expect(label!.x).toBeGreaterThan(middle.x);
    expect(label!.x).toBeLessThan(middle.x + middle.width);
    expect(label!.y < middle.y || label!.y > middle.y + middle.height).toBe(true);
  });

  it('are left out where there is no room for them', () => {
    const short = drawn.edges.find(one => one.from === 'a' && one.to === 'b')!.number;
    expect(labelsOf(drawn, new Set([short]), () => ['a_name_longer_than_the_gutter'])).toEqual([]);
  });

  it('never lie on each other', () => {
    const labels = labelsOf(drawn, all, () => ['x']);
    const spots = labels.map(label => `${Math.round(label.x / 8)} ${label.y}`);
    expect(new Set(spots).size).toBe(spots.length);
  });
});
