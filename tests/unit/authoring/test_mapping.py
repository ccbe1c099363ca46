# SPDX-License-Identifier: BSD-3-Clause
"""`%%task NAME --map x=xs`: what a mapped task reads, and what is refused."""

from __future__ import annotations

import pytest

from nbflow.authoring.magic_line import parse_task_line
from nbflow.core.errors import UserError
from nbflow.core.model import Read
from tests.unit.authoring.notebooks import edges, errors, flow, warnings

RUN = "%nbflow run"


def test_a_mapped_task_reads_the_elements_of_what_a_task_gives():
    found = flow("%%task listed\nxs = [1, 2]", "%%task score --map x=xs\ny = x * 2", RUN)
    assert found.task("score").reads == (Read(name="xs", writers=("listed",), element="x"),)
    assert edges(found) == {"listed->score:xs"}
    assert found.task("listed").demands == ("xs",)
    assert found.captures == ()


def test_a_list_of_a_plain_cell_is_not_handed_over_whole():
    found = flow("xs = [1, 2]\nfactor = 2", "%%task score --map x=xs\ny = x * factor", RUN)
    assert found.captures == ("factor",)
    assert found.task("score").reads == (Read(name="factor", plain=True), Read(name="xs", plain=True, element="x"))


def test_a_body_that_also_reads_the_list_gets_it_too():
    found = flow("xs = [1, 2]", "%%task score --map x=xs\ny = x / len(xs)", RUN)
    assert found.captures == ("xs",)
    assert [(read.name, read.element) for read in found.task("score").reads] == [("xs", ""), ("xs", "x")]


def test_the_element_is_not_taken_from_a_cell_that_gives_a_name_like_it():
    found = flow("x = 5\nxs = [1]", "%%task earlier\nx = 6", "%%task score --map x=xs\ny = x", RUN)
    assert [read.name for read in found.task("score").reads] == ["xs"]
    assert edges(found) == set()


def test_several_maps_are_kept_in_the_order_written():
    found = flow("xs = [1]\nys = [2]", "%%task score --map a=ys --map b=xs\nz = a + b", RUN)
    assert [(read.element, read.name) for read in found.task("score").reads] == [("a", "ys"), ("b", "xs")]


def test_what_is_below_takes_the_names_of_a_mapped_task():
    found = flow("xs = [1]", "%%task score --map x=xs\ny = x", "%%task total\nt = sum(y)", RUN)
    assert edges(found) == {"score->total:y"}
    assert found.task("score").demands == ("y",)


def test_a_list_rewritten_below_is_taken_as_it_stood():
    found = flow("xs = [1]", "%%task score --map x=xs\ny = x", "xs = [2]", RUN)
    assert found.early_captures == (("score", "xs"),)


def test_bash_templates_take_the_element_too():
    found = flow("names = ['a']", "%%task greet -o bash --map name=names\necho {{ name }}", RUN)
    assert found.task("greet").reads == (Read(name="names", plain=True, element="name"),)


def test_a_shared_input_changed_in_place_is_refused():
    told = errors("xs = [1]\nrows = []", "%%task score --map x=xs\nrows.append(x)", RUN)
    assert len(told) == 1
    assert "Task score is mapped and changes `rows` in place, which all its copies share" in told[0]


@pytest.mark.parametrize("body", ["x.append(1)\ny = x", "rows = list(rows)\nrows.append(x)", "y = {}\ny[x] = 1"])
def test_what_a_copy_has_for_itself_may_be_changed(body: str):
    assert errors("xs = [[1]]\nrows = []", f"%%task score --map x=xs\n{body}", RUN) == []


def test_a_list_nobody_gives_is_told():
    assert any("`xs` is read by task score but no cell above gives it" in told for told in warnings("%%task score --map x=xs\ny = x", RUN))


@pytest.mark.parametrize("line", ["score --map x=xs y=ys", "score --map x=xs --map y=ys", "score --map=x=xs --map y=ys"])
def test_pairs_may_be_written_together_or_apart(line: str):
    assert parse_task_line(line) == ("score", {"map": (("x", "xs"), ("y", "ys"))})


@pytest.mark.parametrize("words", ["x", "x=", "x=1", "x=xs x=ys", "x=xs --map x=ys", "x=a.b"])
def test_what_is_no_pair_of_names_is_refused(words: str):
    with pytest.raises(UserError, match=r'^--map cannot be "x.*": it takes pairs of names such as x=xs'):
        parse_task_line(f"score --map {words}")
