// SPDX-License-Identifier: BSD-3-Clause
/** Which cell of a notebook is which task: a task's card is an output of its own cell. */

import type { ICodeCellModel } from '@jupyterlab/cells';
import { NotebookPanel } from '@jupyterlab/notebook';
import type { IOutputAreaModel } from '@jupyterlab/outputarea';
import type { ITask } from '@nbflow/graph';
import type { Widget } from '@lumino/widgets';
import { isPayload } from './payload.js';

export const TASK_MIME = 'application/vnd.nbflow.task+json';

/** The payload of a card. */
export interface ITaskPayload extends ITask {
  readonly version?: number;
  readonly flow?: string;
  readonly sentence?: string;
  readonly upstream?: readonly string[];
  /** When the newest attempt began and ended, ISO 8601. */
  readonly start?: string | null;
  readonly end?: string | null;
  /** CRC-32 of the cell's body as the task was defined. */
  readonly code?: number;
}

/** The notebook a widget stands in. */
export function notebookOf(widget: Widget): NotebookPanel | null {
  for (let above = widget.parent; above; above = above.parent) {
    if (above instanceof NotebookPanel) {
      return above;
    }
  }
  return null;
}

export function outputsOf(cell: { readonly type: string }): IOutputAreaModel | null {
  return cell.type === 'code' ? (cell as ICodeCellModel).outputs : null;
}

/** The task of a cell, as its card says it stands. */
export function taskIn(outputs: IOutputAreaModel | null): ITaskPayload | null {
  for (let place = 0; place < (outputs?.length ?? 0); place++) {
    const payload = outputs!.get(place).data[TASK_MIME];
    if (isPayload<ITaskPayload>(payload, 'id')) {
      return payload;
    }
  }
  return null;
}

/** The outputs of the cell of that task. */
export function outputsOfTask(panel: NotebookPanel, id: string): IOutputAreaModel | null {
  for (const cell of panel.content.model?.cells ?? []) {
    const outputs = outputsOf(cell);
    if (taskIn(outputs)?.id === id) {
      return outputs;
    }
  }
  return null;
}
