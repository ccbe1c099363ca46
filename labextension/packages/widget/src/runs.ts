// SPDX-License-Identifier: BSD-3-Clause
/** Which run is shown: this one, or a past one of the flow. */

import { html } from '@nbflow/graph';

export interface IRunChoice {
  readonly run_id: string;
  /** As it is listed: `This run, 09:12`. */
  readonly label: string;
}

export class RunSelector {
  readonly element = html('select', 'nbflow-runs');
  #chosen: string | null = null;

  constructor(show: (runId: string) => void) {
    this.element.setAttribute('aria-label', 'Run');
    this.element.hidden = true;
    this.element.addEventListener('change', () => show(this.element.value));
  }

  set(runs: readonly IRunChoice[]): void {
    this.element.replaceChildren(
      ...runs.map(run => {
        const option = html('option', '', run.label);
        option.value = run.run_id;
        return option;
      })
    );
    this.element.hidden = runs.length === 0;
    this.select(this.#chosen);
  }

  select(runId: string | null): void {
    this.#chosen = runId;
    if (runId !== null) {
      this.element.value = runId;
    }
  }
}
