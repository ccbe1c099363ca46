# SPDX-License-Identifier: BSD-3-Clause
"""What keeping house asks of the store: old runs and what only they hold, figures for whoever watches, and what does not fit together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from nbflow.core.ids import RunId
from nbflow.core.protocols import RunPage
from nbflow.core.records import RunRecord
from nbflow.core.tallies import Tally


@dataclass(frozen=True, kw_only=True)
class Figures:
    """How things stand, from a few queries by index. Ages are by the database's clock."""

    #: Unfinished runs by flow and state.
    active_runs: Mapping[tuple[str, str], int] = field(default_factory=dict)
    #: Task instances of unfinished runs by state.
    active_tasks: Mapping[str, int] = field(default_factory=dict)
    #: When the longest due run that nobody has taken was due, runs of paused flows left aside.
    oldest_queued: datetime | None = None
    #: When the longest due date that has no run yet was due.
    oldest_due: datetime | None = None
    #: Leases of unfinished runs that are held, and that have lapsed.
    held_leases: int = 0
    lapsed_leases: int = 0
    #: Seconds until the first of the held ones lapses.
    first_lapse: float | None = None
    #: Deployed flows, those that are paused.
    flows: int = 0
    paused_flows: int = 0


@dataclass(frozen=True, kw_only=True)
class RunEnd:
    """That a run ended with a change of its log; one that was cleared ends again."""

    number: int
    run_id: RunId
    cursor: int


class HouseStore(Protocol):
    """Every method is one short transaction."""

    def identity(self) -> str:
        """Some letters and digits that tell this database from others, and stay with it."""
        ...

    # what may go
    def old(
        self, before: datetime, *, flow: str = "", has_values: bool = False, has_outputs: bool = False, cursor: str = "", limit: int = 100
    ) -> RunPage:
        """Finished runs that were created before this instant, the oldest first; only those whose values, outputs were not taken away."""
        ...

    def following(self, run: RunRecord, *, manual: bool) -> RunRecord | None:
        """The run of the same flow (of its deployment, if it has one) with the next logical date; `manual` ones too?"""
        ...

    def thin(self, run_id: str, *, values: bool, outputs: bool) -> tuple[str, ...]:
        """Take the values, or what was printed, out of the history of a finished run. Returns the artifacts no run refers to any more.

        Nothing happens to a run that has not ended, or is gone.
        """
        ...

    def unreferenced(self, hashes: Sequence[str]) -> tuple[str, ...]:
        """Those artifacts among these that no run refers to."""
        ...

    def referenced(self, after: str = "", limit: int = 1000) -> tuple[str, ...]:
        """The artifacts that runs refer to, by hash, those behind `after`."""
        ...

    def known(self, run_ids: Sequence[str]) -> frozenset[RunId]:
        """Those among these that are runs."""
        ...

    def versions_in_use(self) -> frozenset[str]:
        """Those of the runs that have not ended."""
        ...

    def running_since(self) -> datetime | None:
        """When the oldest run that is running now was created: what was written since may be what nobody refers to yet."""
        ...

    # how things stand
    def figures(self, now: datetime) -> Figures: ...

    def ended(self, limit: int = 100) -> tuple[RunEnd, ...]:
        """Ends of runs that were not counted yet, in order."""
        ...

    def count(self, number: int, tallies: Iterable[Tally]) -> bool:
        """Count this end, once: False when somebody else has."""
        ...

    def tallies(self) -> tuple[Tally, ...]:
        """Everything that was ever counted, by what, flow and state."""
        ...

    # what does not fit
    def complaints(self) -> tuple[str, ...]:
        """What the database itself finds wrong, and rows that belong to no run: a sentence each."""
        ...
