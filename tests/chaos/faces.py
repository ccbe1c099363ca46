# SPDX-License-Identifier: BSD-3-Clause
"""How a flow is written down and who drives it: a live kernel's thread, the command line, papermill, or a Python file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat

from tests.chaos.flows import Plan, Planned

PYTHON = {"name": "python3", "display_name": "Python 3", "language": "python"}
#: Of every task, besides its own options.
OPTIONS = {"retries": "1", "retry-delay": "0.05s"}


@dataclass(frozen=True, kw_only=True)
class Face:
    """The words after `python -m` that start the flow, in the folder where it was written."""

    name: str
    start: tuple[str, ...]
    #: How often it is drawn.
    weight: int
    #: What goes on with the run, whose id follows.
    resume: tuple[str, ...] = ("nbflow", "run", "--resume")


FACES: Mapping[str, Face] = {
    face.name: face
    for face in (
        Face(name="live", start=("tests.chaos.driver", "in.ipynb"), resume=("tests.chaos.driver", "--resume"), weight=8),
        Face(name="cli", start=("nbflow", "run", "in.ipynb", "-o", "out.ipynb"), weight=2),
        Face(name="papermill", start=("papermill", "in.ipynb", "out.ipynb", "--engine", "nbflow"), weight=2),
        Face(name="python", start=("nbflow", "run", "flows.py:chaos"), weight=3),
        Face(name="plain", start=("papermill", "plain.ipynb", "out.ipynb", "--engine", "nbflow"), weight=1),
    )
}


def write(plan: Plan, folder: Path) -> None:
    """The flow in every form a face may want."""
    _write_notebook(_flow_cells(plan), folder / "in.ipynb")
    _write_notebook([f"from tests.chaos.body import cells\ncells({0.1 * number}, {number})" for number in range(4)], folder / "plain.ipynb")
    (folder / "flows.py").write_text(_python(plan), encoding="utf-8")


def _write_notebook(cells: list[str], path: Path) -> None:
    made = [nbformat.v4.new_code_cell(source, id=f"cell-{number}") for number, source in enumerate(cells)]
    nbformat.write(nbformat.v4.new_notebook(cells=made, metadata={"kernelspec": PYTHON}), path)


def _flow_cells(plan: Plan) -> list[str]:
    """With a plain cell and an advance somewhere in the middle, unless the advance would end the notebook."""
    cells = [_cell(task) for task in plan.tasks]
    if not plan.has_failures:
        middle = len(cells) // 2
        cells[middle:middle] = ["%nbflow run", "plain = 2"]
    return ["%load_ext nbflow", "plain = 1", *cells]


def _cell(task: Planned) -> str:
    options = {**OPTIONS, **task.options}
    words = ["%%task", task.id, *(f"--{name} {value}" for name, value in options.items())]
    words += [f"--after {' '.join(task.after)}"] if task.after else []
    words += [f"--map element=x_{task.over}"] if task.over else []
    lines = [" ".join(words), "from tests.chaos.body import looked, work", task.work, f"x_{task.id} = {task.expression}"]
    return "\n".join([*lines, task.decides] if task.decides else lines)


def _python(plan: Plan) -> str:
    lines = ["from nbflow import flow, task", "from tests.chaos.body import looked, work", ""]
    for task in plan.tasks:
        arguments = ["element"] if task.over else [f"x_{id}" for id in task.reads]
        lines += [
            "",
            f"@task({', '.join(f'{name}={value!r}' for name, value in _keywords(task).items())})",
            f"def {task.id}({', '.join(arguments)}):",
            f"    {task.work}",
            f"    return {task.decides or task.expression}",
            "",
        ]
    lines += ["", "@flow", "def chaos():"]
    for task in plan.tasks:
        call = f"expand(element=r_{task.over})" if task.over else f"({', '.join(f'r_{id}' for id in task.reads)})"
        lines.append(f"    r_{task.id} = {task.id}{'.' if task.over else ''}{call}")
        lines += [f"    [{', '.join(f'r_{id}' for id in task.after)}] >> r_{task.id}"] if task.after else []
    return "\n".join(lines) + "\n"


def _keywords(task: Planned) -> dict[str, Any]:
    names = {"as": "as_"}
    given = {name.replace("-", "_"): value for name, value in {**OPTIONS, **task.options}.items()}
    return {names.get(name, name): int(value) if name in {"retries", "slots"} else value for name, value in given.items()}
