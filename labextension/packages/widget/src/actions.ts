// SPDX-License-Identifier: BSD-3-Clause
/** What a person may do with a run. What stops or repeats work asks first, with the verb on the button. */

import { FlowModel, html, isFinished, plural } from '@nbflow/graph';

/** What is asked of the kernel. No tasks: the whole run. */
export interface IRequest {
  readonly kind: 'run' | 'cancel' | 'retry';
  readonly tasks: readonly string[];
}

export class Actions {
  readonly element = html('div', 'nbflow-actions');
  /** The line that asks; hidden while nothing is asked. */
  readonly question = html('div', 'nbflow-question');
  /** For the chosen task, where that is shown. */
  readonly retryHere = this.#button('Retry from here', () => this.#chosen && this.askRetry([this.#chosen]));
  readonly #run = this.#button('Run', () => this.request('run', []));
  readonly #retry = this.#button('Retry failed', () => this.askRetry(this.#failed()));
  readonly #cancel = this.#button('Cancel', () => this.#askCancel());
  readonly #stop: () => void;
  #can: readonly string[] = [];
  #chosen: string | null = null;

  constructor(
    private readonly model: FlowModel,
    private readonly send: (request: IRequest) => void,
    /** Told whether the chosen task goes on. */
    private readonly live: (live: boolean) => void = () => undefined
  ) {
    this.question.hidden = true;
    this.question.setAttribute('role', 'alertdialog');
    this.question.setAttribute('aria-label', 'Are you sure?');
    this.question.addEventListener('keydown', event => {
      event.stopPropagation(); // Enter and arrows are for its buttons, not for the notebook around it
      if (event.key === 'Escape') {
        this.#close();
      }
    });
    this.element.append(this.#run, this.#retry, this.#cancel);
    this.#stop = model.listen(() => this.#draw());
    this.#draw();
  }

  dispose(): void {
    this.#stop();
  }

  /** What the kernel does when it is asked. */
  allow(kinds: readonly string[]): void {
    this.#can = kinds;
    this.#draw();
  }

  choose(id: string | null): void {
    this.#chosen = id;
    this.#draw();
  }

  request(kind: IRequest['kind'], tasks: readonly string[]): void {
    this.#close();
    this.send({ kind, tasks });
  }

  /** `Run join_weather and 1 task after it again? 4 finished tasks are kept.` */
  askRetry(tasks: readonly string[]): void {
    const again = this.#below(tasks);
    const kept = this.model.tasks.filter(task => isFinished(task.state) && !again.has(task.id)).length;
    const more = again.size - tasks.length;
    const who = tasks.length === 1 ? (tasks[0] ?? '') : plural(tasks.length, 'failed task');
    const after = more ? ` and ${plural(more, 'task')} after ${tasks.length === 1 ? 'it' : 'them'}` : '';
    const kind = kept === 1 ? '1 finished task is kept.' : `${kept} finished tasks are kept.`;
    this.#ask(`Run ${who}${after} again? ${kind}`, `Run ${plural(again.size, 'task')}`, () =>
      this.request('retry', tasks)
    );
  }

  #askCancel(): void {
    const states = this.model.tasks.map(task => task.state);
    const running = states.filter(state => state === 'running').length;
    const done = states.filter(isFinished).length;
    const stops = `${plural(running, 'running task')} ${running === 1 ? 'stops' : 'stop'} now`;
    const stays = `${plural(done, 'finished task')} ${done === 1 ? 'stays as it is' : 'stay as they are'}`;
    this.#ask(`Cancel this run? ${stops}, ${stays}.`, 'Cancel the run', () => this.request('cancel', []));
  }

  #ask(question: string, verb: string, act: () => void): void {
    const yes = this.#button(verb, act);
    this.question.replaceChildren(
      html('span', '', question),
      html(
        'div',
        'nbflow-actions',
        yes,
        this.#button('Keep as it is', () => this.#close())
      )
    );
    this.question.hidden = false;
    yes.focus();
  }

  #close(): void {
    this.question.hidden = true;
    this.question.replaceChildren();
  }

  #draw(): void {
    const active = this.model.state !== null && !isFinished(this.model.state);
    const chosen = this.#chosen === null ? undefined : this.model.task(this.#chosen);
    this.#run.hidden = active || !this.#can.includes('run');
    this.#cancel.hidden = !active || !this.#can.includes('cancel');
    this.#retry.hidden = this.#failed().length === 0 || !this.#can.includes('retry');
    this.live(!chosen || !isFinished(chosen.state));
    this.retryHere.hidden = !chosen || !isFinished(chosen.state) || !this.#can.includes('retry');
  }

  #failed(): string[] {
    return this.model.tasks.filter(task => task.state === 'failed').map(task => task.id);
  }

  /** These tasks and all that come after them. */
  #below(tasks: readonly string[]): Set<string> {
    const seen = new Set(tasks);
    const todo = [...tasks];
    for (let id = todo.pop(); id !== undefined; id = todo.pop()) {
      for (const next of this.model.downstream(id)) {
        if (!seen.has(next)) {
          seen.add(next);
          todo.push(next);
        }
      }
    }
    return seen;
  }

  #button(text: string, act: () => void): HTMLButtonElement {
    const button = html('button', 'nbflow-button', text);
    button.addEventListener('click', act);
    return button;
  }
}
