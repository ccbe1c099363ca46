# SPDX-License-Identifier: BSD-3-Clause
"""The clock that users' tests turn by hand."""

from __future__ import annotations

from pathlib import Path

from nbflow import ctx, flow, task
from nbflow.testing import FakeClock, memory_workspace


@task(retries=1, retry_delay="10m")
def second_time() -> int:
    if ctx.attempt == 1:
        raise ValueError("not yet")
    return ctx.attempt


@flow
def patient():
    second_time()


def test_a_retry_waits_until_the_clock_is_turned(tmp_path: Path) -> None:
    clock = FakeClock()
    with memory_workspace(tmp_path, clock) as workspace:
        run = patient.submit()
        while run.task("second_time").state != "up_for_retry":
            assert not run.wait(0.05)
        assert "starts in 10 m" in run.task("second_time").reason
        clock.advance(600)
        assert run.wait(30)
        assert run.task("second_time").result() == 2
        assert {attempt.ended_at for attempt in workspace.attempts(run.run_id)} <= {clock.now(), FakeClock().now()}
