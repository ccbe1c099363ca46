// SPDX-License-Identifier: BSD-3-Clause
/**
 * Seats for live panels. A saved graph names the panel that showed it; where it is drawn it offers a seat, and while that panel lives in the page
 * it sits there, over the picture. Without it (no kernel, a file from last week) the picture is what there is.
 *
 * The two come from different bundles, so they meet in a list of the page's own.
 */

type Sit = (seat: HTMLElement) => () => void;

interface IMeeting {
  readonly seats: Set<HTMLElement>;
  /** How the panel sits down, while there is one. */
  sit: Sit | null;
  readonly taken: Map<HTMLElement, () => void>;
}

const LIST = Symbol.for('nbflow.seats');

function meetingOf(panel: string): IMeeting {
  const page = globalThis as unknown as Record<symbol, Map<string, IMeeting> | undefined>;
  const list = (page[LIST] ??= new Map<string, IMeeting>());
  let meeting = list.get(panel);
  if (!meeting) {
    meeting = { seats: new Set(), sit: null, taken: new Map() };
    list.set(panel, meeting);
  }
  return meeting;
}

function leave(meeting: IMeeting, seat: HTMLElement): void {
  meeting.taken.get(seat)?.();
  meeting.taken.delete(seat);
  seat.dispatchEvent(new Event('nbflow-left'));
}

/** Offer a seat to that panel, now or when it comes. Returns the way to take it back. */
export function offerSeat(panel: string, seat: HTMLElement): () => void {
  const meeting = meetingOf(panel);
  meeting.seats.add(seat);
  if (meeting.sit) {
    meeting.taken.set(seat, meeting.sit(seat));
  }
  return () => {
    meeting.seats.delete(seat);
    leave(meeting, seat);
  };
}

/** Sit on every seat that is offered to this panel, until the function returned is called. */
export function takeSeats(panel: string, sit: Sit): () => void {
  const meeting = meetingOf(panel);
  meeting.sit = sit;
  meeting.seats.forEach(seat => meeting.taken.set(seat, sit(seat)));
  return () => {
    meeting.sit = null;
    meeting.seats.forEach(seat => leave(meeting, seat));
  };
}
