// SPDX-License-Identifier: BSD-3-Clause
/** What stands over the page for a while, in the top layer, where no output area cuts it off. */

/** Into the top layer or out of it, where the browser has one. */
export function popUp(element: HTMLElement, open: boolean): void {
  element.hidden = !open;
  if ('popover' in HTMLElement.prototype) {
    element.togglePopover(open);
  }
}

/** Below what it speaks of, above it where there is no room; never over it. */
export function placeBeside(element: HTMLElement, anchor: DOMRect): void {
  const box = element.getBoundingClientRect();
  const left = Math.max(8, Math.min(anchor.left, window.innerWidth - box.width - 8));
  const below = anchor.bottom + 8;
  const above = below + box.height > window.innerHeight - 8 && anchor.top - box.height > 8;
  element.style.left = `${left}px`;
  element.style.top = `${above ? anchor.top - 8 - box.height : below}px`;
}
