# SPDX-License-Identifier: BSD-3-Clause
"""What a driver stands on, the same for every run of a workspace."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from nbflow.core.job import Job
from nbflow.core.lending import NOTHING_LENT, Lent
from nbflow.core.model import Task
from nbflow.core.protocols import ArtifactStore, Clock, Executor, Store
from nbflow.core.sources import AsPython
from nbflow.engine.inbox import Switchboard


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """The rooms a driver works with, and the limits that hold for all of them."""

    store: Store
    artifacts: ArtifactStore
    executor: Executor
    switchboard: Switchboard
    clock: Clock
    artifacts_url: str
    keep_limit: int
    #: Most attempts that one driver hands over at once.
    ahead: int
    #: Most attempts at once in the whole installation; 0: any number.
    parallelism: int = 0
    #: Ends the runs whose driver died, so that nobody waits for the slots they hold.
    reap: Callable[[], object] = tuple
    #: Turns a cell with magics into plain Python; None: such cells count letter by letter.
    as_python: AsPython | None = None
    #: The connections and variables that an attempt may use.
    lend: Callable[[Task, Job], Lent] = lambda _task, _job: NOTHING_LENT
