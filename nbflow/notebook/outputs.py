# SPDX-License-Identifier: BSD-3-Clause
"""Answers a page that asks what a task of a recorded run printed and showed: tasks written as functions have no cell that keeps it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from nbflow.core.errors import NbflowError

TARGET: Final = "nbflow.outputs"
#: Reads the outputs of a task of a run. Raises NbflowError.
Reader = Callable[[str, str], list[dict[str, Any]]]


def answer(read: Reader, asked: Mapping[str, Any]) -> dict[str, Any]:
    """The outputs, or the sentence that says why there are none."""
    run_id, task = asked.get("run_id"), asked.get("task")
    if not isinstance(run_id, str) or not isinstance(task, str):
        return {"sentence": "The page did not say which task of which run it shows."}
    try:
        return {"outputs": read(run_id, task)}
    except NbflowError as error:
        return {"sentence": str(error)}


def install(shell: Any, read: Reader) -> None:
    """Answer from now on; a terminal has nobody who asks."""
    if (comms := _comms_of(shell)) is not None:
        comms.register_target(TARGET, lambda comm, message: _reply(comm, message, read))


def uninstall(shell: Any) -> None:
    """No more answers."""
    if (comms := _comms_of(shell)) is not None:
        comms.targets.pop(TARGET, None)


def _reply(comm: Any, message: Mapping[str, Any], read: Reader) -> None:
    comm.send(answer(read, message["content"]["data"]))


def _comms_of(shell: Any) -> Any:
    return getattr(getattr(shell, "kernel", None), "comm_manager", None)
