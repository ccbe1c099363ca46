# SPDX-License-Identifier: BSD-3-Clause
"""The sentences about slots and limits (ui.md, sentences 2 and 3)."""

from __future__ import annotations

from collections.abc import Sequence

from nbflow.core.messages import comma_list, plural


def all_are_busy(slots: int) -> str:
    """`Queued: all 8 worker threads are busy.`"""
    return "Queued: the only worker thread is busy." if slots == 1 else f"Queued: all {slots} worker threads are busy."


def pool_is_full(pool: str, *, wanted: int, used: int, slots: int, names: Sequence[str]) -> str:
    """`Waiting for a slot in pool sftp: 3 of 3 in use by extApp, notificationApp, daemonApp.`"""
    by = f" by {comma_list(names)}" if names else ""
    return f"Waiting for {_slots(wanted)} in pool {pool}: {used} of {slots} in use{by}."


def others_go_first(pool: str, *, wanted: int, name: str) -> str:
    """`Waiting for a slot in pool sftp: load of sales goes first.`"""
    return f"Waiting for {_slots(wanted)} in pool {pool}: {name} goes first."


def _slots(wanted: int) -> str:
    return "a slot" if wanted == 1 else f"{wanted} slots"


def pool_is_missing(pool: str) -> str:
    return f"Waiting: there is no pool {pool} any more. Make it with nbflow pools set {pool} SLOTS."


def pool_is_small(pool: str, *, wanted: int, slots: int) -> str:
    return f"Waiting: it takes {plural(wanted, 'slot')} and pool {pool} has {slots}. Give it more with nbflow pools set {pool} {wanted}."


def limit_is_reached(what: str, limit: str, *, most: int, names: Sequence[str]) -> str:
    """`Waiting for another task of sales to end: max_active_tasks is 2, and these run: extract, load.`"""
    run = f", and these run: {comma_list(names)}" if names else ""
    return f"Waiting for another {what} to end: {limit} is {most}{run}."
