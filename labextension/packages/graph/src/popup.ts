// SPDX-License-Identifier: BSD-3-Clause
/** What stands over the page for a while, in the top layer, where no output area cuts it off. */

/** Into the top layer or out of it, where the browser has one. */
export function popUp(element: HTMLElement, open: boolean): void {
  element.hidden = !open;
  if ('popover' in HTMLElement.prototype) {
    element.togglePopover(open);
  }
}

/** Below or above what it speaks of, left or right aligned with it: where it covers the least of what `avoid` names. Never over it. */
export function placeBeside(element: HTMLElement, anchor: DOMRect, avoid: readonly DOMRect[] = []): void {
  const { width, height } = element.getBoundingClientRect();
  const inside = (left: number): number => Math.max(8, Math.min(left, window.innerWidth - width - 8));
  const tops = [anchor.bottom + 8, anchor.top - 8 - height].filter(
    top => top > 8 && top + height < window.innerHeight - 8
  );
  const lefts = [inside(anchor.left), inside(anchor.right - width)];
  let best = { left: lefts[0]!, top: anchor.bottom + 8, covers: Infinity };
  for (const top of tops) {
    for (const left of lefts) {
      const covers = avoid.reduce((total, box) => total + overlap(new DOMRect(left, top, width, height), box), 0);
      best = covers < best.covers ? { left, top, covers } : best;
    }
  }
  element.style.left = `${best.left}px`;
  element.style.top = `${best.top}px`;
}

function overlap(one: DOMRect, other: DOMRect): number {
  const across = Math.min(one.right, other.right) - Math.max(one.left, other.left);
  const down = Math.min(one.bottom, other.bottom) - Math.max(one.top, other.top);
  return Math.max(0, across) * Math.max(0, down);
}
