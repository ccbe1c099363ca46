# SPDX-License-Identifier: BSD-3-Clause
"""What can be said of a notebook before anything is started: a wrong path or a cycle is told at once, with no kernel, database or cluster."""

from __future__ import annotations

from pathlib import Path

from nbflow.authoring.flow_builder import find_problems
from nbflow.authoring.notebook_file import read_notebook, require_python
from nbflow.core.errors import FlowError
from nbflow.core.ids import slug
from nbflow.operators.notebook_files import require_writable
from nbflow.operators.notebook_marks import says_nbflow


def require_runnable(path: Path, output: Path | None = None) -> None:
    """Raises UserError when there is no such notebook, its tasks are not Python or `output` cannot be written, FlowError with all that is wrong.

    A notebook without nbflow in it is run as it is, in whatever language: then only the file is looked at.
    """
    notebook = read_notebook(path, any_language=True)
    if output is not None:
        require_writable(output, path)
    if not any(cell.kind == "code" and says_nbflow(cell.source) for cell in notebook.cells):
        return
    require_python(notebook)
    problems = find_problems(notebook.cells, name=slug(path.stem), path=str(path.resolve()))
    errors = [problem for problem in problems if problem.severity == "error"]
    if errors:
        raise FlowError(errors, path)
