# SPDX-License-Identifier: BSD-3-Clause
"""How the names of a kernel travel to tasks."""

from __future__ import annotations

import ast
import itertools
import json
import os.path
import sqlite3
import textwrap
import types

import pytest

from nbflow.core.errors import UserError
from nbflow.core.job import CaptureKind, CaptureSet, ProcessState, ValueRef
from nbflow.core.model import CellRef, Flow, Read, Task
from nbflow.core.options import TaskOptions
from nbflow.core.sendable import refuse_unsendable
from nbflow.notebook.namespace import Capturer, Statements, capture_set, statements_of


def reads(source):
    tree = ast.parse(source)
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}


def encode(values):
    """Sends what JSON can hold."""
    found = {}
    for name, value in values.items():
        try:
            text = json.dumps(value)
        except TypeError:
            found[name] = f"it is a {type(value).__name__}."
        else:
            found[name] = ValueRef(hash=text, format="json", size=len(text), inline=text.encode())
    return found


def encode_elements(name, value, task):
    if not isinstance(value, list):
        raise UserError(f"`{name}` cannot be mapped over by {task}.")
    return tuple(encode({str(place): element})[str(place)] for place, element in enumerate(value))


@pytest.fixture
def kernel():
    """Executes cells in a `__main__` of its own and captures names of it."""
    return FakeMain()


class FakeMain:
    def __init__(self):
        self.namespace = types.ModuleType("__main__").__dict__
        self.cells = []

    def run(self, source):
        source = textwrap.dedent(source)
        exec(compile(source, "<cell>", "exec"), self.namespace)
        self.cells.append((CellRef(number=len(self.cells) + 1), source))

    @property
    def capturer(self):
        statements = Statements(by_name=statements_of(reversed(self.cells)), reads=reads)
        return Capturer(namespace=self.namespace, statements=statements, encode=encode, encode_elements=encode_elements)

    def capture(self, *names):
        return self.capturer.capture(names)


def test_a_value_is_encoded(kernel):
    kernel.run("limit = 3")
    assert kernel.capture("limit")["limit"].value.inline == b"3"


def test_a_module_is_imported_under_its_name_here(kernel):
    kernel.run("import json as j")
    captured = kernel.capture("j")["j"]
    assert (captured.kind, captured.module) == (CaptureKind.MODULE, "json")


def test_a_package_brings_the_modules_imported_with_it(kernel):
    kernel.run("import os.path\nimport xml.dom.minidom")
    captured = kernel.capture("xml")
    assert captured["xml.dom.minidom"].module == "xml.dom.minidom"
    assert captured["xml"].needs == ("xml.dom.minidom",)


def test_what_is_imported_from_a_module_is_imported_there_too(kernel):
    kernel.run("from os.path import join as put_together\nfrom collections import OrderedDict")
    captured = kernel.capture("put_together", "OrderedDict")
    assert (captured["put_together"].module, captured["put_together"].attribute) == ("os.path", "join")
    assert captured["OrderedDict"].kind is CaptureKind.ATTRIBUTE


def test_a_function_of_the_notebook_travels_as_its_source_with_what_it_uses(kernel):
    kernel.run("import json\nfactor = 2")
    kernel.run("def helper(x):\n    return json.dumps(x * factor)\n\ndef unused(): ...")
    captured = kernel.capture("helper")
    assert captured["helper"].kind is CaptureKind.DEFINITION
    assert captured["helper"].source == "def helper(x):\n    return json.dumps(x * factor)"
    assert set(captured) == {"helper", "json", "factor"}


def test_functions_that_call_each_other_travel_together(kernel):
    kernel.run("def even(n): return n == 0 or odd(n - 1)\ndef odd(n): return n != 0 and even(n - 1)")
    assert set(kernel.capture("even")) == {"even", "odd"}


def test_a_decorated_class_keeps_its_decorator(kernel):
    kernel.run("from dataclasses import dataclass")
    kernel.run("@dataclass\nclass Point:\n    x: int\n    y: int")
    captured = kernel.capture("Point")
    assert captured["Point"].source.startswith("@dataclass\nclass Point")
    assert "dataclass" in captured


def test_the_definition_executed_last_counts(kernel):
    kernel.run("def f(): return 1")
    kernel.run("if True:\n    def f(): return 2")
    assert kernel.capture("f")["f"].source == "def f():\n    return 2"


def test_a_lambda_and_a_namedtuple_are_definitions_too(kernel):
    kernel.run("from collections import namedtuple\ndouble = lambda x: 2 * x\nPair = namedtuple('Pair', 'a b', module='__main__')")
    captured = kernel.capture("double", "Pair")
    assert captured["double"].source == "double = lambda x: 2 * x"
    assert captured["Pair"].kind is CaptureKind.DEFINITION


def test_comments_and_spacing_do_not_change_a_definitions_hash(kernel):
    kernel.run("def f(x):\n    return x+1")
    before = kernel.capture("f")["f"].hash
    kernel.run("def f(x):\n    # adds one\n    return x + 1")
    assert kernel.capture("f")["f"].hash == before


def test_what_cannot_travel_says_what_it_is(kernel):
    kernel.namespace["conn"] = sqlite3.connect(":memory:")
    captured = kernel.capture("conn")["conn"]
    assert captured.kind is CaptureKind.UNSENDABLE
    assert captured.reason == "it is a Connection."


def test_a_function_that_uses_what_cannot_travel_says_so(kernel):
    kernel.namespace["conn"] = sqlite3.connect(":memory:")
    kernel.run("def rows(): return conn.execute('select 1')")
    assert kernel.capture("rows")["rows"].reason.startswith("it refers to `conn`, and it is a Connection.")


def test_a_run_that_needs_it_is_refused_with_task_and_name(kernel):
    kernel.namespace["conn"] = sqlite3.connect(":memory:")
    flow = Flow(name="f", tasks=(Task(id="train", reads=(Read(name="conn", plain=True),)),), captures=("conn",))
    captures = CaptureSet(names=kernel.capture("conn"))
    with pytest.raises(UserError) as told:
        refuse_unsendable(flow, captures, ["train"])
    assert str(told.value).startswith("Task train uses `conn`, which cannot be sent to a worker: it is a Connection.")


def mapped(name, *, whole=()):
    reads = (*(Read(name=one, plain=True) for one in whole), Read(name=name, plain=True, element="x"))
    return Flow(name="f", tasks=(Task(id="score", reads=reads),), captures=tuple(whole))


def test_what_is_mapped_over_travels_element_by_element(kernel):
    kernel.run("xs = [1, 'two']")
    taken = capture_set(mapped("xs"), kernel.capturer, {}, ProcessState(), ["score"]).names["xs"]
    assert taken.value is None
    assert [element.inline for element in taken.elements] == [b"1", b'"two"']


def test_what_is_taken_whole_as_well_has_both(kernel):
    kernel.run("xs = [1]")
    taken = capture_set(mapped("xs", whole=["xs"]), kernel.capturer, {}, ProcessState(), ["score"]).names["xs"]
    assert taken.value.inline == b"[1]"
    assert len(taken.elements) == 1


def test_a_run_that_maps_over_no_list_is_refused(kernel):
    kernel.run("xs = 3")
    with pytest.raises(UserError, match="`xs` cannot be mapped over by score"):
        capture_set(mapped("xs"), kernel.capturer, {}, ProcessState(), ["score"])


def test_a_task_that_is_not_to_run_refuses_nothing(kernel):
    kernel.run("xs = 3")
    assert capture_set(mapped("xs"), kernel.capturer, {}, ProcessState(), []).names == {}


def test_a_cached_task_refuses_a_value_that_is_stored_as_other_bytes_each_time(kernel):
    kernel.run("model = 3")
    counter = itertools.count()
    capturer = kernel.capturer
    capturer.encode = lambda values: {name: ValueRef(hash=str(next(counter)), format="pickle", size=1, shown="Model") for name in values}

    def flow(**options):
        return Flow(
            name="f", tasks=(Task(id="fit", options=TaskOptions(**options), reads=(Read(name="model", plain=True),)),), captures=("model",)
        )

    assert capture_set(flow(), capturer, {}, ProcessState(), ["fit"]).names["model"].value.shown == "Model"
    with pytest.raises(UserError) as refused:
        capture_set(flow(cache=True), capturer, {}, ProcessState(), ["fit"])
    assert str(refused.value) == (
        "Task fit has --cache, but nobody can tell whether `model` (Model) is the same as before, since it is stored as other bytes each time: "
        "use the plain data in it, or leave --cache out."
    )


def test_a_name_that_is_not_bound_is_left_to_its_reader(kernel):
    assert kernel.capture("nothing") == {}


def test_os_path_itself_is_a_module(kernel):
    kernel.namespace["p"] = os.path
    assert kernel.capture("p")["p"].kind is CaptureKind.MODULE
