// SPDX-License-Identifier: BSD-3-Clause
/** Arithmetic as nbflow/views has it in Python, so that both lay a flow out alike to the pixel. */

/** Rounds halves to the even neighbour. */
export function round(value: number): number {
  const low = Math.floor(value);
  const rest = value - low;
  if (rest !== 0.5) {
    return Math.round(value);
  }
  return low % 2 === 0 ? low : low + 1;
}

export function sum(values: Iterable<number>): number {
  let total = 0;
  for (const value of values) {
    total += value;
  }
  return total;
}

/** The middle value, or the mean of the two in the middle. */
export function median(values: readonly number[]): number {
  if (values.length === 1) {
    return values[0]!;
  }
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2;
}

/** Largest of the values; spreading thousands of them into Math.max overflows the stack. */
export function largest(values: Iterable<number>, least: number): number {
  let found = least;
  for (const value of values) {
    found = Math.max(found, value);
  }
  return found;
}
