// SPDX-License-Identifier: BSD-3-Clause
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { GraphView } from '../src/graph.js';
import { FlowModel } from '../src/model.js';
import { payload, small, task } from './flows.js';

describe('the graph', () => {
  let model: FlowModel;
  let graph: GraphView;
  const chosen: (string | null)[] = [];
  const opened: string[] = [];

  const node = (id: string): SVGElement => graph.element.querySelector<SVGElement>(`[data-id="${id}"]`)!;
  const names = (): string[] =>
    [...graph.element.querySelectorAll<SVGElement>('.nbflow-node')].map(one => one.dataset['id']!);
  const press = (key: string): void => {
    document.activeElement!.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true, cancelable: true }));
  };
  const focused = (): string | undefined => (document.activeElement as SVGElement | null)?.dataset['id'];

  beforeEach(() => {
    vi.useFakeTimers();
    chosen.length = 0;
    opened.length = 0;
    model = new FlowModel();
    model.update(small());
    graph = new GraphView(model, { onSelect: id => chosen.push(id), onOpen: id => opened.push(id) });
    document.body.append(graph.element);
  });

  afterEach(() => {
    graph.dispose();
    vi.useRealTimers();
  });

  it('has a button for each task, and one of them in the tab order', () => {
    expect(names()).toEqual(['get.one', 'get.two', 'join', 'left', 'right']);
    const buttons = [...graph.element.querySelectorAll('.nbflow-node')];
    expect(buttons.every(button => button.getAttribute('role') === 'button')).toBe(true);
    expect(buttons.filter(button => button.getAttribute('tabindex') === '0')).toHaveLength(1);
  });

  it('says each task and its state in words', () => {
    model.apply({
      join: { state: 'up_for_retry', attempt: 1, reason: 'Attempt 2 of 3 starts in 18 s. Attempt 1 failed: no.' }
    });
    vi.runAllTimers();
    expect(node('join').getAttribute('aria-label')).toBe('join, 2 of 3 in 18 s, waits to be retried');
  });

  it('follows edges and columns with the arrow keys', () => {
    node('get.one').focus();
    press('ArrowRight');
    expect(focused()).toBe('join');
    press('ArrowRight');
    expect(['left', 'right']).toContain(focused());
    press('Home');
    press('ArrowDown');
    expect(focused()).toBe('get.two');
    press('End');
    expect(focused()).toBe('right');
    press('ArrowLeft');
    expect(focused()).toBe('join');
  });

  it('selects and opens with Enter, and lets go with Escape', () => {
    node('join').focus();
    press('Enter');
    expect(chosen).toEqual(['join']);
    expect(opened).toEqual(['join']);
    expect(node('join').getAttribute('aria-pressed')).toBe('true');
    press('Escape');
    press('Escape');
    expect(chosen).toEqual(['join', null]);
  });

  it('goes to the next failed task with a dot', () => {
    model.apply({ left: { state: 'failed' }, right: { state: 'failed' } });
    node('join').focus();
    press('.');
    const first = focused();
    press('.');
    expect([first, focused()].sort()).toEqual(['left', 'right']);
  });

  it('changes what changed and nothing else', () => {
    const before = node('left');
    model.apply({ join: { state: 'running', duration: 3 } });
    vi.runAllTimers();
    expect(node('left')).toBe(before);
    expect(node('join').dataset['state']).toBe('running');
    expect(node('join').textContent).toContain('3.0 s');
  });

  it('takes a whole payload of the same flow as a change of states', () => {
    const before = node('join');
    const next = small();
    model.update({ ...next, tasks: next.tasks.map(one => ({ ...one, state: 'success', duration: 1 })) });
    vi.runAllTimers();
    expect(node('join')).toBe(before);
    expect(node('join').dataset['state']).toBe('success');
  });

  it('draws again when the flow itself changed', () => {
    model.update(payload([task('only')], []));
    expect(names()).toEqual(['only']);
  });

  it('folds a group into one node and opens it again', () => {
    node('get.one').focus();
    press(' ');
    expect(names()).toEqual(['get', 'join', 'left', 'right']);
    expect(node('get').getAttribute('aria-label')).toBe('Group get, 2 tasks, folded');
    expect(focused()).toBe('get');
    press(' ');
    expect(names()).toContain('get.two');
  });

  it('shows a folded group as its loudest task', () => {
    graph.fold('get', true);
    model.apply({ 'get.one': { state: 'failed' }, 'get.two': { state: 'success' } });
    vi.runAllTimers();
    expect(node('get').dataset['state']).toBe('failed');
    expect(node('get').textContent).toContain('1 of 2 failed');
  });

  it('draws copies of a mapped task as one node with counts', () => {
    model.update(payload([task('score', { state: 'running', copies: { success: 121, running: 5, failed: 2 } })], []));
    expect(node('score').textContent).toContain('x 128');
    expect(node('score').textContent).toContain('123 of 128, 2 failed');
    expect(node('score').querySelectorAll('.nbflow-bar1')).toHaveLength(3);
  });

  it('puts what others wrote in as text', () => {
    const evil = '<img src=x onerror=alert(1)>';
    model.update(payload([task(evil, { state: 'failed', reason: evil })], []));
    node(evil).focus();
    press('w');
    vi.runAllTimers();
    expect(graph.element.querySelector('img')).toBeNull();
    expect(graph.element.querySelector('.nbflow-why')!.textContent).toContain(evil);
  });

  it('says ends of tasks in the live region', () => {
    model.apply({ join: { state: 'running' } });
    model.apply({ join: { state: 'failed' } });
    expect(graph.element.querySelector('[aria-live]')!.textContent).toBe('join failed, 1 of 5 finished');
  });

  it('explains what a task waits for', () => {
    model.apply({
      'get.one': { state: 'running', duration: 24 },
      join: { state: 'pending', reason: 'Waiting for get.one.' }
    });
    node('join').focus();
    press('w');
    vi.runAllTimers();
    const why = graph.element.querySelector('.nbflow-why')!.textContent;
    expect(why).toContain('Waiting for get.one.');
    expect(why).toContain('24.0 s');
  });
});
