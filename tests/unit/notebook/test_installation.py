# SPDX-License-Identifier: BSD-3-Clause
"""[defaults] of nbflow.toml in a live kernel: options of tasks for where the notebook says nothing else."""

from __future__ import annotations

import pytest

from nbflow.notebook import extension


@pytest.mark.parametrize(
    ("defaults", "retries"),
    [
        ('{"retries": 2, "catchup": "none"}', 2),
        ('{"retries": "many"}', 0),  # a bad setting is told to whoever runs the flow, and stops no cell
    ],
)
def test_options_of_the_installation(shell, tmp_path, monkeypatch: pytest.MonkeyPatch, defaults: str, retries: int) -> None:
    monkeypatch.setenv("NBFLOW_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NBFLOW_DASK", "inline")
    monkeypatch.setenv("NBFLOW_DEFAULTS", defaults)
    assert shell.execute("%load_ext nbflow", "load").success
    assert shell.execute("%%task one\nx = 1", "one").success
    assert shell.execute("%%task two --retries 7\ny = 1", "two").success
    one, two = extension.load(shell).session.draft().tasks
    assert (one.options.retries, two.options.retries) == (retries, 7)
