# SPDX-License-Identifier: BSD-3-Clause
"""Flows written in Python, run for real in this process."""

from __future__ import annotations

import threading
from typing import Any

import networkx as nx
import pytest

from nbflow import FailTask, RunFailed, SkipTask, UserError, ctx, flow, group, task
from nbflow.core.calls import IMPORTING
from nbflow.pytest_plugin import nbflow_workspace  # noqa: F401 - the fixture, also where nbflow was installed before it had one

pytestmark = pytest.mark.usefixtures("nbflow_workspace")

GATE = threading.Event()


@task
def extract(day: str, n: int = 3) -> list[int]:
    print(f"extracting {day}")  # noqa: T201 - what a log is made of
    return list(range(n))


@task
def total(rows: list[int], offset: int = 0) -> int:
    print("adding", offset)  # noqa: T201 - what a log is made of
    return sum(rows) + offset


@task
def notify() -> None:
    print("told", ctx.flow, ctx.task, ctx.params)  # noqa: T201 - as above


@flow
def sales(day: str = "2026-01-01", n: int = 3):
    """Sales of a day."""
    rows = extract(day, n)
    with group("publish"):
        total(rows) >> notify()


# --- a run and its handle ---------------------------------------------------------------------------------------------------


def test_run_blocks_and_its_handle_knows_states_results_and_logs() -> None:
    run = sales.run(day="2026-02-01")
    assert run.state == "success"
    assert [(task.task_id, task.state) for task in run.tasks] == [
        ("extract", "success"),
        ("publish.total", "success"),
        ("publish.notify", "success"),
    ]
    assert run.task("publish.total").result() == 3
    assert run.task("publish.notify").result() is None
    assert run.logs("extract") == "extracting 2026-02-01\n"
    assert "told sales publish.notify {'day': '2026-02-01', 'n': 3}" in run.logs("publish.notify")


def test_the_graph_is_a_networkx_graph() -> None:
    graph = sales.graph
    assert nx.is_directed_acyclic_graph(graph)
    assert list(nx.topological_sort(graph)) == ["extract", "publish.total", "publish.notify"]
    assert graph.nodes["publish.total"]["group"] == "publish"
    assert graph.edges["extract", "publish.total"]["names"] == ("extract()",)
    assert graph.nodes["extract"]["options"].retries == 0


def test_the_version_is_recorded_with_the_graph_of_the_real_values(nbflow_workspace) -> None:  # noqa: F811
    @flow
    def fan(n: int = 1):
        for number in range(n):
            total.override(task_id=f"t{number}")([number])

    assert list(fan.graph) == ["t0"]
    run = fan.run(n=3)
    assert [run.task(f"t{number}").result() for number in range(3)] == [0, 1, 2]
    record = nbflow_workspace.run(run.run_id)
    assert record.params == {"n": 3}
    assert len(nbflow_workspace.flow_of(record).tasks) == 3


def test_other_values_of_parameters_are_the_same_version(nbflow_workspace) -> None:  # noqa: F811
    runs = [sales.run(day="2026-02-01"), sales.run(day="2026-02-02")]
    assert len({nbflow_workspace.run(run.run_id).version for run in runs}) == 1


@task
def wait_for_gate() -> str:
    assert GATE.wait(30)
    return "open"


def test_submit_does_not_block_and_result_waits() -> None:
    GATE.clear()

    @flow
    def gated():
        wait_for_gate()

    run = gated.submit()
    assert run.state in {"queued", "running"}
    GATE.set()
    assert run.task("wait_for_gate").result() == "open"
    assert run.wait(30)
    assert run.state == "success"


def test_a_submitted_run_can_be_cancelled() -> None:
    GATE.clear()

    @flow
    def gated():
        wait_for_gate() >> notify()

    run = gated.submit()
    run.cancel()
    GATE.set()
    assert run.wait(30)
    assert run.state == "cancelled"


# --- what tasks may be ------------------------------------------------------------------------------------------------------


@task
def boom() -> None:
    raise ValueError("broken")


@task
def skips() -> None:
    raise SkipTask("nothing to do")


@task(retries=5, retry_delay=0)
def gives_up() -> None:
    raise FailTask("never again")


@task(retries=2, retry_delay=0)
def third_time() -> int:
    if ctx.attempt < 3:
        raise ValueError
    return ctx.attempt


@task(trigger_rule="all_done")
def join(a: Any = "default", b: Any = None) -> list[Any]:
    return [a, b]


def test_every_way_a_task_ends_is_its_state() -> None:
    @flow
    def ways():
        [boom(), skips(), gives_up(), third_time()]

    run = ways.run()
    assert run.state == "failed"
    assert {task.task_id: (task.state, task.attempt) for task in run.tasks} == {
        "boom": ("failed", 1),
        "skips": ("skipped", 1),
        "gives_up": ("failed", 1),
        "third_time": ("success", 3),
    }
    with pytest.raises(RunFailed, match=r"Task boom of run .* has no result, since it is failed: .*broken"):
        run.task("boom").result()
    assert 'raise ValueError("broken")' in run.logs("boom")
    assert "nbflow/operators" not in run.logs("boom")


def test_what_a_task_that_did_not_succeed_would_have_given_is_the_parameter_s_default_or_none() -> None:
    @flow
    def joined():
        join(skips(), boom())

    assert joined.run().task("join").result() == ["default", None]


def test_an_async_function_is_awaited() -> None:
    @task
    async def later(x):
        return x + 1

    @flow
    def f():
        later(1)

    assert f.run().task("later").result() == 2


def test_functions_of_a_function_travel_by_value() -> None:
    factor = 7

    @task
    def scaled(x):
        return x * factor

    @flow
    def f():
        scaled(6)

    assert f.run().task("scaled").result() == 42


def test_a_key_of_multiple_outputs_and_a_missing_one() -> None:
    @task(multiple_outputs=True)
    def two():
        return {"a": 1, "b": [2, 3]}

    @flow
    def good():
        total(two()["b"], two.override(task_id="again")()["a"])

    @flow
    def bad():
        total(two()["c"])

    assert good.run().task("total").result() == 6
    run = bad.run()
    assert run.task("two").state == "failed"
    assert "must return a dict with 'c'" in run.task("two").reason


def test_the_text_of_a_bash_task_is_what_its_function_returns() -> None:
    @task(operator="bash")
    def shell(word):
        return f"echo {word}"

    @flow
    def f():
        shell("hello")

    assert f.run().task("shell").result() == "hello"


def test_mapped_tasks_give_lists_in_map_order() -> None:
    @flow
    def mapped(n: int = 3):
        rows = extract("x", n)
        one = total.partial(rows=[]).expand(offset=rows)
        total.override(task_id="sum")(one)
        total.override(task_id="cross").expand(rows=[[1], [2]], offset=[10, 20]).partial()

    run = mapped.run(n=4)
    assert run.task("total").result() == [0, 1, 2, 3]
    assert run.task("total", 2).result() == 2
    assert run.task("total", 2).logs() == run.logs("total[2]") == "adding 2\n"
    assert run.logs("total").count("adding") == 4
    assert run.task("sum").result() == 6
    assert run.task("cross").result() == [11, 21, 12, 22]


def test_an_argument_that_cannot_travel_is_named_before_there_is_a_run(nbflow_workspace) -> None:  # noqa: F811
    @flow
    def f():
        total(threading.Lock())

    with pytest.raises(UserError, match=r"Argument 1 of task total is .*lock"):
        f.run()
    assert not nbflow_workspace.find_runs().runs


def test_outside_a_run_a_function_that_asks_ctx_runs_by_hand() -> None:
    notify()
    assert ctx.task == ""


def test_a_run_at_the_top_of_a_module_that_workers_import_is_refused() -> None:
    token = IMPORTING.set("sales")
    try:
        with pytest.raises(UserError, match='put that line under if __name__ == "__main__"'):
            sales.run()
    finally:
        IMPORTING.reset(token)
