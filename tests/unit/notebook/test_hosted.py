# SPDX-License-Identifier: BSD-3-Clause
"""A kernel whose run is driven by the process that executes the notebook."""

from __future__ import annotations

import threading

import pytest

from nbflow.core.hosting import Advanced, TaskFailure
from nbflow.core.ids import RunId, TaskId
from nbflow.core.job import ErrorInfo, ValueRef
from nbflow.core.model import CellRef
from nbflow.core.states import RunState
from nbflow.notebook import extension, hosted
from nbflow.notebook.runs import HostedRuns
from nbflow.operators.hosting import HostServer
from tests.interrupts import interrupted
from tests.unit.notebook.recording import RecordingChannel


class Host:
    """Answers each advance as told, and remembers it."""

    def __init__(self):
        self.requests = []
        self.answer = Advanced(run_id=RunId("r1"), state=RunState.RUNNING)
        self.cancelled = False

    def handle(self, request):
        self.requests.append(request)
        return self.answer

    def cancel(self):
        self.cancelled = True


@pytest.fixture
def host():
    return Host()


@pytest.fixture
def kernel(shell, host, notebook, tmp_path):
    """A kernel attached to the host, and the notebook it executes."""
    notebook.save(
        ("p", "limit = 3"),
        ("a", "%%task one\nx = limit"),
        ("run", "%nbflow run"),
        ("q", "later = x + 1"),
        ("b", "%%task two\ny = later"),
    )
    server = HostServer(host.handle, host.cancel)
    channel = RecordingChannel()
    extension.load(shell, channel)
    config = {
        "address": server.address,
        "authkey": server.authkey_hex,
        "path": str(notebook.path),
        "artifacts_url": str(tmp_path / "artifacts"),
        "installation": {"retries": 2},
    }
    hosted.attach_to(shell, config)
    try:
        yield shell
    finally:
        extension.unload(shell)
        server.close()


def up_to_the_run(kernel):
    kernel.execute("limit = 3")
    kernel.execute("%%task one\nx = limit")
    return kernel.execute("%nbflow run")


def test_the_host_learns_the_whole_flow_and_what_is_released(kernel, host):
    assert up_to_the_run(kernel).success
    (request,) = host.requests
    assert [task.id for task in request.flow.tasks] == ["one", "two"]
    assert [task.options.retries for task in request.flow.tasks] == [2, 2]  # of the host's installation
    assert request.tasks == ("one",)
    assert not request.final
    assert request.captures.names["limit"].value.inline == b"3"


def test_the_values_of_the_run_are_bound_here(kernel, host):
    value = ValueRef(hash="h", format="json", size=1, inline=b"3")
    host.answer = Advanced(run_id=RunId("r1"), state=RunState.RUNNING, values={"x": value})
    up_to_the_run(kernel)
    kernel.execute("later = x + 1")
    assert kernel.user_ns["later"] == 4


def test_a_failed_task_fails_the_cell(kernel, host):
    error = ErrorInfo(ename="KeyError", evalue="'x'", line=2, traceback=("KeyError: 'x'",))
    failure = TaskFailure(task=TaskId("one"), cell=CellRef(number=2), error=error, reason="")
    host.answer = Advanced(run_id=RunId("r1"), state=RunState.RUNNING, failures=(failure,), sentence="sales failed at one.")
    result = up_to_the_run(kernel)
    assert str(result.error_in_exec) == "Task one failed: KeyError: 'x', line 2"


def test_the_end_of_the_notebook_runs_the_rest(kernel, host):
    up_to_the_run(kernel)
    kernel.execute("later = 4")
    kernel.execute("%%task two\ny = later")
    hosted.finish_in(kernel)
    last = host.requests[-1]
    assert (last.tasks, last.final) == (("one", "two"), True)
    assert last.captures.names["later"].value.inline == b"4"


def test_run_of_one_task_as_soon_as_its_cell_is_executed_is_for_people(kernel, host):
    kernel.execute("%%task one --run\nx = 1")
    assert host.requests == []


def test_a_wait_that_is_interrupted_between_any_two_steps_keeps_no_later_one_from_its_end():
    """The cell that was interrupted asks the host to end, and waits for that."""
    step = 0
    is_interrupted = True
    while is_interrupted:
        step += 1
        gate = threading.Event()
        asking = HostedRuns(Gated(gate), None).start(None, None, (), {}, ())
        is_interrupted = interrupted(lambda asking=asking: asking.wait(0.001), step)
        gate.set()
        assert asking.wait(60)
        assert asking.run_id == "r1"
    assert step > 3


class Gated:
    """A host that answers when it may."""

    def __init__(self, gate):
        self.gate = gate

    def advance(self, request):
        assert self.gate.wait(60)
        return Advanced(run_id=RunId("r1"), state=RunState.SUCCESS)
