// SPDX-License-Identifier: BSD-3-Clause
/** What nbflow adds to JupyterLab and Notebook: graphs and cards in outputs, and badges beside the cells of tasks. One plugin each. */

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { INotebookTracker } from '@jupyterlab/notebook';
import { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import { Badges } from './badges.js';
import { GRAPH_RANK, graphRenderer } from './graph_renderer.js';
import { taskRenderer } from './task_renderer.js';

/** Before HTML. */
const TASK_RANK = 0;

const graph: JupyterFrontEndPlugin<void> = {
  id: '@nbflow/lab:graph',
  description: 'Draws the graphs of flows in outputs.',
  autoStart: true,
  requires: [IRenderMimeRegistry],
  activate: (_: JupyterFrontEnd, rendermime: IRenderMimeRegistry) => rendermime.addFactory(graphRenderer, GRAPH_RANK)
};

const task: JupyterFrontEndPlugin<void> = {
  id: '@nbflow/lab:task',
  description: 'Draws the cards of tasks in outputs.',
  autoStart: true,
  requires: [IRenderMimeRegistry],
  activate: (_: JupyterFrontEnd, rendermime: IRenderMimeRegistry) => rendermime.addFactory(taskRenderer, TASK_RANK)
};

const badges: JupyterFrontEndPlugin<void> = {
  id: '@nbflow/lab:badges',
  description: 'Shows under the prompt of each task cell how its task stands.',
  autoStart: true,
  requires: [INotebookTracker],
  activate: (_: JupyterFrontEnd, notebooks: INotebookTracker) => {
    const begin = (panel: ConstructorParameters<typeof Badges>[0]): void => {
      const shown = new Badges(panel);
      panel.disposed.connect(() => shown.dispose());
    };
    notebooks.forEach(begin);
    notebooks.widgetAdded.connect((_tracker, panel) => begin(panel));
  }
};

export default [graph, task, badges];
