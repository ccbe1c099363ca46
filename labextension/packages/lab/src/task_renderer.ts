// SPDX-License-Identifier: BSD-3-Clause
/** A task's card: one line under its cell with the state, the sentence, what it reads and gives, and how long it took. */

import type { IRenderMime } from '@jupyterlab/rendermime-interfaces';
import { Widget } from '@lumino/widgets';
import { attemptWords, glyph, html, lookOf, LOOKS, names, took } from '@nbflow/graph';
import { isPayload } from './payload.js';
import { TASK_MIME, type ITaskPayload } from './task_cells.js';

/** Names shown of what a task reads, and of what it gives. */
const CHIPS = 2;

class RenderedTask extends Widget implements IRenderMime.IRenderer {
  constructor() {
    super();
    this.addClass('nbflow');
    this.addClass('nbflow-output');
    this.node.setAttribute('role', 'group');
  }

  renderModel(model: IRenderMime.IMimeModel): Promise<void> {
    const payload = model.data[TASK_MIME];
    if (isPayload<ITaskPayload>(payload, 'id')) {
      this.#draw(payload);
    } else {
      this.node.replaceChildren(html('div', 'nbflow-quiet', 'This card was written by a newer nbflow.'));
    }
    return Promise.resolve();
  }

  #draw(task: ITaskPayload): void {
    const look = lookOf(task);
    const said = [task.sentence, task.note].filter(Boolean).join(' ');
    const sentence = html('span', 'nbflow-quiet nbflow-cut', said);
    sentence.title = said;
    const card = html(
      'div',
      'nbflow-card',
      glyph(look),
      html('span', 'nbflow-card-name nbflow-cut', task.id),
      sentence
    );
    card.dataset['state'] = look;
    card.classList.toggle('nbflow-mod-tinted', Boolean(LOOKS[look].tinted));
    if (task.state !== null) {
      card.append(html('span', 'nbflow-chips', ...chips('reads', task.reads), ...chips('gives', task.writes)));
    }
    const right = [took(task), attemptWords(task)].filter(Boolean).join(', ');
    card.append(html('span', 'nbflow-card-right', right));
    if (task.state === 'running' && typeof task.progress === 'number') {
      const bar = html('i', 'nbflow-card-bar');
      bar.style.width = `${task.progress * 100}%`;
      card.append(bar);
    }
    this.node.setAttribute('aria-label', [task.id, LOOKS[look].word, right].filter(Boolean).join(', '));
    this.node.replaceChildren(card);
  }
}

function chips(word: string, list: readonly string[] = []): HTMLElement[] {
  if (!list.length) {
    return [];
  }
  const shown = list.slice(0, CHIPS).map(name => html('code', 'nbflow-chip', name));
  const rest = html('span', 'nbflow-chips-more', `+${list.length - CHIPS}`);
  rest.title = names(list);
  return [html('span', 'nbflow-chips-word', word), ...shown, ...(list.length > CHIPS ? [rest] : [])];
}

/** Safe and first, as the graph. */
export const taskRenderer: IRenderMime.IRendererFactory = {
  safe: true,
  mimeTypes: [TASK_MIME],
  defaultRank: 0,
  createRenderer: () => new RenderedTask()
};
