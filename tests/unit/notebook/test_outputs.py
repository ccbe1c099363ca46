# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from nbflow.core.errors import UserError
from nbflow.notebook import outputs

SHOWN = [{"output_type": "stream", "name": "stdout", "text": "6000 lines\n"}]


def read(run_id: str, task: str) -> list[dict[str, Any]]:
    if (run_id, task) != ("r", "load"):
        raise UserError(f'Run {run_id} has no task "{task}".')
    return SHOWN


class Comms:
    """What a kernel has of ipykernel's manager: targets by name."""

    def __init__(self) -> None:
        self.targets: dict[str, Any] = {}

    def register_target(self, name: str, opened: Any) -> None:
        self.targets[name] = opened


class Comm:
    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []

    def send(self, data: dict[str, Any]) -> None:
        self.sent.append(data)


def test_a_page_that_asks_gets_the_outputs():
    shell = SimpleNamespace(kernel=SimpleNamespace(comm_manager=Comms()))
    outputs.install(shell, read)
    comm = Comm()
    shell.kernel.comm_manager.targets[outputs.TARGET](comm, {"content": {"data": {"run_id": "r", "task": "load"}}})
    assert comm.sent == [{"outputs": SHOWN}]
    outputs.uninstall(shell)
    assert shell.kernel.comm_manager.targets == {}


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"run_id": "r", "task": "nothing"}, 'Run r has no task "nothing".'),
        ({"run_id": "r"}, "The page did not say which task of which run it shows."),
        ({"run_id": 3, "task": ["load"]}, "The page did not say which task of which run it shows."),
    ],
)
def test_what_cannot_be_answered_is_a_sentence(asked: dict[str, Any], sentence: str):
    assert outputs.answer(read, asked) == {"sentence": sentence}


def test_a_terminal_has_nobody_who_asks():
    outputs.install(SimpleNamespace(), read)
    outputs.uninstall(SimpleNamespace(kernel=None))
