// SPDX-License-Identifier: BSD-3-Clause

/** How many pairs of `values`, whole numbers below `size`, stand in falling order; with a binary indexed tree. */
export function inversions(values: readonly number[], size: number): number {
  const tree = new Int32Array(size + 1);
  let total = 0;
  values.forEach((value, seen) => {
    let smaller = 0;
    for (let spot = value + 1; spot; spot -= spot & -spot) {
      smaller += tree[spot]!;
    }
    total += seen - smaller;
    for (let spot = value + 1; spot <= size; spot += spot & -spot) {
      tree[spot]!++;
    }
  });
  return total;
}
