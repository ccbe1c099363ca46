# SPDX-License-Identifier: BSD-3-Clause
"""When a kernel may start another run."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from nbflow.core.job import CaptureSet
from nbflow.core.records import Change
from nbflow.notebook.launch import Launch
from tests.unit.engine.test_driver import fails, flow, task, workspace_of


def test_a_run_that_is_seen_to_have_ended_is_over_though_its_driver_is_still_letting_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_its_end, may_leave = threading.Event(), threading.Event()

    class Observer:
        def changed(self, changes: Sequence[Change]) -> None:
            if changes[-1].run is not None and changes[-1].run.state.is_finished:
                at_its_end.set()
                assert may_leave.wait(60)

        def said(self, *_: object) -> None:
            """Nothing is said."""

    with workspace_of(tmp_path, {"a": fails}) as workspace:
        handle = workspace.start_run(flow(task("a")), CaptureSet(), observers=[Observer()])
        assert at_its_end.wait(60)
        wait = handle.wait

        def leaves(timeout: float | None = None) -> bool:
            if timeout:  # whoever only looks does not see the driver gone
                may_leave.set()
            return wait(timeout)

        monkeypatch.setattr(handle, "wait", leaves)
        try:
            assert Launch(flow(task("a")), handle, None, lambda _: (), lambda _: None).is_over()  # type: ignore[arg-type]
        finally:
            may_leave.set()
