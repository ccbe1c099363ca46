# SPDX-License-Identifier: BSD-3-Clause
"""What pytest finds where nbflow is installed: the fixture `nbflow_workspace`. Nothing is imported before a test asks for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from nbflow.app import Workspace


@pytest.fixture
def nbflow_workspace(tmp_path: Path) -> Iterator[Workspace]:
    """A workspace in memory in which flows of this process run, their tasks one at a time in this process; its values lie in `tmp_path`."""
    from nbflow.testing import memory_workspace  # noqa: PLC0415 - see the module's docstring

    with memory_workspace(tmp_path / "nbflow") as workspace:
        yield workspace
