# SPDX-License-Identifier: BSD-3-Clause
"""A notebook as a flow, and everything that is wrong with it at once."""

from __future__ import annotations

from contextlib import nullcontext
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbflow.authoring.flow_builder import CellKind, build_flow, classify
from nbflow.authoring.notebook_file import CellSource
from nbflow.core.errors import FlowError
from nbflow.core.options import TaskKind

from .notebooks import cells, errors, flow, problems, warnings

KINDS = {
    "%%task a\nx = 1": CellKind.TASK,
    "\n\n%%task a": CellKind.TASK,
    "%%task -h": CellKind.SKIP,
    "%%tasks a": CellKind.SKIP,
    "%%flow f\nowner = 'me'": CellKind.FLOW,
    "%%flow": CellKind.FLOW,
    "%nbflow run": CellKind.RUN,
    "x = 1\n%nbflow run --background": CellKind.RUN,
    "r = %nbflow run": CellKind.RUN,
    "%%time\n%nbflow run": CellKind.RUN,
    "%nbflow runs": CellKind.PLAIN,
    "%nbflow graph": CellKind.PLAIN,
    "def f():\n    %nbflow run": CellKind.PLAIN,
    "s = '''\n%nbflow run\n'''": CellKind.PLAIN,
    "# %nbflow run": CellKind.PLAIN,
    "%%bash\nls": CellKind.SKIP,
    "%%html\n<b>": CellKind.SKIP,
    "%%writefile x.py\n%nbflow run": CellKind.SKIP,
    "%%capture out\nx = 1": CellKind.PLAIN,
    "x = 1": CellKind.PLAIN,
    "": CellKind.PLAIN,
    "x = = 1": CellKind.PLAIN,
}


@pytest.mark.parametrize(
    ("task", "doc"),
    [
        ("%%task a\nx = 1", "Loads\n\nthe rows"),
        ('%%task a\n"""Says it itself."""\nx = 1', "Says it itself."),
        ('%%task a --doc "Said on the line"\nx = 1', "Said on the line"),
    ],
)
def test_a_task_is_documented_by_its_option_its_docstring_or_the_markdown_right_above(task, doc):
    text = CellSource(id="m", number=1, kind="markdown", source="## Loads\n\nthe rows\n")
    made = [CellSource(id=f"c{number}", number=number, source=source) for number, source in ((2, task), (3, "%%task b\ny = 1"))]
    found = build_flow([text, *made], name="f")
    assert (found.task("a").doc, found.task("b").doc) == (doc, "")


@pytest.mark.parametrize(("source", "kind"), KINDS.items())
def test_kind_of_a_cell(source: str, kind: CellKind) -> None:
    assert classify(source) is kind


def test_a_flow_has_the_name_of_its_header_else_of_its_notebook() -> None:
    assert flow("%%flow sales", "%%task a\n1").name == "sales"
    assert flow("%%flow\nowner = 'me'").name == "nb"


def test_text_cells_are_passed_over() -> None:
    notebook = [CellSource(id="m", number=1, kind="markdown", source="%%task x"), *cells("%%task a\n1")]
    assert [task.id for task in build_flow(notebook, name="nb").tasks] == ["a"]


def test_a_task_knows_its_cell_and_where_its_body_begins() -> None:
    task = flow("x = 1", "\n%%task a --retries 1\ny = x\n").task("a")
    assert (task.cell.number, task.cell.id, task.cell.offset, task.source) == (2, "c2", 2, "y = x\n")


def test_options_merge_from_defaults_over_groups_to_the_line() -> None:
    header = '%%flow f\n[defaults]\nretries = 1\ntimeout = "1m"\n[groups.etl]\nretries = 2\npriority = 5\n[groups."etl.load"]\nretries = 3'
    found = flow(header, "%%task a\n1", "%%task etl.b\n1", "%%task etl.load.c\n1", "%%task etl.load.d --retries 4 --no-timeout\n1")
    assert [task.options.retries for task in found.tasks] == [1, 2, 3, 4]
    assert [task.options.priority for task in found.tasks] == [1, 5, 5, 5]
    assert [task.options.timeout for task in found.tasks] == [timedelta(minutes=1)] * 3 + [None]


def test_a_header_holds_for_tasks_above_it_too() -> None:
    assert flow("%%task a\n1", "%%flow f\n[defaults]\nretries = 1").task("a").options.retries == 1


def test_the_doc_is_the_option_else_the_docstring() -> None:
    found = flow('%%task a --doc "What for"\n"""Text."""\nx = 1', '%%task b\n"""Loads.\n\n  All."""\nx = 1', "%%task c --as branch\n'a'")
    assert [task.doc for task in found.tasks] == ["What for", "Loads.\n\nAll.", ""]


def test_a_bash_task_reads_its_template_and_gives_its_out() -> None:
    task = flow("n = 1", "%%task b -o bash --out made\necho {{ n }} {{ ds }}\n").task("b")
    assert (task.operator, task.writes, [one.name for one in task.reads]) == ("bash", ("made",), ["n"])


def test_a_branch_keeps_its_kind() -> None:
    assert flow("%%task a --as branch\n'b'", "%%task b\n1").task("a").options.as_ is TaskKind.BRANCH


def test_parameters_come_from_the_tagged_cell() -> None:
    source = 'day = "2026-01-01"  # the day\nn: int = 3\nxs = [1,\n 2]  # type: list numbers\nimport os'
    found = flow(source, "%%task a\nprint(day, n)", parameters=1).parameters
    assert [(one.name, one.default, one.type, one.help) for one in found] == [
        ("day", '"2026-01-01"', "", "the day"),
        ("n", "3", "int", ""),
        ("xs", "[1,\n 2]", "list", "numbers"),
    ]


def test_the_header_declares_more_of_a_parameter() -> None:
    header = '%%flow f\n[params.n]\ntype = "int"\nminimum = 1\nmaximum = 9\nchoices = [1, 9]\nhelp = "how many"'
    (found,) = flow(header, "n = 3", parameters=2).parameters
    assert (found.type, found.minimum, found.maximum, found.choices, found.help) == ("int", 1, 9, (1, 9), "how many")


WRONG = {
    "a syntax error": (["x = 1", "%%task a\ny = 1\nz = = 2"], ["cell 2, line 3: This is not Python: invalid syntax."]),
    "a syntax error of a plain cell": (["x = (1"], ["cell 1, line 1: This is not Python: '(' was never closed."]),
    "two tasks of one name": (
        ["%%task a\n1", "x = 1", "%%task a\n2"],
        ['cell 3, line 1: There are two tasks named "a": cell 1 and cell 3. Rename one.'],
    ),
    "an unknown upstream": (
        ["%%task clean\n1", "%%task b --after claen\n2"],
        ['cell 2, line 1: --after of task b: there is no task or group "claen". Did you mean "clean"?'],
    ),
    "an unknown group": (
        ["%%task download.a\n1", "%%task b --after downloads\n2"],
        ['cell 2, line 1: --after of task b: there is no task or group "downloads". Did you mean "download"?'],
    ),
    "a cycle": (
        ["%%task a --after b\nx = 1", "%%task b\nx"],
        ["cell 1, line 1: These tasks wait for each other: a -> b -> a. Remove one of these dependencies."],
    ),
    "a syntax error of a branch": (["%%task a --as branch\n'b' if"], ["cell 1, line 2: This is not Python: invalid syntax."]),
    "an expression that is too deep": (
        ["x = " + " + ".join(["y"] * 2000)],
        ["cell 1, line 1: An expression here is nested too deeply to be understood: split it."],
    ),
    "a task after itself": (
        ["%%task a --after a\n1"],
        ["cell 1, line 1: These tasks wait for each other: a -> a. Remove one of these dependencies."],
    ),
    "an unknown option": (
        ["%%task a --retrys 2\n1"],
        ['cell 1, line 1: There is no option "--retrys". Did you mean "--retries"?'],
    ),
    "an unknown operator": (["%%task a -o bsh\n1"], ['cell 1, line 1: There is no operator "bsh". Did you mean "bash"?']),
    "a name that is none": (["%%task a --writes x-y\n1"], ['cell 1, line 1: --writes cannot be "x-y": it takes the name of a variable.']),
    "--out of a Python task": (
        ["%%task a --out x\n1"],
        ["cell 1, line 1: --out belongs to an operator such as -o bash: a Python task gives what it assigns."],
    ),
    "two headers": (["%%flow a", "%%flow b"], ["cell 2, line 1: There is another %%flow header in cell 1: keep one of them."]),
    "a key of the header": (
        ["%%flow a\n\nretry = 1"],
        ['cell 1, line 3: There is no key "retry" in a %%flow header.'],
    ),
    "a parameter nobody assigns": (
        ["%%flow a\n[params.dya]\ntype = 'str'", "day = 1"],
        ['cell 1, line 2: params.dya: no cell tagged parameters assigns dya. Did you mean "day"?'],
    ),
}


@pytest.mark.parametrize(("sources", "expected"), WRONG.values(), ids=WRONG)
def test_an_error_for(sources: list[str], expected: list[str]) -> None:
    assert errors(*sources, parameters=2) == expected


def test_every_error_is_raised_at_once_in_the_order_of_the_notebook() -> None:
    with pytest.raises(FlowError) as caught:
        flow("%%flow f\nownr = 'me'", "%%task a --retrys 1\nx = = 1", "%%task b --after c\n1")
    assert [(problem.cell, problem.line) for problem in caught.value.problems] == [(1, 2), (2, 1), (2, 2), (3, 1)]
    assert {problem.code for problem in caught.value.problems} == {"header", "option", "syntax", "unknown-task"}


def test_a_flow_that_stops_at_the_first_failure_takes_only_the_default_rule() -> None:
    found = errors(
        "%%flow f\nfail_fast = true", "%%task a\n1", "%%task b --after a --trigger-rule all_done\n1", "%%task c --as teardown\n1"
    )
    assert found == [
        "cell 3, line 1: This flow has fail_fast, under which every task but a teardown needs the trigger rule all_success, not all_done."
    ]


ADVICE = {
    "a name nobody gives": (
        ["thresholds = 1", "%%task a\ny = 1\nthreshold", "%nbflow run"],
        'cell 2, line 3: `threshold` is read by task a but no cell above gives it. Did you mean "thresholds"?',
    ),
    "a name of nbflow's that was not imported": (
        ["%%task a\nprint(ctx.ds)", "%nbflow run"],
        "cell 1, line 2: `ctx` is read by task a but no cell above gives it. Write `from nbflow import ctx` in a cell above.",
    ),
    "a name given below only": (
        ["%%task a\nx", "x = 1", "%nbflow run"],
        "cell 1, line 2: `x` is read by task a but no cell above gives it. Cell 2 below does.",
    ),
    "a name that a star import of a task may give": (
        ["%%task a\nfrom numpy import *", "%%task b\nones", "%nbflow run"],
        "cell 2, line 2: `ones` is read by task b but no cell above gives it. If a does (numpy), add --writes ones to it.",
    ),
    "no run": (
        ["%%task a\n1"],
        "No cell says `%nbflow run`: in a kernel and under plain papermill the tasks are defined and never run.",
    ),
    "a plain cell that reads too early": (
        ["%%task a\nx = 1", "y = 2\nprint(x)", "%nbflow run"],
        "cell 2, line 2: `x` comes from task a, which has not run yet here: move this cell below `%nbflow run`.",
    ),
    "a join": (
        ["n = 1", "%%task p --as branch\n'l' if n else 'r'", "%%task l\nx = 1", "%%task r\ny = 1", "%%task j\nx, y", "%nbflow run"],
        (
            "cell 5, line 1: Task j joins paths of a branch (l and r): with all_success it is skipped when one of them is. "
            "Add --trigger-rule none_failed_min_one_success."
        ),
    ),
    "a seed": (
        ["import numpy as np\nnp.random.seed(1)", "%%task a\nx = np.random.normal()", "%nbflow run"],
        (
            "cell 2, line 1: Task a draws random numbers (np.random.normal()), and cell 1 seeds them for the kernel only: "
            "every attempt starts with fresh numbers, or with the same copy of a generator. Seed inside the task."
        ),
    ),
    "a seeded generator": (
        ["import numpy as np\nrng = np.random.default_rng(1)", "%%task a\nx = rng.normal()", "%nbflow run"],
        (
            "cell 2, line 1: Task a draws random numbers (rng.normal()), and cell 1 seeds them for the kernel only: "
            "every attempt starts with fresh numbers, or with the same copy of a generator. Seed inside the task."
        ),
    ),
    "a choice that is no task": (
        ["n = 1", "%%task p --as branch\n'left' if n else 'rigth'", "%%task left\n1", "%%task right --after p\n1", "%nbflow run"],
        'cell 2, line 2: Branch p may choose "rigth", which is no task or group of this flow. Did you mean "right"?',
    ),
    "a group without tasks": (
        ["%%flow f\n[groups.downlod]\nretries = 1", "%%task download.a\n1", "%nbflow run"],
        'cell 1, line 2: [groups.downlod] holds for no task: none is named downlod.*. Did you mean "download"?',
    ),
}


@pytest.mark.parametrize(("sources", "expected"), ADVICE.values(), ids=ADVICE)
def test_a_warning_for(sources: list[str], expected: str) -> None:
    assert warnings(*sources) == [expected]
    assert not errors(*sources)


FINE = {
    "a value read below the run": ["%%task a\nx = 1", "%nbflow run", "print(x)"],
    "a value read in the cell of the run": ["%%task a\nx = 1", "%nbflow run\nprint(x)"],
    "a function that will read it": ["%%task a\nx = 1", "def show(): print(x)", "%nbflow run"],
    "a name a star import may give": ["from numpy import *", "%%task a\nones(3)", "%nbflow run"],
    "a name the task binds on some paths": ["c = 1", "%%task a\nif c: x = 1\nprint(x)", "%nbflow run"],
    "a join that takes either": [
        "n = 1",
        "%%task p --as branch\n'l' if n else 'r'",
        "%%task l\nx = 1",
        "%%task r\ny = 1",
        "%%task j --trigger-rule none_failed_min_one_success\nx, y",
        "%nbflow run",
    ],
    "a chain below a branch": ["n = 1", "%%task p --as branch\n'l' if n else None", "%%task l\nx = 1", "%%task m\nx", "%nbflow run"],
    "a task that seeds for itself": ["import random\nrandom.seed(1)", "%%task a\nrandom.seed(2)\nrandom.random()", "%nbflow run"],
    "a notebook without tasks": ["x = 1"],
    "shell names": ["%%task a\ndisplay(_)\nget_ipython()", "%nbflow run"],
}


@pytest.mark.parametrize("sources", FINE.values(), ids=FINE)
def test_nothing_is_said_of(sources: list[str]) -> None:
    assert problems(*sources) == ()


def test_warnings_do_not_stop_a_flow() -> None:
    assert flow("%%task a\nunknown").task("a")


def test_a_name_is_hinted_at_when_its_task_only_comes_later() -> None:
    found = problems("%%task a --after b\n1")
    assert [(problem.code, '"b"' in problem.message) for problem in found if problem.severity == "error"] == [("unknown-task", True)]


_SCRAPS = st.sampled_from(
    [
        "%%task ",
        "%%flow ",
        "%%time\n",
        "%nbflow run",
        "a",
        "b",
        " = ",
        "\n",
        "[",
        "]",
        "(",
        ")",
        "{{",
        "def f(): ",
        "--after ",
        "--as branch",
        "'a'",
        "\x00",
        "%",
        "!",
        "?",
        "\\",
        "if ",
        ": ",
        '"',
        " --retries ",
        "del ",
        "lambda: ",
        "await ",
        "[defaults]\n",
        "-o bash",
        ".",
        "é",
        "\t",
    ]
)


@given(st.lists(st.lists(_SCRAPS, max_size=12).map("".join), max_size=4), st.lists(st.text(max_size=30), max_size=2))
@settings(max_examples=200, deadline=None)
def test_no_text_of_a_cell_breaks_the_check(scraps: list[str], texts: list[str]) -> None:
    found = problems(*scraps, *texts, parameters=1)
    has_errors = any(problem.severity == "error" for problem in found)
    with pytest.raises(FlowError) if has_errors else nullcontext():
        flow(*scraps, *texts, parameters=1)
