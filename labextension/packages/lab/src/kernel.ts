// SPDX-License-Identifier: BSD-3-Clause
/** Asks the notebook's kernel for what a task of a recorded run printed and showed: tasks written as functions have no cell of their own. */

import type { ISessionContext } from '@jupyterlab/apputils';
import type { IOutput } from '@jupyterlab/nbformat';

const TARGET = 'nbflow.outputs';
/** Until a kernel that does not answer is said to be busy. */
const PATIENCE = 5000;

export interface IAnswer {
  readonly outputs?: readonly IOutput[];
  /** Why there are none. */
  readonly sentence?: string;
}

export async function askKernel(session: ISessionContext, runId: string | null, task: string): Promise<IAnswer> {
  const kernel = session.session?.kernel;
  if (!runId) {
    return { sentence: 'It has not run yet.' };
  }
  if (!kernel?.handleComms) {
    return { sentence: `It has no cell here, and no kernel runs to ask: type nbflow runs logs ${runId} ${task}.` };
  }
  const comm = kernel.createComm(TARGET);
  const answer = new Promise<IAnswer>(resolve => {
    window.setTimeout(() => resolve({ sentence: 'The kernel is busy; open it again when it is not.' }), PATIENCE);
    comm.onMsg = message => resolve(message.content.data);
    comm.onClose = () => resolve({ sentence: 'The kernel does not know nbflow: type %load_ext nbflow.' });
  });
  await comm.open({ run_id: runId, task }).done;
  const found = await answer;
  if (!comm.isDisposed) {
    comm.dispose();
  }
  return found;
}
