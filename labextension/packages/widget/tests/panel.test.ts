// SPDX-License-Identifier: BSD-3-Clause
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { IGraphPayload } from '@nbflow/graph';
import type { IRequest } from '../src/actions.js';
import { coloured } from '../src/ansi.js';
import { Panel } from '../src/panel.js';

const FLOW: IGraphPayload = {
  flow: 'demo',
  state: 'running',
  tasks: [
    { id: 'one', state: 'success', duration: 1 },
    { id: 'two', state: 'failed', reason: 'Failed: no.' },
    { id: 'three', state: 'upstream_failed', reason: 'Did not run: two failed.' },
    { id: 'four', state: 'running', duration: 3 }
  ],
  edges: [
    { from: 'one', to: 'two', names: ['x'] },
    { from: 'two', to: 'three', names: ['y'] },
    { from: 'one', to: 'four', names: ['x'] }
  ]
};

describe('the panel', () => {
  let panel: Panel;
  let requests: IRequest[];
  let selected: (string | null)[];
  let shown: string[];

  const text = (selector: string): string => panel.element.querySelector(selector)!.textContent;
  const press = (label: string): void => {
    const buttons = [...panel.element.querySelectorAll('button')].filter(button => !button.hidden);
    buttons.find(button => (button.getAttribute('aria-label') ?? button.textContent) === label)!.click();
  };

  beforeEach(() => {
    vi.useFakeTimers();
    requests = [];
    selected = [];
    shown = [];
    panel = new Panel({
      onRequest: request => requests.push(request),
      onSelect: id => selected.push(id),
      onShow: id => shown.push(id)
    });
    panel.allow(['run', 'cancel', 'retry']);
    panel.setGraph(FLOW);
    panel.setRun({ run_id: 'r', state: 'running', elapsed: 31 });
    document.body.append(panel.element);
    vi.runAllTimers();
  });

  afterEach(() => {
    panel.dispose();
    vi.useRealTimers();
  });

  it('says how the run stands', () => {
    expect(text('.nbflow-summary')).toContain('Running, 31 s');
    expect(text('.nbflow-summary')).toContain('3 of 4 finished, 1 failed');
  });

  it('asks with numbers before it runs anything again', () => {
    press('Retry from here: two');
    expect(text('.nbflow-question')).toContain('Run two and 1 task after it again? 1 finished task is kept.');
    expect(requests).toEqual([]);
    press('Run 2 tasks');
    expect(requests).toEqual([{ kind: 'retry', tasks: ['two'] }]);
  });

  it('asks before it cancels the run, and can leave it', () => {
    press('Cancel');
    expect(text('.nbflow-question')).toContain(
      'Cancel this run? 1 running task stops now, 3 finished tasks stay as they are.'
    );
    press('Keep as it is');
    expect(requests).toEqual([]);
    press('Cancel');
    press('Cancel the run');
    expect(requests).toEqual([{ kind: 'cancel', tasks: [] }]);
  });

  it('cancels one task at once', () => {
    press('Cancel four');
    expect(requests).toEqual([{ kind: 'cancel', tasks: ['four'] }]);
  });

  it('offers to run again when the run has ended', () => {
    panel.setRun({ run_id: 'r', state: 'failed' });
    press('Run');
    expect(requests).toEqual([{ kind: 'run', tasks: [] }]);
  });

  it('shows the log of the chosen task, as text', () => {
    panel.setSelected('two');
    panel.setLog([{ time: '09:13:02.118', level: 'E', text: '<b>no</b>' }], 'log, attempt 1');
    panel.appendLog([{ text: 'more' }]);
    expect(text('.nbflow-log-head')).toContain('two');
    expect(panel.element.querySelectorAll('.nbflow-log-line')).toHaveLength(2);
    expect(panel.element.querySelector('.nbflow-log b')).toBeNull();
    expect(panel.element.querySelector<HTMLElement>('.nbflow-log-line')!.dataset['level']).toBe('E');
  });

  it('tells which task was chosen in the lines below', () => {
    [...panel.element.querySelectorAll<HTMLElement>('.nbflow-now button.nbflow-link')]
      .find(one => one.textContent === 'two')!
      .click();
    expect(selected).toEqual(['two']);
    expect(panel.element.querySelector('[data-id="two"]')!.getAttribute('aria-pressed')).toBe('true');
  });

  it('offers the runs of the flow', () => {
    panel.setRuns([
      { run_id: 'r', label: 'This run, 09:12' },
      { run_id: 'q', label: 'Yesterday' }
    ]);
    const select = panel.element.querySelector('select')!;
    expect(select.value).toBe('r');
    select.value = 'q';
    select.dispatchEvent(new Event('change'));
    expect(shown).toEqual(['q']);
  });

  it('applies a delta to its task alone', () => {
    panel.apply({ four: { state: 'success', duration: 4 } });
    vi.runAllTimers();
    expect(text('.nbflow-summary')).toContain('4 of 4 finished, 1 failed');
  });
});

describe('colours of a terminal', () => {
  it('are inks of the page, and what is no colour is left out', () => {
    const box = document.createElement('div');
    box.append(...coloured('\x1b[0;31mKeyError\x1b[0m: \x1b[1mno\x1b[22m \x1b[38;5;241mgrey\x1b[39m <b>'));
    expect(box.textContent).toBe('KeyError: no grey <b>');
    const spans = [...box.querySelectorAll('span')];
    expect(spans.map(span => [span.textContent, span.style.color, span.className])).toEqual([
      ['KeyError', 'var(--nbflow-failed)', ''],
      ['no', '', 'nbflow-strong']
    ]);
  });
});
