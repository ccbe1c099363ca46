# SPDX-License-Identifier: BSD-3-Clause
"""What makes a new version of a flow, and what does not."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from nbflow.core.model import CellRef, Edge, Flow, FlowOptions, Parameter, Read, Task
from nbflow.core.options import TaskOptions
from nbflow.store.flow_hash import content_hash

FLOW = Flow(
    name="sales",
    tasks=(
        Task(id="a", source="x = 1", cell=CellRef(number=2, id="c2")),
        Task(id="b", source="x", reads=(Read(name="x", writers=("a",)),)),
    ),
    edges=(Edge(upstream="a", downstream="b", names=("x",)),),
    path="/home/ann/sales.ipynb",
)


def notebook(*cells, metadata=None):
    return json.dumps({"cells": list(cells), "metadata": metadata or {}}).encode()


def code(source, **more):
    return {"cell_type": "code", "source": source, "outputs": [], "execution_count": None, **more}


PROSE = {"cell_type": "markdown", "source": "# Sales"}


@pytest.mark.parametrize(
    "other",
    [
        replace(FLOW, path="/elsewhere.ipynb"),
        replace(FLOW, tasks=(replace(FLOW.tasks[0], cell=CellRef(number=9, id="x", offset=1)), FLOW.tasks[1])),
    ],
)
def test_where_it_stands_does_not_count(other):
    assert content_hash(other) == content_hash(FLOW)


@pytest.mark.parametrize(
    "other",
    [
        replace(FLOW, name="other"),
        replace(FLOW, tasks=(replace(FLOW.tasks[0], source="x = 2"), FLOW.tasks[1])),
        replace(FLOW, tasks=(replace(FLOW.tasks[0], options=TaskOptions(retries=1)), FLOW.tasks[1])),
        replace(FLOW, tasks=FLOW.tasks[::-1]),
        replace(FLOW, edges=()),
        replace(FLOW, options=FlowOptions(fail_on="any")),
        replace(FLOW, parameters=(Parameter(name="day", default="1"),)),
        replace(FLOW, captures=("np",)),
    ],
)
def test_what_decides_how_it_runs_counts(other):
    assert content_hash(other) != content_hash(FLOW)


@pytest.mark.parametrize(
    "source",
    [
        notebook(code("x = 1", outputs=[{"output_type": "stream"}], execution_count=3)),
        notebook(PROSE, code("x = 1")),
        notebook(code(["x = ", "1"])),
        notebook(code("x = 1"), metadata={"kernelspec": {}}),
    ],
)
def test_outputs_prose_and_metadata_of_the_file_do_not_count(source):
    assert content_hash(FLOW, source) == content_hash(FLOW, notebook(code("x = 1")))


def test_a_plain_cell_counts():
    assert content_hash(FLOW, notebook(code("x = 1"), code("y = 2"))) != content_hash(FLOW, notebook(code("x = 1")))


@pytest.mark.parametrize("source", [b"x = 1\n", b"\xff\xfe", b"[1]", b'{"cells": 3}'])
def test_a_file_that_is_no_notebook_counts_as_a_whole(source):
    assert content_hash(FLOW, source) != content_hash(FLOW, source + b" ")
