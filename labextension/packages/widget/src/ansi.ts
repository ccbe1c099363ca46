// SPDX-License-Identifier: BSD-3-Clause
/** Terminal colours as text in spans: the eight colours and bold, which is what tracebacks use; other codes are left out. */

import { html } from '@nbflow/graph';

/** Black and white are the page's own text. */
const INKS = ['', 'failed', 'success', 'up_for_retry', 'running', 'awaiting_input', 'up_for_reschedule', ''];
// eslint-disable-next-line no-control-regex -- the escape character is what begins a code
const CODE = /\x1b\[([\d;]*)m/;

export function coloured(text: string): (Node | string)[] {
  const parts: (Node | string)[] = [];
  let ink = '';
  let bold = false;
  text.split(CODE).forEach((piece, place) => {
    if (place % 2) {
      const codes = piece
        .replace(/38;5;(\d+)/, (_, colour: string) => (Number(colour) < 8 ? `3${colour}` : ''))
        .split(';');
      for (const code of codes.map(Number)) {
        if (code === 0 || code === 22) {
          bold = false;
        }
        if (code === 0 || code === 39) {
          ink = '';
        } else if (code === 1) {
          bold = true;
        } else if ((code >= 30 && code < 38) || (code >= 90 && code < 98)) {
          ink = INKS[code % 10] ?? '';
        }
      }
    } else if (ink || bold) {
      const span = html('span', bold ? 'nbflow-strong' : '', piece);
      span.style.color = ink && `var(--nbflow-${ink})`;
      parts.push(span);
    } else if (piece) {
      parts.push(piece);
    }
  });
  return parts;
}
