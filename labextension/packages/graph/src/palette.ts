// SPDX-License-Identifier: BSD-3-Clause
/** The style sheet's colours as a canvas takes them: read from the page, so that themes and forced colours hold there too. */

import { LOOKS, type LookName } from './glyphs.js';

/** How one state is drawn. */
export interface IInk {
  /** Glyphs, bars, the block seen from far away. */
  readonly ink: string;
  /** The ground of its node, and what is cut out of its glyph. */
  readonly ground: string;
  readonly border: string;
  /** The block of a task in which nothing has happened is pale. */
  readonly block: string;
}

export interface IPalette {
  readonly font: string;
  readonly ground: string;
  readonly node: string;
  readonly text: string;
  readonly text2: string;
  readonly edge: string;
  readonly frame: string;
  readonly line: string;
  readonly inks: Readonly<Record<LookName, IInk>>;
}

/** Reads them from how `host` is styled now. */
export function readPalette(host: Element): IPalette {
  const probe = document.createElement('span');
  probe.hidden = true;
  host.append(probe);
  const computed = getComputedStyle(probe);
  const read = (colour: string): string => {
    probe.style.color = colour;
    return computed.color;
  };
  const own = (name: string): string => read(`var(--nbflow-${name})`);
  const ink = (name: LookName): IInk => {
    const { tinted, dashed } = LOOKS[name];
    const colour = `var(--nbflow-${name})`;
    const mixed = (part: string): string => read(`color-mix(in srgb, ${colour} ${part}, var(--nbflow-ground))`);
    return {
      ink: read(colour),
      ground: tinted ? mixed('var(--nbflow-tint)') : own('node'),
      border: tinted ? mixed('55%') : own('line1'),
      block: dashed ? mixed('35%') : read(colour)
    };
  };
  const names = Object.keys(LOOKS) as LookName[];
  const palette: IPalette = {
    font: computed.fontFamily,
    ground: own('ground'),
    node: own('node'),
    text: own('text'),
    text2: own('text2'),
    edge: own('edge'),
    frame: own('frame'),
    line: own('line2'),
    inks: Object.fromEntries(names.map(name => [name, ink(name)])) as Record<LookName, IInk>
  };
  probe.remove();
  return palette;
}

/** Calls back when the theme or the system's colours change; returns the way to stop. */
export function watchColours(changed: () => void): () => void {
  const themes = new MutationObserver(changed);
  themes.observe(document.body, { attributes: true, attributeFilter: ['class', 'data-jp-theme-name'] });
  const abort = new AbortController();
  for (const query of ['(forced-colors: active)', '(prefers-color-scheme: dark)']) {
    // A page without media queries has one set of colours.
    (window.matchMedia as typeof window.matchMedia | undefined)?.(query).addEventListener('change', changed, abort);
  }
  return () => {
    themes.disconnect();
    abort.abort();
  };
}
