# SPDX-License-Identifier: BSD-3-Clause
"""Which `%nbflow run` lines become an await."""

from __future__ import annotations

import pytest
from IPython.core.inputtransformer2 import TransformerManager

from nbflow.notebook.transform import AwaitRun, allow_empty_body


@pytest.fixture
def transform():
    manager = TransformerManager()
    manager.token_transformers.insert(0, AwaitRun)
    return manager.transform_cell


AWAITED = "await get_ipython().magics_manager.registry['NbflowMagics'].run_awaiting"


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("%nbflow run", f"{AWAITED}('run', assigned=False)\n"),
        ("%nbflow run -p day 2026-01-01", f"{AWAITED}('run -p day 2026-01-01', assigned=False)\n"),
        ("run = %nbflow run --task run", f"run = {AWAITED}('run --task run', assigned=True)\n"),
        ("x = 1\n%nbflow run\nprint(x)", f"x = 1\n{AWAITED}('run', assigned=False)\nprint(x)\n"),
        ("%nbflow run -p a 1 \\\n  -p b 2", f"{AWAITED}('run -p a 1    -p b 2', assigned=False)\n"),
        ("a.b['c'] = %nbflow run", f"a.b['c'] = {AWAITED}('run', assigned=True)\n"),
        ("%nbflow retry", f"{AWAITED}('retry', assigned=False)\n"),
        ("again = %nbflow retry load  # only that", f"again = {AWAITED}('retry load  # only that', assigned=True)\n"),
    ],
)
def test_a_blocking_run_at_the_top_of_a_cell_is_awaited(transform, cell, expected):
    assert transform(cell) == expected


@pytest.mark.parametrize(
    "cell",
    [
        "def f():\n    %nbflow run",
        "if True:\n    %nbflow run",
        "for i in []: x = %nbflow run",
        'text = """\n%nbflow run\n"""',
        "%nbflow run --background",
        "h = %nbflow run --background",
        "%nbflow graph",
        "%nbflow",
        "%time %nbflow run",
        "%%task a\n%nbflow run",
        "%nbflow run?",
        "# %nbflow run",
        "nbflow % run",
    ],
)
def test_everything_else_is_left_alone(transform, cell):
    assert "await" not in transform(cell)


def test_a_run_in_a_function_is_an_ordinary_call(transform):
    assert "run_line_magic('nbflow', 'run')" in transform("def f():\n    %nbflow run")


@pytest.mark.parametrize("cell", ["%%task gate", "%%task gate\n", "\n%%flow sales --x\n\n"])
def test_a_magic_line_alone_gets_a_body(cell):
    manager = TransformerManager()
    manager.cleanup_transforms.insert(0, allow_empty_body)
    assert manager.transform_cell(cell).endswith("'\\n')\n")
