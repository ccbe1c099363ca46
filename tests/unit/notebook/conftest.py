# SPDX-License-Identifier: BSD-3-Clause
"""A real IPython shell that leaves the process as it was."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from nbflow.notebook import extension
from tests.unit.notebook.recording import request


class Shell(InteractiveShell):
    """A shell that also says which request it serves, as a kernel's does."""

    served = "none"

    def get_parent(self) -> dict[str, Any]:
        return request(self.served)

    def execute(self, source: str, cell: str | None = None) -> Any:
        """Execute a cell as a front end with cell ids does (or, without an id, as a console). Raises nothing: see the result."""
        self.served = cell or "none"
        return self.run_cell(source, store_history=True, cell_id=cell)


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    main = sys.modules["__main__"]
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    config = Config()
    config.HistoryManager.hist_file = ":memory:"
    config.InteractiveShell.colors = "nocolor"
    shell = Shell(config=config)
    hook = sys.displayhook
    try:
        yield shell
    finally:
        extension.unload(shell)  # else flows of later tests in this process would be those of this notebook
        sys.displayhook = hook
        sys.modules["__main__"] = main
        shell.history_manager.end_session()


class Notebook:
    """A notebook file that can be changed and saved."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._saves = 0

    def save(self, *cells: tuple[str, str]) -> None:
        """Cells as (id, source); an id that begins with `md` is a text cell."""
        found = []
        for cell, source in cells:
            if cell.startswith("md"):
                found.append({"cell_type": "markdown", "id": cell, "metadata": {}, "source": source})
            else:
                found.append({"cell_type": "code", "id": cell, "metadata": {}, "source": source, "outputs": [], "execution_count": None})
        document = {"cells": found, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
        self.path.write_text(json.dumps(document), encoding="utf-8")
        # Two saves within the clock's grain are two saves all the same.
        import os

        self._saves += 1
        os.utime(self.path, (self._saves, self._saves))


@pytest.fixture
def notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Notebook:
    """A saved notebook that the shell takes for its own."""
    saved = Notebook(tmp_path / "sales.ipynb")
    saved.save()
    monkeypatch.setenv("JPY_SESSION_NAME", str(saved.path))
    return saved
