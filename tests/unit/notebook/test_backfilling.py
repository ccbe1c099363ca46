# SPDX-License-Identifier: BSD-3-Clause
"""`%nbflow backfill`, in a real shell."""

from __future__ import annotations

from pathlib import Path

import pytest

from nbflow.app import Workspace
from nbflow.settings import Settings

CELLS = (
    ("load", "%load_ext nbflow"),
    ("head", "%%flow sales\nschedule = '0 3 * * *'"),
    ("one", "%%task one\nx = 1"),
    ("last", "%nbflow deploy"),
)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NBFLOW_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NBFLOW_DASK", "inline")
    return tmp_path / "home"


def backfills(home: Path):
    workspace = Workspace(Settings(home=home))
    try:
        return workspace.store.backfills.find()
    finally:
        workspace.close()


def test_it_says_what_it_would_do_makes_it_and_says_how_it_stands(shell, notebook, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    notebook.save(*CELLS)
    shell.execute(CELLS[0][1], "load")
    shell.execute("%nbflow deploy", "last")
    shell.execute("%nbflow backfill", "last")
    assert "sales has had no backfill: give the first and the last date." in capsys.readouterr().out
    shell.execute("%nbflow backfill 2024-01-01 2024-02-29 --dry-run", "last")
    told = capsys.readouterr().out
    assert "Mon 01 Jan 2024 03:00 UTC  create\n" in told
    assert "and 20 more\nsales, 2024-01-01 to 2024-02-29: 60 to create. Nothing was done." in told
    assert backfills(home) == ()
    shell.execute("%nbflow backfill 2024-01-01 2024-01-03 --reverse --max-active 2", "last")
    told = capsys.readouterr().out
    assert "Backfill 1 of sales: 3 runs, 2024-01-01 to 2024-01-03, at most 2 at once, the latest first.\n" in told
    assert "no scheduler is running" in told
    (made,) = backfills(home)
    assert (made.reverse, made.max_active) == (True, 2)
    shell.execute("%nbflow backfill", "last")
    assert "Backfill 1 of sales is active: 0 of 3 done: 3 to come." in capsys.readouterr().out


def test_mistakes_are_one_sentence(shell, notebook, home: Path) -> None:
    notebook.save(*CELLS)
    shell.execute(CELLS[0][1], "load")

    def says(line: str) -> str:
        return str(shell.execute(f"%nbflow backfill {line}", "last").error_in_exec)

    assert "This notebook is not deployed: type %nbflow deploy." in says("2024-01-01 2024-01-03")
    shell.execute("%nbflow deploy", "last")
    for line, sentence in (
        ("2024-01-01", "give the first and the last date, such as %nbflow backfill 2026-01-01 2026-01-31."),
        ("2024-01-03 2024-01-01", "2024-01-03 to 2024-01-01 goes back."),
        ("2024-01-01 2024-01-03 --reprocess all", 'There is no way to reprocess called "all". It is none, failed or completed.'),
        ("2024-01-01 2024-01-03 -p region eu", 'Flow sales has no parameter "region".'),
        ("2024-01-01 2024-01-03 --flow sals", 'There is no deployed flow "sals". Did you mean "sales"?'),
    ):
        assert sentence in says(line)
    assert backfills(home) == ()
