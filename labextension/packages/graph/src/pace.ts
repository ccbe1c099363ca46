// SPDX-License-Identifier: BSD-3-Clause
/** Not more often than so many times a second, the first time at once, and only while the page is seen. */

export class Pace {
  #last = -Infinity;
  #timer: number | undefined;

  constructor(
    private readonly work: () => void,
    private readonly milliseconds = 66
  ) {}

  /** The work is wanted; asking again before it is done changes nothing. */
  ask(): void {
    if (this.#timer !== undefined) {
      return;
    }
    const wait = this.#last + this.milliseconds - performance.now();
    if (wait <= 0 && !document.hidden) {
      this.#run();
      return;
    }
    this.#timer = window.setTimeout(() => this.#run(), Math.max(wait, 0));
  }

  stop(): void {
    window.clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #run(): void {
    this.#timer = undefined;
    this.#last = performance.now();
    this.work();
  }
}
