// SPDX-License-Identifier: BSD-3-Clause
/** How wide text is, and how it is cut: without asking the page, so that a layout never waits for fonts. */

const ADVANCE = new Map<string, number>();
for (const [characters, advance] of [
  ["ijl.,:;|!'I ", 0.28],
  ['frt()[]/-', 0.38],
  ['mwMW%@—', 0.86],
  ['ABCDEFGHKLNOPQRSTUVXYZ', 0.68]
] as const) {
  for (const character of characters) {
    ADVANCE.set(character, advance);
  }
}

/** About how wide `text` is in a sans serif; fonts differ by a tenth, which the margins hold. */
export function textWidth(text: string, size = 13): number {
  let total = 0;
  for (const character of text) {
    total += ADVANCE.get(character) ?? 0.57;
  }
  return total * size;
}

/** `text` cut so that it is not wider than `room` pixels: at its end, or in its middle (both ends of a name tell it apart). */
export function fit(text: string, room: number, size: number, middle = false): string {
  if (textWidth(text, size) <= room) {
    return text;
  }
  const characters = Array.from(text);
  for (let kept = characters.length - 1; kept > 1; kept--) {
    const tail = middle ? Math.floor(kept / 3) : 0;
    const head = characters
      .slice(0, kept - tail)
      .join('')
      .replace(/[ ,]+$/, '');
    const shown = `${head}…${characters.slice(characters.length - tail).join('')}`;
    if (textWidth(shown, size) <= room) {
      return shown;
    }
  }
  return '…';
}
