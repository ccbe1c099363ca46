# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from nbflow.widgets import panel


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A page's half that stands for the built one: what Python does does not depend on it."""
    (tmp_path / "widget.js").write_text("export default { render() {} };")
    (tmp_path / "widget.css").write_text("")
    monkeypatch.setattr(panel, "_STATIC", tmp_path)
    panel._built.cache_clear()
    yield
    panel._built.cache_clear()
