# SPDX-License-Identifier: BSD-3-Clause
"""What is in a cache key, and what is not: one row for each."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from nbflow.core.cache_key import cache_key, is_cached, modules_of, read_sources, why_not_cached
from nbflow.core.ids import FlowName, RunId, TaskId, TaskKey, Token
from nbflow.core.job import Capture, CaptureKind, Job, JobContext, ProcessState, ValueRef
from nbflow.core.mapping import list_ref
from nbflow.core.model import CellRef, Task
from nbflow.core.options import TaskKind, TaskOptions

DATE = datetime(2026, 1, 2, 3, tzinfo=UTC)
VERSIONS = {"python": "3.12", "pandas": "3.0.2"}


def value(text: str, kind: str = "text", **more: Any) -> ValueRef:
    return ValueRef(hash=text, format=kind, size=1, **more)


def definition(name: str, source: str) -> Capture:
    return Capture(name=name, kind=CaptureKind.DEFINITION, source=source, hash=source)


CONTEXT = JobContext(flow=FlowName("f"), run_id=RunId("r"), key=TaskKey(TaskId("a")), attempt=1, logical_date=DATE, params={"day": 1})
JOB = Job(
    token=Token("t"),
    context=CONTEXT,
    operator="cell",
    source="y = f(x)",
    inputs={"x": value("1")},
    captures={"f": definition("f", "def f(x):\n    return x"), "k": Capture(name="k", kind=CaptureKind.VALUE, value=value("k"))},
    process=ProcessState(cwd="/here", sys_path=("/here",)),
)
TASK = Task(id=TaskId("a"), source=JOB.source)


def key(job: Job = JOB, task: Task = TASK, versions: dict[str, str] | None = None) -> str:
    return cache_key(task, job, read_sources(job), versions or VERSIONS)


def asking(source: str, **context: Any) -> Job:
    return replace(JOB, source=source, context=replace(CONTEXT, **context))


SAME = {
    "comments of the body": replace(JOB, source="y = f( x )  # yes"),
    "comments of a definition": replace(JOB, captures={**JOB.captures, "f": definition("f", "def f(x): return x  # yes")}),
    "another run": asking(JOB.source, run_id=RunId("other"), logical_date=DATE + timedelta(1)),
    "another attempt and token": replace(asking(JOB.source, attempt=3), token=Token("u")),
    "another copy with the same element": asking(JOB.source, key=TaskKey(TaskId("a"), 4)),
    "a parameter nobody asks for": asking(JOB.source, params={"day": 2}),
    "another place in the notebook": replace(JOB, cell=CellRef(number=7)),
    "time, memory and slots": replace(JOB, timeout=timedelta(1), memory_limit=5, priority=9),
    "what else it may give": replace(JOB, offers=("z",)),
}
OTHER = {
    "the body": replace(JOB, source="y = f(x) + 1"),
    "an input": replace(JOB, inputs={"x": value("2")}),
    "the text 1 is not the number 1": replace(JOB, inputs={"x": value("1", "json")}),
    "the name of an input": replace(JOB, inputs={"z": value("1")}),
    "a list of other values": replace(JOB, inputs={"x": list_ref([value("1")])}),
    "a definition": replace(JOB, captures={**JOB.captures, "f": definition("f", "def f(x):\n    return -x")}),
    "a captured value": replace(JOB, captures={**JOB.captures, "k": Capture(name="k", kind=CaptureKind.VALUE, value=value("K"))}),
    "a capture from another module": replace(JOB, captures={**JOB.captures, "k": Capture(name="k", kind=CaptureKind.MODULE, module="m")}),
    "the operator": replace(JOB, operator="bash"),
    "the task": asking(JOB.source, key=TaskKey(TaskId("b"))),
    "the flow": asking(JOB.source, flow=FlowName("g")),
    "a name that is not bound": replace(JOB, unbound={"q": "`q` would come from t2 (skipped)"}),
    "the working directory": replace(JOB, process=replace(JOB.process, cwd="/there")),
    "an environment variable that a plain cell set": replace(JOB, process=replace(JOB.process, environment={"TZ": "UTC"})),
    "an option of a library": replace(JOB, process=replace(JOB.process, settings={"pandas": {"mode": b"x"}})),
    "two names that are one object": replace(JOB, inputs={"x": value("1", alias="o"), "z": value("1", alias="o")}),
}


@pytest.mark.parametrize("job", SAME.values(), ids=SAME)
def test_these_do_not_count(job: Job):
    assert key(job) == key()


@pytest.mark.parametrize("job", OTHER.values(), ids=OTHER)
def test_these_do(job: Job):
    assert key(job) != key()


def test_lists_of_the_text_1_and_of_the_number_1_differ():
    texts, numbers = (replace(JOB, inputs={"x": list_ref([value("1", kind)])}) for kind in ("text", "json"))
    assert key(texts) != key(numbers)


@pytest.mark.parametrize("versions", [{**VERSIONS, "pandas": "3.0.3"}, {**VERSIONS, "python": "3.13"}, {"python": "3.12"}])
def test_versions_count(versions: dict[str, str]):
    assert key(versions=versions) != key()


@pytest.mark.parametrize("options", [{"as_": TaskKind.BRANCH}, {"out": "y"}, {"operator": "python"}])
def test_options_that_change_what_it_gives_count(options: dict[str, Any]):
    assert key(task=replace(TASK, options=TaskOptions(**options))) != key()


@pytest.mark.parametrize("options", [{"retries": 3}, {"timeout": timedelta(1)}, {"priority": 4}, {"owner": "Ann"}, {"cache": True}])
def test_options_that_say_when_and_how_often_do_not(options: dict[str, Any]):
    assert key(task=replace(TASK, options=TaskOptions(**options))) == key()


@pytest.mark.parametrize(
    ("source", "change", "counts"),
    [
        ("print(ctx.ds)", {"logical_date": DATE + timedelta(hours=2)}, False),
        ("print(ctx.ds)", {"logical_date": DATE + timedelta(days=1)}, True),
        ("print(ctx.ts)", {"logical_date": DATE + timedelta(hours=2)}, True),
        ("print(ctx.execution_date)", {"logical_date": DATE + timedelta(hours=2)}, True),
        ("print(ctx.params)", {"params": {"day": 2}}, True),
        ("print(ctx.run_id)", {"run_id": RunId("other")}, True),
        ("ctx.log.info('x')", {"run_id": RunId("other"), "logical_date": DATE + timedelta(1)}, False),
        ("helper(ctx)", {"run_id": RunId("other")}, True),
    ],
)
def test_what_the_code_asks_of_its_run_counts(source: str, change: dict[str, Any], *, counts: bool):
    assert (key(asking(source, **change)) != key(asking(source))) is counts


def test_a_script_sees_all_parameters():
    one, two = (replace(asking("echo {{ params.day }}", params={"day": day}), operator="bash") for day in (1, 2))
    assert key(one) != key(two)


def test_the_modules_of_an_attempt_are_those_it_imports_and_those_it_is_given():
    captures = {"np": Capture(name="np", kind=CaptureKind.MODULE, module="numpy.linalg"), "f": definition("f", "import scipy")}
    job = replace(JOB, source="import pandas as pd", captures=captures)
    assert modules_of(job, read_sources(job)) == {"numpy", "scipy", "pandas"}


def test_an_age_is_a_cache_too():
    assert is_cached(TaskOptions(cache=True))
    assert is_cached(TaskOptions(cache_for=timedelta(days=1)))
    assert not is_cached(TaskOptions())


def test_what_cannot_be_cached_says_so():
    assert not why_not_cached(TaskOptions(cache=True, as_=TaskKind.BRANCH))
    sentence = "--cache is for tasks that give something, not for --as setup: leave one of both out."
    assert why_not_cached(TaskOptions(cache=True, as_="setup")) == sentence
