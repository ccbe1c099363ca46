# SPDX-License-Identifier: BSD-3-Clause
"""What a branch's last expression means: which tasks it follows, and which it leaves out (semantics.md 8)."""

from __future__ import annotations

from typing import Any

from nbflow.core import messages
from nbflow.core.errors import UserError, nearest
from nbflow.core.graph import Graph
from nbflow.core.ids import TaskId


def read_choice(decision: Any, *, branch: str, graph: Graph) -> tuple[TaskId, ...]:
    """The ids a decision names, in the order written; a group stands for its roots. Raises UserError for anything else.

    `graph` is the whole flow's: a task that takes no part in this run may still be chosen.
    """
    chosen: set[TaskId] = set()
    for word in _words(decision, branch):
        found = (TaskId(word),) if word in graph else graph.group_roots(word)
        if not found:
            raise UserError(messages.unknown_choice(branch, word, nearest(word, graph.ids)))
        chosen.update(found)
    return tuple(sorted(chosen, key=graph.position.__getitem__))


def _words(decision: Any, branch: str) -> tuple[str, ...]:
    if decision is None:
        return ()
    if isinstance(decision, str):
        return (decision,)
    if isinstance(decision, list | tuple | set | frozenset) and all(isinstance(word, str) for word in decision):
        return tuple(decision)
    raise UserError(messages.not_a_choice(branch, repr(decision)[:80]))


def left_out(branch: TaskId, followed: tuple[TaskId, ...], *, graph: Graph) -> frozenset[TaskId]:
    """The direct downstream tasks of a branch that are neither chosen nor below a chosen task."""
    keep = graph.descendants(*followed).union(followed)
    return frozenset(graph.downstream(branch)) - keep
