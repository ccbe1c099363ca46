# SPDX-License-Identifier: BSD-3-Clause
"""Notebooks for tests, written as texts of cells."""

from __future__ import annotations

from nbflow.authoring.flow_builder import build_flow, find_problems
from nbflow.authoring.notebook_file import CellSource
from nbflow.core.errors import Problem
from nbflow.core.model import Flow, Read


def cells(*sources: str, parameters: int = 0) -> tuple[CellSource, ...]:
    """Code cells numbered from 1; the one of number `parameters` is tagged so."""
    return tuple(
        CellSource(id=f"c{number}", number=number, source=source, order=number - 1, tags=("parameters",) if number == parameters else ())
        for number, source in enumerate(sources, start=1)
    )


def flow(*sources: str, parameters: int = 0) -> Flow:
    return build_flow(cells(*sources, parameters=parameters), name="nb")


def problems(*sources: str, parameters: int = 0) -> tuple[Problem, ...]:
    return find_problems(cells(*sources, parameters=parameters), name="nb")


def errors(*sources: str, parameters: int = 0) -> list[str]:
    return [str(problem) for problem in problems(*sources, parameters=parameters) if problem.severity == "error"]


def warnings(*sources: str, parameters: int = 0) -> list[str]:
    return [str(problem) for problem in problems(*sources, parameters=parameters) if problem.severity == "warning"]


def edges(found: Flow) -> set[str]:
    """`a->b:x y` for each edge."""
    return {f"{edge.upstream}->{edge.downstream}:{' '.join(edge.names)}" for edge in found.edges}


def read(found: Flow, task: str, name: str) -> Read:
    return next(read for read in found.task(task).reads if read.name == name)
