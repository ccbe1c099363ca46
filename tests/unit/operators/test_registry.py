# SPDX-License-Identifier: BSD-3-Clause
"""Operators are found by name."""

import pytest

from nbflow.core.errors import UserError
from nbflow.operators.cell import run_cell
from nbflow.operators.registry import find_operator, operator_names


def test_our_own_operators_are_there():
    assert {"cell", "bash", "python"} <= set(operator_names())
    assert find_operator("cell") is run_cell


def test_an_unknown_operator_is_refused_with_the_nearest_and_the_list():
    with pytest.raises(UserError, match=r'no operator "pyton"\. Did you mean "python"\? There are: .*bash'):
        find_operator("pyton")


def test_another_distribution_can_bring_one(tmp_path, monkeypatch):
    info = tmp_path / "theirs-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[nbflow.operators]\ntheirs = their_operator:run\n")
    (tmp_path / "their_operator.py").write_text("def run(attempt):\n    return attempt\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert "theirs" in operator_names()
    assert find_operator("theirs")("x") == "x"
