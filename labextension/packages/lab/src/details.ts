// SPDX-License-Identifier: BSD-3-Clause
/** What a task printed and showed, under the graph: drawn by the notebook's own renderers, as much trusted as where it comes from. */

import type { IOutput } from '@jupyterlab/nbformat';
import type { NotebookPanel } from '@jupyterlab/notebook';
import { OutputAreaModel, SimplifiedOutputArea, type IOutputAreaModel } from '@jupyterlab/outputarea';
import { glyph, html, lookOf, LOOKS, Pace, writeText, type FlowModel, type IOpening } from '@nbflow/graph';
import { Panel, Widget } from '@lumino/widgets';
import { askKernel } from './kernel.js';
import { outputsOfTask, TASK_MIME } from './task_cells.js';

const MIMES = { plain: 'text/plain' } as const;

export class Details extends Panel {
  readonly #title = html('span', 'nbflow-details-title');
  readonly #words = html('div', 'nbflow-quiet nbflow-details-words');
  readonly #host = new Panel();
  readonly #pace = new Pace(() => this.#fill(), 250);
  #id: string | null = null;
  #what: IOpening = {};
  #source: IOutputAreaModel | null = null;

  constructor(
    private readonly flow: FlowModel,
    private readonly notebook: () => NotebookPanel | null,
    close: () => void
  ) {
    super();
    this.addClass('nbflow-details');
    this.node.setAttribute('role', 'region');
    this.node.tabIndex = -1;
    const button = html('button', 'nbflow-button', 'Close');
    button.addEventListener('click', close);
    this.node.addEventListener('keydown', event => {
      if (event.key === 'Escape') {
        event.stopPropagation();
        close();
      }
    });
    this.#host.addClass('nbflow-details-outputs');
    this.#host.node.tabIndex = 0;
    this.addWidget(new Widget({ node: html('div', 'nbflow-details-head', this.#title, button) }));
    this.addWidget(new Widget({ node: this.#words }));
    this.addWidget(this.#host);
    this.hide();
  }

  override dispose(): void {
    this.#follow(null);
    this.#pace.stop();
    super.dispose();
  }

  /** Show this task (null: nothing); `focus` takes the keys along. */
  open(id: string | null, what: IOpening = {}, focus = false): void {
    this.#id = id;
    this.#what = what;
    this.setHidden(id === null);
    const panel = this.notebook();
    this.#follow(id !== null && panel ? outputsOfTask(panel, id) : null);
    this.#fill();
    if (focus && id !== null) {
      this.node.focus({ preventScroll: true });
      this.node.scrollIntoView({ block: 'nearest' });
    }
  }

  /** The states have changed. */
  refresh(): void {
    this.#head();
  }

  #follow(source: IOutputAreaModel | null): void {
    this.#source?.changed.disconnect(this.#changed, this);
    this.#source = source;
    source?.changed.connect(this.#changed, this);
  }

  #changed(): void {
    this.#pace.ask();
  }

  #head(): void {
    const task = this.#id === null ? undefined : this.flow.task(this.#id);
    if (task) {
      const name = this.#what.copy === undefined ? task.id : `${task.id}[${this.#what.copy}]`;
      const copy = task.instances?.find(one => one.index === this.#what.copy);
      const look = lookOf(copy ?? task);
      this.#title.replaceChildren(
        glyph(look),
        html('span', 'nbflow-strong', name),
        html('span', 'nbflow-quiet', task.state === null ? '' : LOOKS[look].word)
      );
      this.node.setAttribute('aria-label', `Log and outputs of ${name}`);
    }
  }

  #fill(): void {
    const id = this.#id;
    const panel = this.notebook();
    if (id === null || !panel) {
      return;
    }
    this.#head();
    if (this.#source) {
      const whole = this.#source.toJSON().filter(output => !hasCard(output));
      this.#show(panel, ofCopy(whole, id, this.#what.copy), this.#source.trusted);
      return;
    }
    this.#say('Asking the kernel.');
    const name = this.#what.copy === undefined ? id : `${id}[${this.#what.copy}]`;
    void askKernel(panel.sessionContext, this.flow.runId, name).then(answer => {
      if (this.#id === id && !this.isDisposed) {
        if (answer.outputs) {
          this.#show(panel, answer.outputs, isTrusted(panel, this.node));
        } else {
          this.#say(answer.sentence ?? '');
        }
      }
    });
  }

  #say(sentence: string): void {
    writeText(this.#words, sentence);
    this.#words.hidden = !sentence;
    [...this.#host.widgets].forEach(one => one.dispose());
  }

  #show(panel: NotebookPanel, outputs: readonly IOutput[], trusted: boolean): void {
    const { part } = this.#what;
    const values = outputs.filter(output => !part || (output.output_type === 'stream') === (part === 'log'));
    this.#say(values.length ? '' : part === 'log' ? 'It printed nothing.' : 'It has shown nothing.');
    if (values.length) {
      const model = new OutputAreaModel({ values: [...values], trusted });
      this.#host.addWidget(new SimplifiedOutputArea({ model, rendermime: panel.content.rendermime }));
    }
  }
}

/** As much as the outputs of the cell this element stands in. */
function isTrusted(panel: NotebookPanel, node: HTMLElement): boolean {
  return panel.content.widgets.find(cell => cell.node.contains(node))?.model.trusted ?? false;
}

function hasCard(output: IOutput): boolean {
  return TASK_MIME in ((output['data'] as object | undefined) ?? {});
}

/** Of a mapped task's outputs those of one copy: they stand under a heading with its name. */
function ofCopy(outputs: readonly IOutput[], id: string, copy: number | undefined): readonly IOutput[] {
  if (copy === undefined) {
    return outputs;
  }
  const heading = (output: IOutput): string => {
    const text = (output['data'] as Record<string, unknown> | undefined)?.[MIMES.plain];
    return Array.isArray(text) ? text.join('') : typeof text === 'string' ? text : '';
  };
  const isHeading = (output: IOutput): boolean => heading(output).startsWith(`${id}[`);
  const start = outputs.findIndex(output => heading(output) === `${id}[${copy}]`);
  const rest = start < 0 ? [] : outputs.slice(start + 1);
  const end = rest.findIndex(isHeading);
  return end < 0 ? rest : rest.slice(0, end);
}
