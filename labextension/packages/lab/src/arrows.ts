// SPDX-License-Identifier: BSD-3-Clause
/** Arrows in a notebook's margin, over the page, from some badges to another. */

const SVG = 'http://www.w3.org/2000/svg';
/** How far left of the badges the lines run. */
const OUT = 10;

/** Draws them inside `area`; what is out of sight is pointed at from its border. Returns the way to take them away. */
export function drawArrows(area: HTMLElement, from: readonly HTMLElement[], to: HTMLElement): () => void {
  const bounds = area.getBoundingClientRect();
  const target = to.getBoundingClientRect();
  const picture = document.createElementNS(SVG, 'svg');
  picture.setAttribute('class', 'nbflow-arrows');
  picture.setAttribute('aria-hidden', 'true');
  const within = (y: number): number => Math.min(bounds.bottom, Math.max(bounds.top, y));
  const end = { x: target.left - 2, y: target.top + target.height / 2 };
  const lefts = [target, ...from.map(one => one.getBoundingClientRect())].map(box => box.left);
  const x = Math.max(bounds.left + 4, Math.min(...lefts) - OUT);
  for (const one of from) {
    const box = one.getBoundingClientRect();
    const y = within(box.top + box.height / 2);
    const line = document.createElementNS(SVG, 'path');
    line.setAttribute('d', `M${box.left - 2} ${y}H${x}V${within(end.y)}H${end.x - 5}`);
    picture.append(line);
  }
  if (from.length) {
    const tip = document.createElementNS(SVG, 'path');
    tip.setAttribute('class', 'nbflow-arrow-tip');
    tip.setAttribute('d', `M${end.x - 6} ${end.y - 3.5}L${end.x} ${end.y}L${end.x - 6} ${end.y + 3.5}z`);
    picture.append(tip);
  }
  document.body.append(picture);
  return () => picture.remove();
}
