# SPDX-License-Identifier: BSD-3-Clause
"""What a code cell is to the flow: a task, its header, the place where it runs, or plain code."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from enum import StrEnum
from typing import Final

from nbflow.authoring.magics import PYTHON_CELL_MAGICS, magic_call, plain_cell
from nbflow.authoring.notebook_file import CellSource


class CellKind(StrEnum):
    """What a code cell is to the flow."""

    TASK = "task"
    FLOW = "flow"
    #: Plain code with a top-level `%nbflow run`.
    RUN = "run"
    PLAIN = "plain"
    #: Another cell magic (`%%bash`, `%%html`): its body is no Python of the notebook.
    SKIP = "skip"


_CELL_MAGIC = re.compile(r"\A\s*%%(?P<name>[\w!]+)(?P<line>[^\n]*)")
_RUN: Final = re.compile(r"^(?:[\w., \t]+=[ \t]*)?%nbflow[ \t]+run\b", re.MULTILINE)


def classify(source: str) -> CellKind:
    """What the cell is; a cell that is neither Python nor IPython is plain."""
    found = _CELL_MAGIC.match(source)
    name = found["name"] if found else ""
    if found and name == "task":
        return CellKind.SKIP if {"-h", "--help"} & set(found["line"].split()) else CellKind.TASK
    if name == "flow":
        return CellKind.FLOW
    if name and name not in PYTHON_CELL_MAGICS:
        return CellKind.SKIP
    return CellKind.RUN if _RUN.search(source) and _runs_at_top(source) else CellKind.PLAIN


def plain_sources(cells: Iterable[CellSource]) -> list[tuple[int, str]]:
    """The number and the text of each plain cell."""
    kinds = {CellKind.PLAIN, CellKind.RUN}
    return [(cell.number, cell.source) for cell in cells if cell.kind == "code" and classify(cell.source) in kinds]


def _runs_at_top(source: str) -> bool:
    """`%nbflow run` is a statement of the cell, not part of a text."""
    try:
        statements = plain_cell(source).tree.body
    except (SyntaxError, ValueError):
        return True
    for statement in statements:
        call = getattr(statement, "value", None) if isinstance(statement, ast.Expr | ast.Assign) else None
        magic = magic_call(call) if isinstance(call, ast.Call) else None
        if magic is not None and magic.label == "%nbflow" and magic.words[1:2] and magic.words[1].split()[:1] == ["run"]:
            return True
    return False
