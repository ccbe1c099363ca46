# SPDX-License-Identifier: BSD-3-Clause
"""The house as drawn in architecture.md: who may import whom, and what a start costs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HEAVY = (
    "sqlalchemy",
    "dask",
    "distributed",
    "papermill",
    "IPython",
    "numpy",
    "pandas",
    "ipywidgets",
    "networkx",
    "jupyter_client",
    "nbformat",
)


def loaded_by(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(' '.join(sys.modules))"
    return set(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT).stdout.split())


def test_every_arrow_of_the_napkin_holds() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([linter], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_importing_nbflow_loads_nothing_heavy() -> None:
    assert loaded_by("import nbflow").isdisjoint(HEAVY)


def test_the_help_of_the_command_line_loads_nothing_heavy() -> None:
    assert loaded_by("import nbflow.cli.main").isdisjoint(HEAVY)


def test_the_core_is_the_standard_library() -> None:
    modules = sorted(path.stem for path in (ROOT / "nbflow" / "core").glob("*.py") if path.stem != "__init__")
    loaded = {name.split(".")[0] for name in loaded_by("; ".join(f"import nbflow.core.{name}" for name in modules))}
    assert loaded - set(sys.stdlib_module_names) - {"nbflow", "__main__"} <= already_there()


def already_there() -> set[str]:
    """What this interpreter loads before anybody asks (an editable install's finder)."""
    return {name.split(".")[0] for name in loaded_by("pass")}
