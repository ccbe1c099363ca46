# SPDX-License-Identifier: BSD-3-Clause
"""What can go wrong, as sentences.

Every error a person may see is an `NbflowError`: one clear sentence saying what, where and what to do.

    NbflowError            exit code
    ├── UserError          2   wrong use: a bad option, an unknown task, a file that is no notebook
    │   └── FlowError      2   a flow with problems, all of them reported at once
    ├── RunFailed          1   the run was executed and did not end well
    ├── SetupError         3   the installation, the database or the cluster is in the way
    │   └── StoreError     3   the database, perhaps only for a while
    └── Superseded         3   another driver holds this run's lease: this one's writes are refused
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePath


class NbflowError(Exception):
    """One readable sentence; `exit_code` is what the command line ends with."""

    exit_code = 3

    def _render_traceback_(self) -> list[str]:
        """What IPython shows: the sentence in red, never a stack."""
        return [f"\x1b[31m{line}\x1b[0m" for line in str(self).splitlines()]


class UserError(NbflowError):
    """Something the person typed cannot be done; the sentence says what to type instead."""

    exit_code = 2


class RunFailed(NbflowError):
    """The run was executed and ended failed or cancelled."""

    exit_code = 1


class SetupError(NbflowError):
    """The installation, the database, a kernel or the cluster is in the way."""

    exit_code = 3


class StoreError(SetupError):
    """The database cannot do it, perhaps only for a while: what is unattended is tried again, and nothing is concluded from it."""


class Superseded(NbflowError):
    """A newer driver holds the lease of this run; nothing was written."""


@dataclass(frozen=True, kw_only=True, order=True)
class Problem:
    """One thing wrong with a notebook: `cell` counts all cells of the file from 1, `line` the lines of that cell from 1 (0: whole)."""

    cell: int = 0
    line: int = 0
    message: str
    code: str = "flow"
    severity: str = "error"  # error | warning

    def __str__(self) -> str:
        return self.at("")

    def at(self, file: str) -> str:
        """`sales.ipynb, cell 2, line 1: ...`, or without the file's name when it is empty."""
        parts = (file, f"cell {self.cell}" if self.cell else "", f"line {self.line}" if self.line else "")
        where = ", ".join(part for part in parts if part)
        return f"{where}: {self.message}" if where else self.message


class FlowError(UserError):
    """A flow that cannot be used, with every problem found in it, a line for each; `path` names its file where that is not plain to see."""

    def __init__(self, problems: Iterable[Problem], path: str | PurePath = "") -> None:
        self.problems = tuple(sorted(problems))
        name = PurePath(path).name
        super().__init__("\n".join(problem.at(name) for problem in self.problems))


def nearest(word: str, known: Iterable[str], *, likeness: float = 0.6) -> str:
    """A hint such as ` Did you mean "retries"?`, or an empty string when nothing is near.

    Where many short words are known, something is always a little like it: ask for more likeness there.
    """
    import difflib  # noqa: PLC0415 - only mistakes need it, and every start of nbflow would wait for it

    found = difflib.get_close_matches(word, list(known), n=1, cutoff=likeness)
    return f' Did you mean "{found[0]}"?' if found else ""
