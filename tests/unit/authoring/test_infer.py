# SPDX-License-Identifier: BSD-3-Clause
"""Dependencies come from variables."""

from __future__ import annotations

import pytest

from .notebooks import edges, flow, read

#: what -> (cells, edges)
EDGES = {
    "an assignment": (["%%task a\nx = 1", "%%task b\ny = x"], {"a->b:x"}),
    "several names on one edge": (["%%task a\nx = y = 1", "%%task b\nz = x + y"], {"a->b:x y"}),
    "the nearest writer above": (["%%task a\nx = 1", "%%task b\nx = 2", "%%task c\nx"], {"b->c:x"}),
    "no writer below": (["%%task a\nx", "%%task b\nx = 1"], set()),
    "a change in place": (["%%task a\nx = []", "%%task b\nx.append(1)", "%%task c\nx"], {"a->b:x", "b->c:x"}),
    "a change by an option": (["%%task a\ndf = f()", "%%task b\ndf.dropna(inplace=True)", "%%task c\ndf"], {"a->b:df", "b->c:df"}),
    "a change through an alias": (["%%task a\nx = []", "%%task b\ny = x\ny.append(1)", "%%task c\nx"], {"a->b:x", "b->c:x"}),
    "a deleted name": (["%%task a\nx = 1", "%%task b\ndel x", "%%task c\nx"], {"a->b:x", "b->c:x"}),
    "two readers side by side": (["%%task a\nx = 1", "%%task b\ny = x", "%%task c\nz = x"], {"a->b:x", "a->c:x"}),
    "--after": (["%%task a\n1", "%%task b --after a\n2"], {"a->b:"}),
    "--after a task below": (["%%task a --after b\n1", "%%task b\n2"], {"b->a:"}),
    "--after a group": (["%%task g.a\n1", "%%task g.h.b\n1", "%%task c --after g\n2"], {"g.a->c:", "g.h.b->c:"}),
    "--after and data on one edge": (["%%task a\nx = 1", "%%task b --after a\nx"], {"a->b:x"}),
    "--reads and --writes": (["%%task a --writes x\nexec('x = 1')", "%%task b --reads x\neval('x')"], {"a->b:x"}),
    "a rebound builtin": (["%%task a\nopen = 1", "%%task b\nopen"], {"a->b:open"}),
    "a builtin": (["%%task a\nprint(1)", "%%task b\nprint(2)"], set()),
    "a name a task binds itself": (["%%task a\nx = 1", "%%task b\nx = 2\nx"], set()),
    "the same import above": (["import json", "%%task a\nimport json", "%%task b\njson"], set()),
    "another import above": (["import json", "%%task a\nimport ujson as json", "%%task b\njson"], {"a->b:json"}),
    "a change of a module is no value": (["import os", "%%task a\nos.environ['A'] = '1'", "%%task b\nos"], set()),
    "a change of rcParams": (["from matplotlib import pyplot as plt", "%%task a\nplt.rcParams['a'] = 1", "%%task b\nplt"], set()),
    "a change of an imported object": (["from conf import c", "%%task a\nc['a'] = 1", "%%task b\nc"], {"a->b:c"}),
    "a function that reads what a task gives": (
        ["def f(): return k + 1", "%%task a\nk = 1", "%%task b\ny = f()"],
        {"a->b:k"},
    ),
    "a function that calls one that does": (
        ["def g(): return k", "def f(): return g()", "%%task a\nk = 1", "%%task b\ny = f()"],
        {"a->b:k"},
    ),
    "a method that does": (["class C:\n    def m(self): return k", "%%task a\nk = 1", "%%task b\nC().m()"], {"a->b:k"}),
    "a named lambda that does": (["f = lambda: k", "%%task a\nk = 1", "%%task b\nf()"], {"a->b:k"}),
    "a function of a task": (["%%task a\nk = 1\ndef f(): return k", "%%task b\nf()"], {"a->b:f k"}),
    "a function that changes its argument": (
        ["def add(d): d['x'] = 1", "%%task a\nd = {}", "%%task b\nadd(d)", "%%task c\nd"],
        {"a->b:d", "b->c:d"},
    ),
    "a function that hands it to one that does": (
        ["def g(e): e.append(1)", "def f(d): g(d)", "%%task a\nd = []", "%%task b\nf(d)", "%%task c\nd"],
        {"a->b:d", "b->c:d"},
    ),
    "a function that changes a global": (
        ["cache = {}\ndef put(): cache['x'] = 1", "%%task a\nput()", "%%task b\ncache"],
        {"a->b:cache"},
    ),
    "a function that binds a global": (
        ["n = 0\ndef bump():\n    global n\n    n += 1", "%%task a\nbump()", "%%task b\nn"],
        {"a->b:n"},
    ),
    "recursive functions": (["def f(): return g()\ndef g(): return f() + k", "%%task a\nk = 1", "%%task b\nf()"], {"a->b:k"}),
    "a name bound on some paths is passed on": (
        ["%%task a\nx = 1", "%%task b\nif c:\n    x = 2", "%%task c\nx"],
        {"a->b:x", "b->c:x"},
    ),
    "a loop variable nobody reads is not": (["%%task a\nfor i in p: pass", "%%task b\nfor i in q: pass"], set()),
    "bash": (
        ["%%task a\nn = 3", "%%task b -o bash --out made\necho {{ n + 1 }}", "%%task c\nmade"],
        {"a->b:n", "b->c:made"},
    ),
    "bash with --reads": (["%%task a\nn = 3", "%%task b -o bash --reads n\necho $n"], {"a->b:n"}),
    "a branch names tasks below": (
        ["%%task a --as branch\n'b' if n else 'c'", "%%task b\n1", "%%task c\n2"],
        {"a->b:", "a->c:"},
    ),
    "a branch by a name": (["%%task a --as branch\nw = 'b' if n else 'c'\nw", "%%task b\n1", "%%task c\n2"], {"a->b:", "a->c:"}),
    "a branch names a group": (["%%task a --as branch\n['g']", "%%task g.x\ny = 1", "%%task g.z\ny"], {"a->g.x:", "g.x->g.z:y"}),
    "a branch names what is connected": (
        ["%%task a --as branch\n'c'", "%%task b --after a\nx = 1", "%%task c\nx"],
        {"a->b:", "b->c:x"},
    ),
    "a branch names a task above": (["%%task b\n1", "%%task a --as branch\n'b'"], set()),
}


@pytest.mark.parametrize(("sources", "expected"), EDGES.values(), ids=EDGES)
def test_edges_from(sources: list[str], expected: set[str]) -> None:
    assert edges(flow(*sources)) == expected


BRANCH = "%%task pick --as branch\n'left' if n else 'right'"


def test_a_reader_waits_for_the_next_writer_up_while_the_nearest_may_be_skipped() -> None:
    found = flow("%%task base\nm = 0", BRANCH, "%%task left\nm = 1", "%%task right\nm = 2", "%%task use --trigger-rule none_failed\nm")
    assert read(found, "use", "m").writers == ("right", "left", "base")
    assert not read(found, "use", "m").plain


def test_the_chain_ends_at_a_plain_cell() -> None:
    found = flow("m = 0", BRANCH, "%%task left\nm = 1", "%%task use\nm")
    assert (read(found, "use", "m").writers, read(found, "use", "m").plain) == (("left",), True)
    assert "m" in found.captures


def test_a_task_below_a_skippable_one_may_be_skipped_too() -> None:
    found = flow("%%task base\nm = 0", BRANCH, "%%task left\nt = 1", "%%task next\nm = t", "%%task use\nm")
    assert read(found, "use", "m").writers == ("next", "base")


def test_a_join_that_takes_either_always_runs() -> None:
    found = flow(
        "%%task base\nm = 0", BRANCH, "%%task left\nt = 1", "%%task join --after left --trigger-rule none_failed\nm = 1", "%%task use\nm"
    )
    assert read(found, "use", "m").writers == ("join",)


@pytest.mark.parametrize("rule", ["all_failed", "one_failed", "all_skipped"])
def test_a_trigger_rule_may_skip_a_task(rule: str) -> None:
    found = flow("%%task base\nm = 0", f"%%task alarm --after base --trigger-rule {rule}\nm = 1", "%%task use\nm")
    assert read(found, "use", "m").writers == ("alarm", "base")


SKIPPING = {
    "by name": ("from nbflow import SkipTask", "if c: raise SkipTask"),
    "by attribute": ("import nbflow", "if c: raise nbflow.SkipTask('no')"),
    "in a function": ("from nbflow import SkipTask\ndef stop():\n    raise SkipTask", "if c: stop()"),
}


@pytest.mark.parametrize(("plain", "line"), SKIPPING.values(), ids=SKIPPING)
def test_a_task_that_skips_itself_may_be_skipped(plain: str, line: str) -> None:
    found = flow(plain, "%%task a\nm = 0", f"%%task b\n{line}\nm = 1", "%%task use\nm")
    assert read(found, "use", "m").writers == ("b", "a")


def test_reads_say_which_inputs_are_changed_in_place() -> None:
    found = flow("%%task a\nx = []\ny = 1", "%%task b\nx.append(y)")
    assert [(one.name, one.mutates) for one in found.task("b").reads] == [("x", True), ("y", False)]


def test_names_of_plain_cells_are_captured() -> None:
    found = flow("import numpy as np\nk = 1", "%%task a\nx = np.ones(k)")
    assert found.captures == ("np", "k")
    assert all(one.plain and not one.writers for one in found.task("a").reads)


def test_a_name_that_a_plain_cell_below_rewrites_is_captured_early() -> None:
    found = flow("k = 1\nj = []", "%%task a\nx = k + len(j)", "k = 2", "j.append(1)", "%%task b\ny = k")
    assert set(found.early_captures) == {("a", "k"), ("a", "j")}


def test_what_a_function_reads_is_captured_early_too() -> None:
    found = flow("k = 1\ndef f(): return k", "%%task a\nx = f()", "k = 2")
    assert found.early_captures == (("a", "k"),)


def test_a_name_nobody_gives_is_taken_from_the_kernel() -> None:
    found = flow("%%task a\ny = x")
    assert read(found, "a", "x").plain
    assert found.captures == ("x",)


def test_a_name_bound_on_some_paths_is_passed_on_from_a_plain_cell() -> None:
    found = flow("x = 1", "%%task b\nif c:\n    x = 2", "%%task c\nx")
    assert read(found, "b", "x").plain


def test_demands_are_the_names_read_below() -> None:
    found = flow("%%task a --writes kept\nx = y = z = kept = 1", "%%task b\nx", "%nbflow run", "print(z)")
    assert found.task("a").demands == ("x", "z", "kept")
    assert found.task("a").writes == ("x", "y", "z", "kept")


def test_what_a_function_below_reads_is_demanded() -> None:
    assert flow("%%task a\nx = 1", "%nbflow run", "def f(): return x").task("a").demands == ("x",)


def test_a_deleted_name_is_written_and_not_demanded() -> None:
    task = flow("%%task a\nx = 1", "%%task b\ndel x", "%%task c\nx").task("b")
    assert (task.writes, task.demands) == (("x",), ())


def test_each_writer_that_may_give_a_value_is_asked_for_it() -> None:
    found = flow("n = 1", BRANCH, "%%task left\nm = 1", "%%task right\nm = 2", "%nbflow run", "print(m)")
    assert found.task("left").demands == found.task("right").demands == ("m",)
