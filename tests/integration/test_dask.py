# SPDX-License-Identifier: BSD-3-Clause
"""What only Dask can do to an attempt: lose its worker, its scheduler or its client. And the life of a home's local cluster."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import signal
import socket
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest

from nbflow.core.errors import SetupError
from nbflow.core.job import Outcome, Report
from nbflow.executors.cluster import (
    LOG_NAME,
    check_versions,
    cluster_file,
    connect_home_cluster,
    own_versions,
    read_facts,
    stop_home_cluster,
)
from nbflow.executors.dask_client import resolve
from nbflow.executors.dask_executor import DaskExecutor
from nbflow.store.artifacts import open_artifacts
from tests.contracts.executors import Bench
from tests.processes import command, is_running
from tests.unit.executors.runner import NAME

FOREVER = "import os, time; print(os.getpid()); time.sleep(1000)"
#: Seconds after which something hangs.
PATIENCE = 120


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Iterator[Path]:
    home = tmp_path_factory.mktemp("home")
    yield home
    stop_home_cluster(home)


@pytest.fixture
def bench(home) -> Iterator[Bench]:
    bench = Bench(DaskExecutor("local", home=home, workers=4, idle=60, runner=NAME))
    yield bench
    bench.executor.close()


def dask_worker(home: Path) -> psutil.Process:
    """The worker process below the nanny."""
    cluster = psutil.Process(read_facts(home).pid)
    return next(child for child in cluster.children() if "spawn_main" in command(child))


def test_a_killed_child_is_a_lost_attempt_and_the_next_one_runs(bench):
    bench.submit("killed", FOREVER)
    os.kill(int(bench.line("killed")), signal.SIGKILL)
    report = bench.report("killed")
    assert (report.outcome, report.started_at is not None) == (Outcome.LOST, True)
    assert report.reason.startswith("its process was ended by SIGKILL")
    bench.submit("next", "pass")
    assert bench.report("next").outcome is Outcome.SUCCESS


def test_a_killed_dask_worker_is_a_lost_attempt_of_which_nothing_survives(bench, home):
    bench.submit("worker dies", "import os, time\nif not os.fork(): os.setsid()\nprint(os.getpid()); time.sleep(1000)")
    began = bench.began("worker dies")
    pid = int(bench.line("worker dies"))
    processes = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    dask_worker(home).kill()
    report = bench.report("worker dies")
    assert (report.outcome, report.started_at) == (Outcome.LOST, began.at)
    assert report.reason.endswith(" died")
    _, alive = psutil.wait_procs(processes, timeout=PATIENCE)
    assert [process for process in alive if is_running(process.pid)] == []
    bench.submit("after", "pass")
    assert bench.report("after").outcome is Outcome.SUCCESS


def test_attempts_that_wait_on_a_dying_worker_are_lost_before_they_began(bench, home):
    for number in range(4):
        bench.submit(f"busy {number}", FOREVER)
        bench.began(f"busy {number}")
    bench.submit("waiting", "pass")
    dask_worker(home).kill()
    assert {bench.report(f"busy {number}").outcome for number in range(4)} == {Outcome.LOST}
    report = bench.report("waiting")
    assert report.outcome is Outcome.SUCCESS or (report.outcome is Outcome.LOST and report.started_at is None)


def test_the_started_mark_tells_that_an_attempt_had_begun_when_no_event_did(home, tmp_path):
    artifacts = open_artifacts(str(tmp_path))
    executor = DaskExecutor("local", home=home, runner=NAME, artifacts=artifacts)
    bench = Bench(executor)
    instant = datetime(2026, 1, 1, tzinfo=UTC)
    artifacts.mark(f"{bench.token('silent')}.started", instant.isoformat().encode())
    bench.submit("silent", FOREVER)
    bench.began("silent")
    executor.returns.live[bench.token("silent")].began = None  # as if the event had died with the worker
    dask_worker(home).kill()
    assert bench.report("silent").started_at == instant
    executor.close()


def test_what_is_lost_before_it_began_can_never_begin(home, tmp_path):
    artifacts = open_artifacts(str(tmp_path))
    executor = DaskExecutor("local", home=home, runner=NAME, artifacts=artifacts)
    bench = Bench(executor)
    bench.submit("silent", FOREVER)  # this runner makes no mark
    bench.began("silent")
    executor.returns.live[bench.token("silent")].began = None
    dask_worker(home).kill()
    assert bench.report("silent").started_at is None
    assert not artifacts.mark(f"{bench.token('silent')}.started")
    executor.close()


def test_a_daemon_of_user_code_is_dead_after_cancel(bench):
    source = """
import os, sys, time
def detach():
    if os.fork():
        os._exit(0)
    os.setsid()
first = os.fork()
if not first:
    detach()
    detach()
    os.environ.clear()
    os.execvp("sh", ["sh", "-c", "exec sleep 1000"])
os.waitpid(first, 0)
print("detached")
time.sleep(1000)
"""
    bench.submit("daemon", source)
    assert bench.line("daemon") == "detached"
    pids = bench.executor.connection.current.run(children)[bench.began("daemon").worker]
    end = time.monotonic() + PATIENCE
    while "sleep" not in (names := names_below(pids)).values():  # what was detached becomes that in its own time
        assert time.monotonic() < end
        time.sleep(0.01)
    bench.cancel("daemon")
    assert [pid for pid in names if is_running(pid)] == []


def names_below(pids: Iterable[int]) -> dict[int, str]:
    names = {}
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):  # a child that was one too many
            for process in psutil.Process(pid).children(recursive=True):
                with contextlib.suppress(psutil.NoSuchProcess):  # one that only started another
                    names[process.pid] = process.name()
    return names


def children(dask_worker) -> tuple[int, ...]:
    from nbflow.executors.dask_worker import children_of

    return children_of(dask_worker)


def test_cancel_works_while_every_thread_of_the_worker_is_busy(bench):
    for number in range(8):
        bench.submit(f"full {number}", FOREVER)
    pids = [int(bench.line(f"full {number}")) for number in range(4)]
    bench.cancel(*(f"full {number}" for number in range(8)))
    assert [pid for pid in pids if is_running(pid)] == []


def test_attempts_of_a_client_that_is_gone_are_ended(bench):
    bench.submit("orphan", FOREVER)
    process = psutil.Process(int(bench.line("orphan")))
    client = bench.executor.connection.current
    client.loop.add_callback(client.scheduler_comm.comm.abort)
    report = bench.report("orphan")
    assert (report.outcome, report.reason) == (Outcome.LOST, "the connection to the Dask scheduler was lost")
    psutil.wait_procs([process], timeout=PATIENCE)
    assert not is_running(process.pid)
    bench.submit("again", "pass")
    assert bench.report("again").outcome is Outcome.SUCCESS


def test_a_home_cluster_that_was_killed_is_started_again(tmp_path):
    bench = Bench(DaskExecutor("local", home=tmp_path, workers=1, idle=2, runner=NAME))
    bench.submit("in flight", FOREVER)
    process = psutil.Process(int(bench.line("in flight")))
    os.kill(read_facts(tmp_path).pid, signal.SIGKILL)
    assert bench.report("in flight").outcome is Outcome.LOST
    psutil.wait_procs([process], timeout=PATIENCE)
    assert not is_running(process.pid)
    bench.submit("next", "pass")
    assert bench.report("next").outcome is Outcome.SUCCESS
    bench.executor.close()
    stop_home_cluster(tmp_path)


def test_a_cell_runs_on_the_cluster_as_it_would_in_a_kernel(tmp_path):
    bench = Bench(DaskExecutor("local", home=tmp_path, workers=2, idle=2, artifacts_url=str(tmp_path / "artifacts")))
    bench.submit("cell", "x = 20\nprint(x)\nx + 1", operator="cell", artifacts_url=str(tmp_path / "artifacts"), offers=("x",))
    report = bench.report("cell")
    assert report.outcome is Outcome.SUCCESS
    assert [output["output_type"] for output in report.outputs.inline] == ["stream", "execute_result"]
    assert report.values["x"].shown == "20"
    bench.executor.close()
    stop_home_cluster(tmp_path)


def test_an_attempt_that_had_ended_before_its_worker_died_is_not_lost(home, tmp_path):
    artifacts = open_artifacts(str(tmp_path))
    bench = Bench(DaskExecutor("local", home=home, runner=NAME, artifacts=artifacts))
    bench.submit("ended", FOREVER)
    began = bench.began("ended")
    token = bench.token("ended")
    ended = Report(token=token, outcome=Outcome.SUCCESS, started_at=began.at, ended_at=began.at)
    artifacts.mark(f"{token}.started")
    artifacts.keep_manifest(token, pickle.dumps(ended))
    dask_worker(home).kill()
    assert bench.report("ended") == ended
    bench.executor.close()


def test_resources_and_priority_reach_dask(bench):
    bench.submit("hosted", "pass", resources={"nbflow_host": 1.0}, priority=5)
    assert bench.report("hosted").outcome is Outcome.SUCCESS


def test_the_local_cluster_offers_what_the_machine_has(bench):
    offers = bench.executor.offers()
    assert {"CPU", "MEM", "DISK"} <= offers.workers[0].keys()
    bench.submit("big", "pass", resources={"CPU": 1.0, "MEM": offers.most("MEM")})
    assert bench.report("big").outcome is Outcome.SUCCESS


def test_a_resource_the_local_cluster_can_never_offer_is_refused_at_once(bench):
    bench.submit("gpu", "pass", resources={"GPU": 1.0})
    report = bench.report("gpu")
    assert (report.outcome, report.error.may_retry) == (Outcome.FAILED, False)
    assert report.error.evalue.startswith("the local cluster does not offer GPU=1: set `dask` to a cluster whose workers do")


def test_user_code_does_not_inherit_how_the_dask_worker_is_set_up(bench):
    bench.submit("environment", "import os; answer = sorted(name for name in os.environ if name.startswith(('DASK', 'OMP_')))")
    assert bench.report("environment").decision == []


# --- the cluster of a home ----------------------------------------------------------------------------------------------


def test_two_starters_make_one_cluster(tmp_path):
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(connect_home_cluster(tmp_path, runner=NAME).address)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 2
    assert len(set(found)) == 1
    stop_home_cluster(tmp_path)
    assert read_facts(tmp_path) is None


def test_an_idle_cluster_stops_and_removes_its_file(tmp_path):
    process = psutil.Process(connect_home_cluster(tmp_path, idle=0.1, runner=NAME).pid)
    gone, _ = psutil.wait_procs([process], timeout=PATIENCE)
    assert gone or not is_running(process.pid)
    assert not cluster_file(tmp_path).exists()


def test_a_file_of_a_dead_cluster_and_one_of_an_older_nbflow_are_replaced(tmp_path):
    facts = connect_home_cluster(tmp_path, runner=NAME)
    cluster_file(tmp_path).write_text(json.dumps(asdict(replace(facts, address="tcp://127.0.0.1:1"))))
    second = connect_home_cluster(tmp_path, runner=NAME)
    cluster_file(tmp_path).write_text(json.dumps(asdict(replace(second, nbflow="0.0.1"))))
    third = connect_home_cluster(tmp_path, runner=NAME)
    assert len({facts.pid, second.pid, third.pid}) == 3
    for one in (facts, second, third):
        os.kill(one.pid, signal.SIGTERM)


def test_a_cluster_that_cannot_start_names_its_log(tmp_path, monkeypatch):
    monkeypatch.setenv("DASK_DISTRIBUTED__COMM__DEFAULT_SCHEME", "nothing")
    monkeypatch.setattr("sys.executable", "/bin/false")
    with pytest.raises(SetupError, match=r"could not be started: its log is .*" + LOG_NAME):
        connect_home_cluster(tmp_path, runner=NAME)


def test_an_address_where_nothing_listens_is_one_sentence(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
        with pytest.raises(SetupError) as caught:
            DaskExecutor(address, home=tmp_path).start(print)
    assert str(caught.value).startswith(f"The Dask cluster at {address} cannot be reached (")
    assert str(caught.value).endswith("start it, or change `dask` (NBFLOW_DASK).")


def test_other_versions_are_named():
    theirs = {**own_versions(), "distributed": "2020.1"}
    with pytest.raises(
        SetupError, match=r"^distributed is \S+ here and 2020\.1 in the Dask worker x: use one environment for all of them\.$"
    ):
        check_versions(theirs, "the Dask worker x", "use one environment for all of them")


def test_a_scheduler_file_gives_the_address(tmp_path):
    (tmp_path / "s.json").write_text('{"address": "tcp://10.0.0.1:8786"}')
    assert resolve(f"scheduler_file:{tmp_path / 's.json'}") == "tcp://10.0.0.1:8786"


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [("scheduler_file:/nowhere.json", "The Dask scheduler file /nowhere.json cannot be read"), ("lokal", 'dask = "lokal" means nothing')],
)
def test_a_bad_setting_is_refused(spec, sentence):
    with pytest.raises(SetupError, match="^" + sentence):
        resolve(spec)
