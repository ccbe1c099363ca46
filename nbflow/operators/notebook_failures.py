# SPDX-License-Identifier: BSD-3-Clause
"""Which failed tasks make a notebook fail: those whose failure reached the end of the graph (semantics.md 2, leaves). The others were handled."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from nbflow.core.graph import Graph
from nbflow.core.hosting import TaskFailure
from nbflow.core.ids import TaskId
from nbflow.core.model import Flow
from nbflow.core.states import FAILED_LIKE, RunState
from nbflow.operators.notebook_host import RunInfo


def unhandled(failures: Sequence[TaskFailure], flow: Flow, run: RunInfo | None, tasks: Collection[TaskId] = ()) -> tuple[TaskFailure, ...]:
    """Those of `failures` that no task below has handled, among all tasks of the flow or these: a cell answers for the tasks it ran, as live."""
    if run is None or not failures:
        return tuple(failures)
    if run.state is RunState.SUCCESS:
        return ()
    if flow.options.fail_on == "any":
        return tuple(failures)
    graph = Graph.of(flow, tasks)
    bad = {name.partition("[")[0] for name, task in run.tasks.items() if task.state in FAILED_LIKE}
    bad_ends = {task for task in graph.ids if task in bad and not graph.downstream(task)}
    counted = tuple(one for one in failures if one.task in bad_ends or (one.task in graph and graph.descendants(one.task) & bad_ends))
    # A run that failed for another reason (its time was over) still has its failures to show.
    return counted if counted or run.state is not RunState.FAILED else tuple(failures)
