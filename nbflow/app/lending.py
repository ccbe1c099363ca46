# SPDX-License-Identifier: BSD-3-Clause
"""What the tasks of a flow need of the connections and variables there are: missing ones are refused, the others lent to each attempt."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from nbflow.core.connections import SecretStore, maskable, secret_texts
from nbflow.core.errors import NbflowError, Problem, nearest
from nbflow.core.job import CaptureSet, Job
from nbflow.core.lending import NOTHING_LENT, Lent, Named, named, named_by_code
from nbflow.core.model import Flow, Task

if TYPE_CHECKING:
    from nbflow.app.secrets import Secrets


def secret_problems(stored: Callable[[], SecretStore], flow: Flow, captures: CaptureSet | None = None) -> tuple[Problem, ...]:
    """Connections and variables that a task names and nobody has set. They are looked up only where a task names any."""
    return _missing(stored, [(f"Task {task.id}", task.cell.number, _of_task(task, captures)) for task in flow.tasks])


def cell_problems(stored: Callable[[], SecretStore], sources: Iterable[tuple[int, str]]) -> tuple[Problem, ...]:
    """As `secret_problems`, for plain cells by their number: functions in them may be used by tasks."""
    return _missing(stored, [("This cell", number, named_by_code(source)) for number, source in sources])


def _missing(stored: Callable[[], SecretStore], wanted: Sequence[tuple[str, int, Named]]) -> tuple[Problem, ...]:
    if not any(found for _, _, found in wanted):
        return ()
    connections = {one.name for one in stored().connections()}
    variables = {one.name for one in stored().variables()}
    problems = []
    for who, cell, found in wanted:
        problems += [_problem(who, cell, "connection", name, connections) for name in sorted(found.connections - connections)]
        problems += [_problem(who, cell, "variable", name, variables) for name in sorted(found.variables - variables)]
    return tuple(problems)


def _of_task(task: Task, captures: CaptureSet | None = None) -> Named:
    options = task.options
    found = named(task.operator, task.source, conn=options.conn, templates=[options.unless_exists])
    if captures is not None:
        early = captures.early.get(task.id, {})
        waiting, seen = [*early, *(read.name for read in task.reads if read.plain)], set[str]()
        while waiting:
            name = waiting.pop()
            capture = early.get(name) or captures.names.get(name)
            if capture is not None and name not in seen:
                seen.add(name)
                found |= named_by_code(capture.source)
                waiting += capture.needs
    return found


def _problem(who: str, cell: int, what: str, name: str, known: Iterable[str]) -> Problem:
    hint = nearest(name, known) or f" Set it with nbflow {what}s set {name}."
    return Problem(cell=cell, line=1 if cell else 0, message=f'{who} uses the {what} "{name}", which does not exist.{hint}', code=what)


def lender(secrets: Callable[[], Secrets]) -> Callable[[Task, Job], Lent]:
    """Lends each attempt what it names. What cannot be lent is said by the attempt, which then fails: a driver goes on."""

    def lend(task: Task, job: Job) -> Lent:
        found = named(job.operator, job.source, conn=task.options.conn, templates=[job.unless_exists])
        for capture in job.captures.values():
            if capture.source:
                found |= named_by_code(capture.source)
        if not found:
            return NOTHING_LENT
        try:
            return _lent(secrets(), found, task.options.conn)
        except NbflowError as error:
            return replace(NOTHING_LENT, problem=str(error))

    return lend


def _lent(secrets: Secrets, found: Named, conn: str) -> Lent:
    there = {one.name: one for one in secrets.stored.variables()} if found.variables or found.maybe_variables else {}
    reached = {one.name for one in secrets.stored.connections()} if found.maybe_connections else set[str]()
    connections = {name: secrets.connection(name) for name in found.connections | (found.maybe_connections & reached)}
    variables = {name: secrets.variable(name) for name in found.variables | (found.maybe_variables & there.keys())}
    sealed = frozenset(name for name in variables if there[name].is_secret)
    hidden = {text for connection in connections.values() for text in secret_texts(connection)}
    hidden.update(maskable(variables[name] for name in sealed))
    return Lent(conn=conn, connections=connections, variables=variables, sealed=sealed, hidden=tuple(sorted(hidden)))
