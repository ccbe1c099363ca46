# SPDX-License-Identifier: BSD-3-Clause
"""Flows written in Python, run for real: in this process, in a script, and through the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from datetime import date
from pathlib import Path
from typing import Any

import networkx as nx
import pytest

import nbflow
from nbflow import FailTask, RunFailed, SkipTask, UserError, chain, ctx, flow, group, task
from nbflow.core.calls import IMPORTING
from nbflow.core.job import CaptureSet
from nbflow.pytest_plugin import nbflow_workspace  # noqa: F401 - the fixture, also where nbflow was installed before it had one
from tests.unit.authoring import notebooks

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


# --- the same flow in cells ---------------------------------------------------------------------------------------------------


@task
def start() -> int:
    return 1


@task(retries=2, retry_delay=0)
def left(x: int) -> int:
    if ctx.attempt == 1:
        raise ValueError("once more")
    return x + 1


@task
def right(x: int) -> int:
    raise KeyError("gone")


@task(as_="branch")
def choose(x: int) -> str:
    return "high" if x > 1 else "low"


@task
def high() -> str:
    return "high"


@task
def low() -> str:
    return "low"


@task(trigger_rule="none_failed_min_one_success")
def after_branch() -> None: ...


@task(trigger_rule="all_done")
def always(x: Any = None) -> None: ...


@task
def never(x: int) -> None: ...


@flow
def diamond():
    a = start()
    b, c = left(a), right(a)
    chosen = choose(b)
    h, w = high(), low()
    chain(chosen, [h, w], after_branch())
    done = always(b)
    done << c
    never(c)


CELLS = (
    "%%task start\na = 1",
    "%%task left --retries 2 --retry-delay 0s\nfrom nbflow import ctx\nif ctx.attempt == 1:\n    raise ValueError('once more')\nb = a + 1",
    "%%task right\nc = a + 1\nraise KeyError('gone')",
    '%%task choose --as branch\n"high" if b > 1 else "low"',
    '%%task high --after choose\nh = "high"',
    '%%task low --after choose\nw = "low"',
    "%%task after_branch --after high low --trigger-rule none_failed_min_one_success\npass",
    "%%task always --after right --trigger-rule all_done\nprint(b)",
    "%%task never\nprint(c)",
)


def test_the_same_flow_in_cells_and_in_python_ends_in_the_same_states(nbflow_workspace) -> None:  # noqa: F811
    in_cells = nbflow_workspace.start_run(notebooks.flow(*CELLS), CaptureSet())
    assert in_cells.wait(60)
    in_python = diamond.run()
    states = {str(key): (str(record.state), record.attempt) for key, record in in_cells.snapshot().tasks.items()}
    assert {task.task_id: (task.state, task.attempt) for task in in_python.tasks} == states
    assert states["left"] == ("success", 2)
    assert states["low"] == ("skipped", 0)
    assert states["never"] == ("upstream_failed", 0)
    assert in_python.state == in_cells.snapshot().run.state == "failed"


# --- files ----------------------------------------------------------------------------------------------------------------------

FILE = '''\
import helper
from nbflow import flow, task

@task
def day_of(day: str) -> str:
    return helper.shout(day)

@task
def fails() -> None:
    raise ValueError("broken")

@flow
def daily(day: str = "monday"):
    """Each day."""
    day_of(day)

@flow
def broken():
    fails()

if __name__ == "__main__":
    print(daily.run(day="sunday").task("day_of").result())
'''


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "helper.py").write_text("def shout(text):\n    return text.upper()\n")
    path = tmp_path / "weekly_flows.py"
    path.write_text(FILE)
    return path


@pytest.fixture
def command(tmp_path: Path):
    env = {**os.environ, "NBFLOW_HOME": str(tmp_path / "home"), "NBFLOW_DASK": "inline", "COLUMNS": "200"}

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, *words], capture_output=True, text=True, env=env, check=False, timeout=120)

    return run


def test_the_command_line_runs_a_flow_of_a_file(file, command) -> None:
    done = command("-m", "nbflow", "run", f"{file}:daily", "-p", "day", "2026-01-02", "--json")
    assert done.returncode == 0, done.stderr
    run = json.loads(done.stdout)
    assert (run["flow"], run["state"], run["params"]) == ("daily", "success", {"day": "2026-01-02"})
    failed = command("-m", "nbflow", "run", f"{file}:broken")
    assert failed.returncode == 1
    assert "ValueError: broken" in failed.stdout + failed.stderr


def test_the_command_line_shows_the_graph_and_checks_a_file(file, command) -> None:
    done = command("-m", "nbflow", "graph", f"{file}:daily", "--json")
    assert [task["id"] for task in json.loads(done.stdout)["tasks"]] == ["day_of"]
    assert "no problems" in command("-m", "nbflow", "check", str(file)).stdout
    several = command("-m", "nbflow", "graph", str(file))
    assert several.returncode == 2
    assert "defines 2 flows: say which one, of weekly_flows.py:daily, weekly_flows.py:broken" in several.stderr


def test_a_mistake_in_a_file_is_one_sentence_with_its_line(file, command) -> None:
    file.write_text(FILE.replace("@flow\ndef broken():\n    fails()", "@flow\ndef broken():\n    fails(1)"))
    done = command("-m", "nbflow", "check", str(file))
    assert done.returncode == 2
    assert "error: line 19: fails() cannot be called so: too many positional arguments" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_a_script_runs_its_own_flow(file, command) -> None:
    done = command(str(file))
    assert done.stdout == "SUNDAY\n", done.stderr


def test_load_gives_the_flow_of_a_file(file) -> None:
    found = nbflow.load(f"{file}:daily")
    assert found.run(params={"day": "friday"}).task("day_of").result() == "FRIDAY"
    assert list(found.graph) == ["day_of"]


def test_load_refuses_what_is_not_there(file) -> None:
    with pytest.raises(UserError, match=r'defines no flow "dayly". Did you mean "daily"'):
        nbflow.load(f"{file}:dayly")
    with pytest.raises(UserError, match=r"There is no notebook nope.ipynb"):
        nbflow.load("nope.ipynb")


def test_load_runs_a_notebook(tmp_path) -> None:
    import nbformat

    cells = [nbformat.v4.new_code_cell(source) for source in ("%load_ext nbflow", "%%task one\nx = 1", "%nbflow run")]
    path = tmp_path / "small.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    run = nbflow.load(path).run()
    assert run.state == "success"
    assert run.task("one").result("x") == 1
    assert list(nbflow.load(path).graph) == ["one"]


def test_dates_are_recorded_as_text_and_passed_on_as_they_are(nbflow_workspace) -> None:  # noqa: F811
    @task
    def kind(day):
        return type(day).__name__

    @flow
    def f(day: date = date(2026, 1, 1)):
        kind(day)

    run = f.run(day="2026-02-03")
    assert run.task("kind").result() == "date"
    assert nbflow_workspace.run(run.run_id).params == {"day": "2026-02-03"}


# --- the README --------------------------------------------------------------------------------------------------------------------


def test_the_example_of_the_readme_runs_and_so_does_its_test(tmp_path, nbflow_workspace) -> None:  # noqa: F811
    readme = (Path(nbflow.__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    section = readme.partition("## In Python")[2].partition("\n## ")[0]
    example, example_test = (part.partition("```")[0] for part in section.split("```python\n")[1:])
    path = tmp_path / "readme_flows.py"
    path.write_text(example.partition("run = energy.run")[0])
    energy = nbflow.load(path)
    namespace: dict[str, Any] = {"energy": energy}
    exec(example_test, namespace)
    namespace["test_energy"](nbflow_workspace)


def test_a_start_date_that_is_another_one_each_time_is_refused(tmp_path):
    from nbflow.app.tracing import find_problems
    from nbflow.authoring.python_file import read_target

    text = "from datetime import UTC, datetime\nfrom nbflow import flow, task\n\n\n@task\ndef one(): ...\n\n\n@flow(schedule='@daily', start_date={})\ndef f():\n    one()\n"
    file = tmp_path / "flows.py"
    file.write_text(text.format("datetime.now(UTC)"))
    (problem,) = find_problems(read_target(f"{file}:f"))
    assert problem.message == (
        "flows.py, line 9: start_date is another one each time it is read, since it asks datetime.now(): write a date, such as 2026-01-01."
    )
    file.write_text(text.format("'2026-01-01T00:00:00.5'"))
    assert find_problems(read_target(f"{file}:f")) == ()
