// SPDX-License-Identifier: BSD-3-Clause
import { describe, expect, it } from 'vitest';
import { offerSeat, takeSeats } from '../src/index.js';

const sitOn = (seat: HTMLElement): (() => void) => {
  seat.append('live');
  return () => seat.replaceChildren();
};

describe('a seat', () => {
  it('is taken whoever comes first, and is left when the panel ends', () => {
    const [early, late] = [document.createElement('div'), document.createElement('div')];
    let left = 0;
    early.addEventListener('nbflow-left', () => (left += 1));
    offerSeat('a', early);
    expect(early.textContent).toBe('');
    const end = takeSeats('a', sitOn);
    offerSeat('a', late);
    expect([early.textContent, late.textContent, left]).toEqual(['live', 'live', 0]);
    end();
    expect([early.textContent, late.textContent, left]).toEqual(['', '', 1]);
  });

  it('is of one panel only, and nobody sits on one that was taken back', () => {
    const [seat, other] = [document.createElement('div'), document.createElement('div')];
    offerSeat('b', seat)();
    offerSeat('c', other);
    takeSeats('b', sitOn);
    expect([seat.textContent, other.textContent]).toEqual(['', '']);
  });
});
