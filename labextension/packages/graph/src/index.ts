// SPDX-License-Identifier: BSD-3-Clause
export { layout, groupsToFold } from './layout.js';
export type * from './types.js';
