# SPDX-License-Identifier: BSD-3-Clause
"""A notebook file as its cells, or a sentence that says why not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from nbflow.authoring.notebook_file import read_notebook
from nbflow.core.errors import UserError

CODE = {"cell_type": "code", "source": ["x = 1\n", "y = 2"], "metadata": {"tags": ["parameters"]}, "outputs": [], "execution_count": None}
PYTHON = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}


def write(folder: Path, document: Any) -> Path:
    path = folder / "nb.ipynb"
    path.write_text(document if isinstance(document, str) else json.dumps(document), encoding="utf-8")
    return path


def test_cells_carry_source_tags_and_numbers(tmp_path: Path) -> None:
    text = {"cell_type": "markdown", "source": "# Title", "metadata": {}, "id": "title"}
    notebook = read_notebook(
        write(tmp_path, {"cells": [text, {**CODE, "id": "abc"}], "metadata": PYTHON, "nbformat": 4, "nbformat_minor": 5})
    )
    first, second = notebook.cells
    assert (first.kind, first.id, first.number, first.source) == ("markdown", "title", 1, "# Title")
    assert (second.kind, second.id, second.number, second.order, second.tags) == ("code", "abc", 2, 1, ("parameters",))
    assert second.source == "x = 1\ny = 2"
    assert (notebook.kernel_name, notebook.language, notebook.metadata) == ("python3", "python", PYTHON)


def test_cells_without_ids_get_stable_ones(tmp_path: Path) -> None:
    notebook = read_notebook(write(tmp_path, {"cells": [CODE, CODE], "metadata": {}, "nbformat": 4, "nbformat_minor": 4}))
    assert [cell.id for cell in notebook.cells] == ["cell-1", "cell-2"]


def test_a_notebook_without_metadata_is_taken_for_python(tmp_path: Path) -> None:
    assert read_notebook(write(tmp_path, {"cells": []})).language == "python"


R_KERNEL = {"kernelspec": {"name": "ir", "display_name": "R", "language": "R"}}
REFUSED: dict[str, tuple[Any, str]] = {
    "broken JSON": (
        '{\n "cells": [,]\n}',
        "{path} is broken: its JSON is wrong in line 2, column 12 (Expecting value). Restore it from version control, or from .ipynb_checkpoints beside it.",
    ),
    "no JSON": ("print(1)", "{path} is not a notebook: it is not JSON."),
    "nothing": ("", "{path} is not a notebook: it is empty."),
    "other JSON": ({"a": 1}, "{path} is not a notebook: it has no cells."),
    "a list": ([1], "{path} is not a notebook: it has no cells."),
    "cells that are none": ({"cells": 3}, '{path} is not a notebook: its "cells" are not a list.'),
    "a cell that is none": ({"cells": [{"cell_type": "heading"}]}, "{path} is broken: cell 1 is neither code nor Markdown nor raw text."),
    "an R kernel": (
        {"cells": [], "metadata": R_KERNEL, "nbformat": 4},
        '{path} is a notebook for R (kernel "R"), and tasks are Python: choose a Python kernel for it in JupyterLab and save it.',
    ),
    "format 3": (
        {"worksheets": [], "nbformat": 3},
        "{path} is a notebook of an old format (3 or less): open it in JupyterLab and save it.",
    ),
}


@pytest.mark.parametrize(("document", "sentence"), REFUSED.values(), ids=REFUSED)
def test_a_file_is_refused_for(tmp_path: Path, document: Any, sentence: str) -> None:
    path = write(tmp_path, document)
    with pytest.raises(UserError) as caught:
        read_notebook(path)
    assert str(caught.value) == sentence.replace("{path}", str(path))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"There is no file .*gone\.ipynb\."):
        read_notebook(tmp_path / "gone.ipynb")


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is a folder: name a notebook in it"):
        read_notebook(tmp_path)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "nb.ipynb"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="it is not UTF-8 text"):
        read_notebook(path)
