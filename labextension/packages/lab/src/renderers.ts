// SPDX-License-Identifier: BSD-3-Clause
import type { IRenderMime } from '@jupyterlab/rendermime-interfaces';
import { graphRenderer } from './graph_renderer.js';
import { taskRenderer } from './task_renderer.js';

const extensions: IRenderMime.IExtension[] = [
  { id: '@nbflow/lab:graph', rendererFactory: graphRenderer, rank: -20, dataType: 'json' },
  { id: '@nbflow/lab:task', rendererFactory: taskRenderer, rank: 0, dataType: 'json' }
];
export default extensions;
