// SPDX-License-Identifier: BSD-3-Clause
/** What each state looks like: its silhouette on the 16 px grid and its word. Inks are style sheet variables. As nbflow/views/glyphs.py. */

import { svg } from './dom.js';
import type { ITaskStatus, TaskState } from './types.js';

/** One path. Without `width` a filled shape, else a stroke of that width; `cut` is drawn in the colour of the ground. */
interface IShape {
  readonly d: string;
  readonly width?: number;
  readonly cut?: boolean;
  readonly dash?: string;
  readonly opacity?: number;
}

export interface ILook {
  /** Lower case, as it stands in a list: "succeeded". */
  readonly word: string;
  /** Its node carries a tint of its ink: something runs, waits for a person or broke. */
  readonly tinted?: boolean;
  /** Its node has a dashed border: nothing has happened in it. */
  readonly dashed?: boolean;
  readonly shapes: readonly IShape[];
}

/** A state as it is drawn; `cached` is a success that did not have to run. */
export type LookName = TaskState | 'cached';

export const LOOKS: Readonly<Record<LookName, ILook>> = {
  pending: {
    word: 'not started',
    dashed: true,
    shapes: [{ d: 'M1.9 8a6.1 6.1 0 1 0 12.2 0a6.1 6.1 0 1 0 -12.2 0z', width: 1.5, dash: '2.4 2.39' }]
  },
  scheduled: {
    word: 'may run',
    shapes: [
      { d: 'M1.9 8a6.1 6.1 0 1 0 12.2 0a6.1 6.1 0 1 0 -12.2 0z', width: 1.5 },
      { d: 'M5.8 8a2.2 2.2 0 1 0 4.4 0a2.2 2.2 0 1 0 -4.4 0z' }
    ]
  },
  queued: { word: 'queued', shapes: [{ d: 'M2.5 4h11M2.5 8h11M2.5 12h6.5', width: 1.9 }] },
  running: {
    word: 'running',
    tinted: true,
    shapes: [
      { d: 'M1.9 8a6.1 6.1 0 1 0 12.2 0a6.1 6.1 0 1 0 -12.2 0z', width: 1.7, opacity: 0.28 },
      { d: 'M8 1.9a6.1 6.1 0 1 1-6.1 6.1', width: 1.7 },
      { d: 'M6.5 5.2v5.6L11 8z' }
    ]
  },
  success: {
    word: 'succeeded',
    shapes: [{ d: 'M1 8a7 7 0 1 0 14 0a7 7 0 1 0 -14 0z' }, { d: 'M4.7 8.3l2.3 2.3 4.4-4.8', width: 1.9, cut: true }]
  },
  cached: {
    word: 'from cache',
    shapes: [
      { d: 'M1.9 8a6.1 6.1 0 1 0 12.2 0a6.1 6.1 0 1 0 -12.2 0z', width: 1.6 },
      { d: 'M5 8.2l2.1 2.1L11 6', width: 1.7 }
    ]
  },
  failed: {
    word: 'failed',
    tinted: true,
    shapes: [
      { d: 'M5.1 1h5.8L15 5.1v5.8L10.9 15H5.1L1 10.9V5.1z' },
      { d: 'M5.5 5.5l5 5m0-5l-5 5', width: 1.9, cut: true }
    ]
  },
  cancelled: {
    word: 'cancelled',
    shapes: [{ d: 'M4 2h8a2 2 0 0 1 2 2v8a2 2 0 0 1-2 2H4a2 2 0 0 1-2-2V4a2 2 0 0 1 2-2zM5.6 5.6v4.8h4.8V5.6z' }]
  },
  skipped: { word: 'skipped', shapes: [{ d: 'M3 3.8l4.2 4.2L3 12.2M8.6 3.8l4.2 4.2-4.2 4.2', width: 1.9 }] },
  upstream_failed: {
    word: 'not run, upstream failed',
    tinted: true,
    shapes: [
      { d: 'M13.2 2.1a.9.9 0 0 1 1.3.8v10.2a.9.9 0 0 1-1.3.8L1.9 8.8a.9.9 0 0 1 0-1.6z' },
      { d: 'M10.3 5.5v2.9M10.3 10.7v.01', width: 1.8, cut: true }
    ]
  },
  up_for_retry: {
    word: 'waits to be retried',
    tinted: true,
    shapes: [{ d: 'M13.3 9.1A5.5 5.5 0 1 1 11.7 4', width: 1.9 }, { d: 'M14.2.9v5.3H8.9z' }]
  },
  up_for_reschedule: {
    word: 'waits to look again',
    shapes: [
      { d: 'M1.9 8a6.1 6.1 0 1 0 12.2 0a6.1 6.1 0 1 0 -12.2 0z', width: 1.6 },
      { d: 'M8 4.4V8l2.5 1.6', width: 1.6 }
    ]
  },
  deferred: {
    word: 'asleep until its trigger',
    shapes: [{ d: 'M14 10.3A6.6 6.6 0 1 1 6.3 1.9 5.3 5.3 0 0 0 14 10.3z' }]
  },
  awaiting_input: {
    word: 'waits for an answer',
    tinted: true,
    shapes: [
      {
        d: 'M2.5 1.5h11A1.5 1.5 0 0 1 15 3v7a1.5 1.5 0 0 1-1.5 1.5H9L5.5 15v-3.5h-3A1.5 1.5 0 0 1 1 10V3a1.5 1.5 0 0 1 1.5-1.5z'
      },
      { d: 'M6.3 5.4a1.75 1.75 0 1 1 2.6 1.5c-.6.35-.9.6-.9 1.1M8 9.9v.01', width: 1.5, cut: true }
    ]
  },
  removed: {
    word: 'no longer in the flow',
    dashed: true,
    shapes: [
      { d: 'M1.9 8a6.1 6.1 0 1 0 12.2 0a6.1 6.1 0 1 0 -12.2 0z', width: 1.5, dash: '2.4 2.39' },
      { d: 'M5.5 8h5', width: 1.6 }
    ]
  }
};

/** What is cut into the block a task is from far away, so that its state shows without colour; around the middle, 18 px high. */
export const MARKS: Readonly<Partial<Record<LookName, string>>> = {
  failed: 'M-9-9l18 18m0-18l-18 18',
  cancelled: 'M-10 0h20',
  running: 'M-5-9l14 9-14 9z',
  upstream_failed: 'M7-9l-14 9 14 9z',
  cached: 'M-9 0l6 7 12-13',
  up_for_retry: 'M8 3a9 9 0 1 1-1-8',
  queued: 'M-10-7h20m-20 7h20m-20 7h12',
  awaiting_input: 'M-5-5a5 5 0 1 1 6 5v3m0 6v.1',
  deferred: 'M9 4a9 9 0 1 1-7-13 8 8 0 0 0 7 13',
  up_for_reschedule: 'M0-8v8l6 4',
  removed: 'M-8 0h16'
};

/** How a task that stands so is drawn; before any run it is pending. */
export function lookOf(status: Pick<ITaskStatus, 'state' | 'from_cache'>): LookName {
  return status.state === 'success' && status.from_cache ? 'cached' : (status.state ?? 'pending');
}

/** The silhouette as SVG elements, coloured by the style sheet through `--nbflow-ink`. */
export function glyphShapes(name: LookName): SVGElement[] {
  return LOOKS[name].shapes.map(shape => {
    const kind = (shape.width ? 'stroke' : 'fill') + (shape.cut ? '-cut' : '');
    const path = svg('path', { d: shape.d, class: `nbflow-${kind}`, 'fill-rule': 'evenodd' });
    if (shape.width) {
      path.setAttribute('stroke-width', String(shape.width));
    }
    if (shape.dash) {
      path.setAttribute('stroke-dasharray', shape.dash);
    }
    if (shape.opacity) {
      path.setAttribute('opacity', String(shape.opacity));
    }
    return path;
  });
}

/** A glyph by itself, for lists and lines of text; words beside it say the state. */
export function glyph(name: LookName, size = 16): SVGElement {
  const picture = svg('svg', {
    class: 'nbflow-glyph',
    'data-state': name,
    width: size,
    height: size,
    viewBox: '0 0 16 16',
    'aria-hidden': 'true'
  });
  picture.append(...glyphShapes(name));
  return picture;
}
