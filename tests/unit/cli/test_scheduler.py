# SPDX-License-Identifier: BSD-3-Clause
"""`nbflow scheduler`, told by a signal to end."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from nbflow.cli import scheduling
from nbflow.cli.main import cli
from nbflow.headless.scheduling import SchedulerProcess


class SignalledInWait(threading.Event):
    """The signal comes while whoever waits has the event's lock for a moment."""

    def wait(self, timeout: float | None = None) -> bool:
        with self._cond:  # type: ignore[attr-defined]
            signal.raise_signal(signal.SIGTERM)
        return super().wait(timeout)


def test_a_signal_between_any_two_steps_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NBFLOW_HOME", str(tmp_path))
    monkeypatch.setenv("NBFLOW_DASK", "inline")
    monkeypatch.setattr(scheduling, "_log_to_stderr", lambda: None)
    monkeypatch.setattr(scheduling, "threading", SimpleNamespace(Event=SignalledInWait, Thread=threading.Thread))
    ended: list[bool] = []
    monkeypatch.setattr(SchedulerProcess, "run", lambda process: ended.append(process._stopping.wait(60)))
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        result = CliRunner().invoke(cli, ["scheduler"])
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    assert result.exception is None
    assert ended == [True]
