# SPDX-License-Identifier: BSD-3-Clause
"""A scheduler keeps house beside its turns, and only one of several does."""

from __future__ import annotations

import threading

from nbflow import __version__
from nbflow.core.deployments import SchedulerRecord
from nbflow.engine.owner import me
from nbflow.headless.keeping import BUSY, PERIOD, Keeping
from nbflow.headless.scheduling import SchedulerProcess
from tests.unit.app.test_housekeeping import NOW, a_workspace, happened, left


def a_keeper(tmp_path):
    workspace = a_workspace(tmp_path)
    workspace.settings = workspace.settings.__class__(**{**vars(workspace.settings), "retention": '{"runs": "90d", "keep_last": 0}'})
    for number in range(60):
        happened(workspace, f"r{number:02}", days=300 - number)
    return workspace, Keeping(workspace, threading.Event())


def test_the_first_scheduler_keeps_house_a_little_at_a_time(tmp_path):
    workspace, keeping = a_keeper(tmp_path)
    workspace.store.deployments.announce(SchedulerRecord(owner=me(), started_at=NOW), 60)
    assert keeping.turn() == BUSY
    assert len(left(workspace)) == 10
    assert keeping.turn() == PERIOD
    assert left(workspace) == {"r59"}
    assert workspace.store.house.ended() == ()
    assert sum(one.count for one in workspace.store.house.tallies() if one.what == "runs") == 60


def test_the_others_leave_it_alone(tmp_path):
    workspace, keeping = a_keeper(tmp_path)
    assert keeping.turn() == PERIOD  # nobody has announced itself yet
    for owner in ("!first", me()):
        workspace.store.deployments.announce(SchedulerRecord(owner=owner, started_at=NOW), 60)
    assert keeping.turn() == PERIOD
    assert len(left(workspace)) == 60


def test_its_thread_ends_soon_after_it_is_told(tmp_path):
    workspace = a_workspace(tmp_path)
    stopping = threading.Event()
    keeping = Keeping(workspace, stopping)
    keeping.start()
    stopping.set()
    keeping.join()


def test_schedulers_of_two_versions_work_together_and_the_one_that_comes_says_so(tmp_path, caplog):
    workspace = a_workspace(tmp_path)
    workspace.store.deployments.announce(SchedulerRecord(owner="other:1/x@y", started_at=NOW, nbflow="0.0.9"), 60)
    process = SchedulerProcess(workspace)
    process.stop()
    process.run()
    said = [record.getMessage() for record in caplog.records if record.name == "nbflow.scheduler"]
    assert said == [
        f"A scheduler of nbflow 0.0.9 runs on this database, and this one is {__version__}: bring them to one version, the newer one last."
    ]
    assert [one.owner for one in workspace.store.deployments.schedulers()] == ["other:1/x@y"]
