// SPDX-License-Identifier: BSD-3-Clause
export { html, svg, write, writeText } from './dom.js';
export { glyph, LOOKS, lookOf, type LookName } from './glyphs.js';
export { GraphView } from './graph.js';
export { groupsToFold, layout, type ILayout } from './layout.js';
export { FlowModel, isFinished } from './model.js';
export { NowStrip, type INowOptions, type Verb } from './now.js';
export { Pace } from './pace.js';
export { offerSeat, takeSeats } from './seats.js';
export { Summary } from './summary.js';
export { attemptWords, duration, names, nodeLine, plural, took } from './words.js';
export type * from './options.js';
export type * from './types.js';
