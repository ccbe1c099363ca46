# SPDX-License-Identifier: BSD-3-Clause
"""Why a scheduled instance has no slot, in words (ui.md, sentence 2)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from nbflow.core import limit_messages, messages
from nbflow.core.ids import RunId, TaskKey
from nbflow.core.limits import Bar, Board, Holder, Refusal, Room, Waiter, decide, used_slots
from nbflow.core.states import OCCUPYING

_WHOSE: Final[Mapping[Bar, Callable[[Waiter, Holder], bool]]] = {
    Bar.FLOW: lambda waiter, holder: _flow(waiter) == _flow(holder) and holder.state in OCCUPYING,
    Bar.RUN: lambda waiter, holder: waiter.run_id == holder.run_id and holder.state in OCCUPYING,
    Bar.TASK: lambda waiter, holder: _flow(waiter) == _flow(holder) and waiter.key.task_id == holder.key.task_id,
    Bar.TASK_IN_RUN: lambda waiter, holder: waiter.run_id == holder.run_id and waiter.key.task_id == holder.key.task_id,
    Bar.PARALLELISM: lambda _, holder: holder.state in OCCUPYING,
}


def say(refusal: Refusal, waiter: Waiter, board: Board) -> str:
    """The sentence of one refusal."""
    demand = waiter.demand
    match refusal.bar:
        case Bar.NO_POOL:
            return limit_messages.pool_is_missing(demand.pool)
        case Bar.TOO_BIG:
            return limit_messages.pool_is_small(demand.pool, wanted=demand.slots, slots=refusal.limit)
        case Bar.POOL if refusal.first is not None:
            return limit_messages.others_go_first(demand.pool, wanted=demand.slots, name=_name(refusal.first, waiter))
        case Bar.POOL:
            names = [_name(holder, waiter) for holder in board.holders if holder.pool == demand.pool]
            return limit_messages.pool_is_full(
                demand.pool, wanted=demand.slots, used=used_slots(board.pools, board.holders)[demand.pool], slots=refusal.limit, names=names
            )
    names = [_name(holder, waiter) for holder in board.holders if _WHOSE[refusal.bar](waiter, holder)]
    return limit_messages.limit_is_reached(_what(refusal.bar, waiter), refusal.bar.value, most=refusal.limit, names=names)


def _what(bar: Bar, waiter: Waiter) -> str:
    if bar is Bar.FLOW:
        return f"task of {waiter.flow}"
    if bar is Bar.RUN:
        return "task of this run"
    if bar is Bar.PARALLELISM:
        return "task"
    return waiter.key.task_id + (" of this run" if bar is Bar.TASK_IN_RUN else "")


def _name(other: Waiter | Holder, waiter: Waiter) -> str:
    """`load[2]`, with its flow or its run where that is another one."""
    label = str(other.key).rpartition(".")[2]
    if _flow(other) != _flow(waiter):
        return f"{label} of {other.flow}"
    return label if other.run_id == waiter.run_id else f"{label} of {other.run_id}"


def _flow(one: Waiter | Holder) -> tuple[str, str]:
    return one.flow, one.path


def reasons_of(board: Board) -> dict[tuple[RunId, TaskKey], str]:
    """The sentence of each waiter, as of now: what a higher-ranked one could take counts as taken."""
    room = Room(board.pools, used_slots(board.pools, board.holders), board.holders)
    _, refused = decide(board.waiters, room, mine=None, most=0)
    waiters = {(waiter.run_id, waiter.key): waiter for waiter in board.waiters}
    found = {place: say(refusal, waiters[place], board) for place, refusal in refused.items()}
    return {place: found.get(place, messages.MAY_RUN) for place in waiters}
