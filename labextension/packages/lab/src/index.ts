// SPDX-License-Identifier: BSD-3-Clause
import type { IRenderMime } from '@jupyterlab/rendermime-interfaces';
import { layout } from '@nbflow/graph';

void layout([], []);
const extensions: IRenderMime.IExtension[] = [];
export default extensions;
