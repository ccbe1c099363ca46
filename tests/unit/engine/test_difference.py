# SPDX-License-Identifier: BSD-3-Clause
"""Two runs compared: which task differed first, and because of what."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from nbflow.app import Workspace
from nbflow.app.differing import difference
from nbflow.cli.main import cli
from nbflow.core.errors import UserError
from nbflow.core.ids import TaskId
from nbflow.core.job import Capture, CaptureKind, CaptureSet, ValueRef
from nbflow.core.model import Flow, Parameter, Read, Task
from nbflow.core.options import TaskOptions
from nbflow.settings import Settings
from nbflow.views.difference import difference_json, difference_text
from tests.unit.engine.test_driver import ended, fails, flow, gives, task, value, workspace_of

A = TaskId("load")
FLOW = flow(
    task("load", Read(name="day", plain=True), writes=("rows",)),
    task("total", Read(name="rows", writers=(A,)), writes=("kwh",)),
    task("report", Read(name="kwh", writers=(TaskId("total"),))),
)
FLOW = replace(FLOW, parameters=(Parameter(name="day", default="1"),))


def captures(**values: str) -> CaptureSet:
    return CaptureSet(
        names={name: Capture(name=name, kind=CaptureKind.VALUE, value=value(text), hash=text) for name, text in values.items()}
    )


def sourced(**sources: str) -> Flow:
    return replace(FLOW, tasks=tuple(replace(one, source=sources.get(one.id, one.source)) for one in FLOW.tasks))


class Rows:
    """What the tasks give in the run to come."""

    def __init__(self) -> None:
        self.now: dict[str, Any] = {"load": gives(rows="5"), "total": gives(kwh="7"), "report": gives()}

    def __getitem__(self, id: str) -> Any:
        return self.now[id]


@pytest.fixture
def rows() -> Rows:
    return Rows()


@pytest.fixture
def workspace(tmp_path: Path, rows: Rows) -> Iterator[Workspace]:
    with workspace_of(tmp_path, rows) as opened:  # type: ignore[arg-type]  # read by name only
        yield opened


def run(workspace: Workspace, flow: Flow = FLOW, taken: CaptureSet | None = None, **more: Any) -> str:
    handle = workspace.start_run(flow, taken or captures(day="1"), **more)
    assert handle.wait(30)
    return handle.run_id


def causes(found: Any) -> list[tuple[str, str, str, str]]:
    return [(str(cause.kind), cause.name, cause.a, cause.b) for cause in found.first.causes]


def number(amount: float) -> ValueRef:
    text = repr(amount).encode()
    return ValueRef(hash=repr(amount), format="json", size=len(text), inline=text, shown=repr(amount))


def test_runs_that_are_alike_say_so(workspace: Workspace):
    found = difference(workspace, run(workspace), run(workspace))
    assert found.first is None
    assert found.alike == ("load", "total", "report")
    assert found.sentence() == "No task differs: 3 tasks alike in state, code and result."


def test_the_older_run_is_a_whichever_is_named_first(workspace: Workspace):
    first, second = run(workspace), run(workspace)
    assert (difference(workspace, second, first).a.run_id, difference(workspace, "latest", first).b.run_id) == (first, second)


def test_by_code(workspace: Workspace, rows: Rows):
    first = run(workspace, sourced(total="sum(rows)"))
    rows.now["total"] = fails
    second = run(workspace, sourced(total="max(rows)"))
    found = difference(workspace, first, second)
    assert found.first is not None
    assert (found.first.id, causes(found)) == ("total", [("code", "", "", "")])
    assert found.sentence() == (
        "The first task that differs is total. Its code changed. It was success in A and failed in B. 1 task after it did not run in B."
    )
    assert "-sum(rows)" in difference_text(found)


def test_comments_are_no_difference(workspace: Workspace):
    found = difference(workspace, run(workspace, sourced(total="sum(rows)")), run(workspace, sourced(total="sum( rows )  # all")))
    assert found.first is None


def test_by_a_helper_function(workspace: Workspace):
    def taken(body: str) -> CaptureSet:
        helper = Capture(name="parse", kind=CaptureKind.DEFINITION, source=f"def parse(): return {body}")
        return CaptureSet(names={**captures(day="1").names, "parse": helper})

    reading = replace(FLOW, tasks=(replace(FLOW.tasks[0], reads=(*FLOW.tasks[0].reads, Read(name="parse", plain=True))), *FLOW.tasks[1:]))
    found = difference(workspace, run(workspace, reading, taken("1")), run(workspace, reading, taken("2")))
    assert causes(found) == [("code", "parse", "", "")]
    assert "Its code, or rather `parse`, which it uses, changed." in found.sentence()


def test_by_parameter_and_the_results_that_follow(workspace: Workspace, rows: Rows):
    rows.now["load"] = lambda job: ended(job, values={"rows": number(4)})
    first = run(workspace, params={"day": 1})
    rows.now["load"] = lambda job: ended(job, values={"rows": number(5)})
    second = run(workspace, FLOW, captures(day="2"), params={"day": 2})
    found = difference(workspace, first, second)
    assert causes(found) == [("parameter", "day", "1", "2")]
    assert found.sentence() == (
        "The first task that differs is load. Its parameter day (1 -> 2) changed. It gave rows: 4 -> 5 (+25 %). 1 task after it differs, too."
    )
    later = found.tasks[1]
    assert [(str(cause.kind), cause.name) for cause in later.causes] == [("input", "rows")]
    assert found.params == {"day": ("1", "2")}


def test_by_a_value_of_a_plain_cell(workspace: Workspace):
    plain = replace(FLOW, parameters=())
    found = difference(workspace, run(workspace, plain), run(workspace, plain, captures(day="2")))
    assert causes(found) == [("value", "day", "1", "2")]


def test_by_environment(workspace: Workspace):
    importing = sourced(total="import pandas")
    first, second = run(workspace, importing), run(workspace, importing)
    assert workspace.run(first).environment["pandas"][0].isdigit()
    older = replace(workspace.run(first), environment={**workspace.run(first).environment, "pandas": "0.1"})
    lease = workspace.store.claim(first, "test", 60)
    assert lease is not None
    workspace.store.commit(lease, [], run=older)
    found = difference(workspace, first, second)
    assert found.first is not None
    assert (found.first.id, causes(found)[0][:3]) == ("total", ("environment", "pandas", "0.1"))
    assert "Its package pandas (0.1 -> " in found.sentence()


def test_by_nothing_that_nbflow_sees(workspace: Workspace, rows: Rows):
    first = run(workspace)
    rows.now["load"] = gives(rows="6")
    found = difference(workspace, first, run(workspace))
    assert causes(found) == []
    assert "what differs comes from outside" not in found.sentence()
    assert "what differs came from outside, such as files, the time or chance." in found.sentence()


def test_by_options_and_by_tasks_that_only_one_run_has(workspace: Workspace, rows: Rows):
    rows.now["extra"] = gives()
    retrying = replace(FLOW, tasks=(replace(FLOW.tasks[0], options=TaskOptions(retries=2)), *FLOW.tasks[1:], task("extra")))
    found = difference(workspace, run(workspace), run(workspace, retrying))
    assert causes(found) == [("option", "retries", "0", "2")]
    assert [(one.id, one.causes[0].kind) for one in found.tasks if one.causes][1] == ("extra", "task")
    assert found.tasks[-1].states[0] is None


def test_as_json(workspace: Workspace, rows: Rows):
    first = run(workspace)
    rows.now["total"] = fails
    told = difference_json(difference(workspace, first, run(workspace)))
    assert (told["first"], told["alike"]) == ("total", ["load"])
    assert [(one["id"], one["state"]) for one in told["tasks"]] == [
        ("total", ["success", "failed"]),
        ("report", ["success", "upstream_failed"]),
    ]
    assert told["a"]["run_id"] == first


def test_what_cannot_be_compared_is_a_sentence(workspace: Workspace):
    first, other = run(workspace), run(workspace, replace(FLOW, name="another"))
    with pytest.raises(UserError, match=r"^Run .* is one of f and run .* one of another: only runs of one flow can be compared\.$"):
        difference(workspace, first, other)
    with pytest.raises(UserError, match=r"^That is one and the same run, .*: name two\.$"):
        difference(workspace, first, first)
    with pytest.raises(UserError, match=r'^There is no run "nowhere"'):
        difference(workspace, first, "nowhere")


def test_from_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("NBFLOW_HOME", str(tmp_path))
    monkeypatch.setenv("NBFLOW_DASK", "inline")
    opened = Workspace(Settings(home=tmp_path, dask="inline"))

    def one(source: str) -> str:
        handle = opened.start_run(Flow(name="f", tasks=(Task(id=A, source=source, writes=("x",), demands=("x",)),)), CaptureSet())  # type: ignore[arg-type]
        handle.wait()
        return handle.run_id

    first = one("x = {'a': [1, 2]}")
    one("x = {'a': [1, 5]}")
    opened.close()
    shown = CliRunner().invoke(cli, ["runs", "diff", first]).stdout
    assert "The first task that differs is load. Its code changed. It gave x: 'a': 1 of 2 differ, first [1]: 2 -> 5 (+150 %)." in shown
    assert "+x = {'a': [1, 5]}" in shown
