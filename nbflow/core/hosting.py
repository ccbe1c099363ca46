# SPDX-License-Identifier: BSD-3-Clause
"""What a kernel and whoever drives its graph say to each other. Live, the driver is a thread of the kernel; headless, it is the papermill host.

`%nbflow run` makes an `Advance`, gives it to its `RunHost` and gets an `Advanced` back; the cell neither knows nor cares which of the two it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from nbflow.core.ids import RunId, TaskId
from nbflow.core.job import CaptureSet, ErrorInfo, ValueRef
from nbflow.core.model import CellRef, Flow
from nbflow.core.states import RunState


@dataclass(frozen=True, kw_only=True)
class Advance:
    """Run these tasks of this flow now, with what the kernel hands over."""

    flow: Flow
    captures: CaptureSet
    #: The tasks to run (those above the cell); headless, the tasks below stay held until a later Advance releases them.
    tasks: tuple[TaskId, ...]
    params: Mapping[str, Any] = field(default_factory=dict)
    #: Results of earlier runs are not used.
    fresh: bool = False
    #: Nothing follows: the run ends when these tasks have ended.
    final: bool = False


@dataclass(frozen=True, kw_only=True)
class TaskFailure:
    """The first failed task of a run, for the cell that asked."""

    task: TaskId
    cell: CellRef
    error: ErrorInfo
    reason: str


@dataclass(frozen=True, kw_only=True)
class Advanced:
    """How far it went, and the values for the kernel's namespace."""

    run_id: RunId
    #: RUNNING while tasks are held.
    state: RunState
    #: By name: the nearest succeeded writer's value, in the notebook's order.
    values: Mapping[str, ValueRef] = field(default_factory=dict)
    failures: tuple[TaskFailure, ...] = ()
    #: The summary every view ends with: "monitor_errors finished in 1 m 48 s: 15 succeeded, 1 skipped."
    sentence: str = ""


class RunHost(Protocol):
    """Who drives the graph for this kernel."""

    def advance(self, request: Advance) -> Advanced:
        """Blocks until the tasks have ended. Raises KeyboardInterrupt after cancelling cleanly when interrupted."""
        ...
