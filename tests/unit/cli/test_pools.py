# SPDX-License-Identifier: BSD-3-Clause
"""`nbflow pools` and `nbflow tasks list`, as typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from nbflow.cli.main import cli
from nbflow.core.errors import UserError


@pytest.fixture
def nbflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("NBFLOW_HOME", str(tmp_path))

    def typed(*words: str) -> str:
        result = CliRunner().invoke(cli, words)
        if isinstance(result.exception, UserError):
            return str(result.exception)
        assert result.exception is None, result.exception
        return result.output

    return typed


def test_a_pool_is_made_changed_shown_and_deleted(nbflow):
    assert nbflow("pools", "set", "sftp", "3", "--description", "one server") == "Pool sftp has 3 slots.\n"
    assert nbflow("pools", "set", "sftp", "-1", "--include-deferred") == "Pool sftp has infinite slots.\n"
    assert nbflow("pools", "get", "sftp") == "sftp: one server\ninfinite slots, 0 in use, 0 waiting\n"
    sftp = {"name": "sftp", "slots": -1, "used": 0, "waiting": 0, "include_deferred": True, "description": "one server"}
    assert json.loads(nbflow("pools", "get", "sftp", "--json")) == sftp
    assert [pool["name"] for pool in json.loads(nbflow("pools", "list", "--json"))["pools"]] == ["default_pool", "sftp"]
    assert nbflow("pools", "delete", "sftp") == "Pool sftp is deleted.\n"
    assert "sftp" not in nbflow("pools", "list")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("pools", "set", "sftp", "many"), 'A pool cannot have "many" slots: write a whole number, 0 or more, or infinite.'),
        (("pools", "set", "a b", "1"), '"a b" cannot be a pool name: use 1 to 250 letters, digits, "_", "." or "-".'),
        (("pools", "get", "default_pol"), 'There is no pool "default_pol". Did you mean "default_pool"? `nbflow pools list` shows them.'),
        (("pools", "delete", "default_pool"), "default_pool cannot be deleted: every task that names no pool is in it."),
        (("tasks", "list", "--state", "runing"), 'Did you mean "running"?'),
    ],
)
def test_a_mistake_is_a_sentence(nbflow, words: tuple[str, ...], sentence: str):
    assert sentence in nbflow(*words)


def test_nothing_under_way_is_said(nbflow):
    assert nbflow("tasks", "list") == "Nothing runs and nothing waits.\n"
    assert json.loads(nbflow("tasks", "list", "--json")) == {"tasks": []}
