# SPDX-License-Identifier: BSD-3-Clause
"""What a source means, whatever it looks like."""

from __future__ import annotations

import pytest

from nbflow.core.sources import ANYTHING, part_of, read_python, read_template


@pytest.mark.parametrize(
    "other",
    ["x=1 # one", "x = (1)", "\n\nx = 1\n", "# a remark\nx = 1", "x = \\\n    1"],
)
def test_comments_and_layout_do_not_count(other: str):
    assert read_python(other).normal == read_python("x = 1").normal


@pytest.mark.parametrize("other", ["x = 2", "y = 1", "x = '1'", "x = 1.0", "if True:\n    x = 1"])
def test_everything_else_does(other: str):
    assert read_python(other).normal != read_python("x = 1").normal


def test_what_makes_a_task_of_a_function_is_an_option_and_no_code():
    plain = read_python("def f():\n    return 1").normal
    assert read_python("@task(retries=2)\ndef f():\n    return 1").normal == plain
    assert read_python("@nbflow.task\ndef f():\n    return 1").normal == plain
    assert read_python("@cached\ndef f():\n    return 1").normal != plain


def test_text_that_is_no_python_counts_letter_by_letter():
    assert read_python("!ls").normal == "!ls"
    assert read_python("!ls  # all").normal != read_python("!ls").normal


def test_a_cell_with_magics_is_read_as_what_it_is_turned_into():
    assert read_python("%time  x = 1 # one", lambda text: text.replace("%time", "")[2:]).normal == "x = 1"


def test_the_modules_it_imports():
    assert read_python("import pandas.io as p, os\nfrom numpy.linalg import norm\nfrom . import near").modules == {"pandas", "os", "numpy"}


@pytest.mark.parametrize(
    ("source", "asks"),
    [
        ("print(ctx.ds)", {"ds"}),
        ("import nbflow\nnbflow.ctx.params['x']", {"params"}),
        ("from nbflow import ctx as here\nhere.run_id", {"run_id"}),
        ("ctx.log.info('x')", {"log"}),
        ("helper(ctx)", {ANYTHING}),
        ("x = 1", set()),
    ],
)
def test_what_it_asks_of_the_run(source: str, asks: set[str]):
    assert read_python(source).asks == asks


@pytest.mark.parametrize(
    ("script", "asks"),
    [("echo {{ ds }} {{ x }}", {"ds"}), ("echo {{ ctx.run_id }}", {"run_id"}), ("echo $NBFLOW_RUN_ID", {"run_id"}), ("echo ds", set())],
)
def test_what_a_template_asks_of_the_run(script: str, asks: set[str]):
    assert read_template(script).asks == asks


MODULE = """
import math
LIMIT = 3
OTHER = 4

def helper(x):
    return math.floor(x) + LIMIT

def unrelated():
    return OTHER

def used(x):
    return helper(x)
"""


def test_a_function_is_made_of_what_it_refers_to_and_of_nothing_else():
    part = part_of(MODULE, frozenset({"used"}))
    assert "def helper" in part
    assert "LIMIT = 3" in part
    assert "import math" in part
    assert "unrelated" not in part
    assert "OTHER" not in part
