# SPDX-License-Identifier: BSD-3-Clause
"""A notebook file as its cells, read without nbformat: the command line answers quickly."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from nbflow.core.errors import UserError, nearest

_PYTHON: Final = frozenset({"python", "python3", "ipython", ""})
_RESTORE: Final = "Restore it from version control, or from .ipynb_checkpoints beside it."
_KINDS: Final = frozenset({"code", "markdown", "raw"})


@dataclass(frozen=True, kw_only=True)
class CellSource:
    """One cell as it stands in the notebook."""

    id: str = ""
    #: Counts all cells of the file from 1; 0 when it is not in the file yet.
    number: int = 0
    kind: str = "code"  # code | markdown | raw
    source: str = ""
    tags: tuple[str, ...] = ()
    #: Its place among the cells looked at, from 0.
    order: int = 0


@dataclass(frozen=True, kw_only=True)
class NotebookFile:
    """A notebook that was read."""

    path: Path
    cells: tuple[CellSource, ...] = ()
    kernel_name: str = ""
    language: str = "python"
    metadata: Mapping[str, Any] = field(default_factory=dict)


def read_notebook(path: str | Path, *, any_language: bool = False) -> NotebookFile:
    """Raises UserError when there is no such file, or it is no Python notebook of format 4 (with `any_language`: no notebook)."""
    place = Path(path)
    document = _document(place)
    if not isinstance(document, dict) or not ("cells" in document or "worksheets" in document):
        raise UserError(f"{path} is not a notebook: it has no cells.")
    if "worksheets" in document or document.get("nbformat", 4) in {1, 2, 3}:
        raise UserError(f"{path} is a notebook of an old format (3 or less): open it in JupyterLab and save it.")
    cells = document["cells"]
    if not isinstance(cells, list):
        raise UserError(f'{path} is not a notebook: its "cells" are not a list.')
    metadata = _mapping(document.get("metadata"))
    kernel = _mapping(metadata.get("kernelspec"))
    notebook = NotebookFile(
        path=place,
        cells=tuple(_cell(cell, number, str(path)) for number, cell in enumerate(cells, start=1)),
        kernel_name=str(kernel.get("name", "")),
        language=str(kernel.get("language") or _mapping(metadata.get("language_info")).get("name") or "python"),
        metadata=metadata,
    )
    if not any_language:
        require_python(notebook)
    return notebook


def require_python(notebook: NotebookFile) -> None:
    """Raises UserError for a notebook of another language: tasks are Python."""
    if notebook.language.lower() in _PYTHON:
        return
    kernel = _mapping(notebook.metadata.get("kernelspec"))
    name = str(kernel.get("display_name") or notebook.kernel_name or notebook.language)
    raise UserError(
        f'{notebook.path} is a notebook for {notebook.language} (kernel "{name}"), and tasks are Python: '
        "choose a Python kernel for it in JupyterLab and save it."
    )


def _document(place: Path) -> Any:
    if place.is_dir():
        raise UserError(f"{place} is a folder: name a notebook in it.")
    try:
        text = place.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise UserError(f"There is no file {place}.{nearest(place.name, _like(place))}") from None
    except UnicodeDecodeError:
        raise UserError(f"{place} is not a notebook: it is not UTF-8 text.") from None
    except OSError as error:
        raise UserError(f"{place} cannot be read: {error.strerror or error}.") from None
    if not text.strip():
        raise UserError(f"{place} is not a notebook: it is empty.")
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        if text.lstrip()[:1] != "{":
            raise UserError(f"{place} is not a notebook: it is not JSON.") from None
        raise UserError(
            f"{place} is broken: its JSON is wrong in line {error.lineno}, column {error.colno} ({error.msg}). {_RESTORE}"
        ) from None


def _like(place: Path) -> list[str]:
    """The notebooks beside it of nearly that name (what all their names end with does not count)."""
    return [other.name for other in place.parent.glob("*.ipynb") if nearest(place.stem, [other.stem])]


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _cell(cell: Any, number: int, path: str) -> CellSource:
    if not isinstance(cell, dict) or cell.get("cell_type") not in _KINDS:
        raise UserError(f"{path} is broken: cell {number} is neither code nor Markdown nor raw text.")
    source = cell.get("source", "")
    text = "".join(str(line) for line in source) if isinstance(source, list) else str(source)
    tags = _mapping(cell.get("metadata")).get("tags", ())
    return CellSource(
        id=str(cell.get("id") or f"cell-{number}"),
        number=number,
        kind=cell["cell_type"],
        source=text,
        tags=tuple(str(tag) for tag in tags) if isinstance(tags, list) else (),
        order=number - 1,
    )
