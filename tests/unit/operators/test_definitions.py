# SPDX-License-Identifier: BSD-3-Clause
"""Functions and classes of the notebook are referred to by name and executed where they are needed."""

import functools
import pickle
import sys
import traceback
import types

import pytest

from nbflow.core.errors import UserError
from nbflow.core.job import Capture, CaptureKind
from nbflow.core.model import CellRef
from nbflow.operators.definitions import DefinitionTable, dependency_order
from nbflow.operators.values import decode, encode, install_captures, store
from nbflow.store.artifacts import open_artifacts


@pytest.fixture
def main(monkeypatch):
    """A fresh `__main__`, as an attempt has."""
    module = types.ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", module)
    return module


@pytest.fixture
def artifacts(tmp_path):
    return open_artifacts(str(tmp_path))


def defined(name, source, *, needs=(), number=0, line=0):
    return Capture(name=name, kind=CaptureKind.DEFINITION, source=source, needs=needs, cell=CellRef(number=number), line=line)


def captures(*given):
    return {capture.name: capture for capture in given}


def install(main, artifacts, *given):
    install_captures(captures(*given), main.__dict__, artifacts)
    return DefinitionTable.from_captures(captures(*given))


POINT = defined("Point", "class Point:\n    def __init__(self, x): self.x = x\n    class Inner: pass")


def test_an_instance_is_pickled_with_the_name_of_its_class_only(main, artifacts):
    table = install(main, artifacts, POINT)
    ref, data = encode(main.Point(3), definitions=table)
    assert ref.needs == ("Point",)
    assert len(data) < 100
    assert type(decode(store(main.Point(3), artifacts, definitions=table), artifacts)) is main.Point


def test_the_same_bytes_are_read_with_a_definition_executed_anew(main, artifacts, monkeypatch):
    table = install(main, artifacts, POINT)
    ref = store([main.Point(3), main.Point.Inner()], artifacts, definitions=table)
    other = types.ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", other)
    install(other, artifacts, POINT)
    point, inner = decode(ref, artifacts)
    assert isinstance(point, other.Point)
    assert isinstance(inner, other.Point.Inner)
    assert not isinstance(point, main.Point)


def test_an_unknown_class_travels_by_value(main, artifacts):
    install(main, artifacts, POINT)
    ref = store(main.Point(3), artifacts)
    assert ref.needs == ()
    del main.Point
    assert decode(ref, artifacts).x == 3


def test_a_class_that_was_replaced_travels_by_value(main, artifacts):
    table = install(main, artifacts, POINT)
    old = main.Point(3)
    install(main, artifacts, POINT)
    assert encode(old, definitions=table)[0].needs == ()


def test_what_a_decorator_made_is_found_by_its_name(main, artifacts):
    twice = defined("twice", "def twice(f):\n    return lambda x: 2 * f(x)")
    double = defined("double", "@twice\ndef double(x):\n    return x", needs=("twice",))
    table = install(main, artifacts, double, twice)
    ref = store({"f": main.double}, artifacts, definitions=table)
    assert ref.needs == ("double",)
    assert decode(ref, artifacts)["f"] is main.double


def test_a_cached_function_is_found_by_its_name(main, artifacts):
    main.functools = functools
    table = install(main, artifacts, defined("slow", "@functools.cache\ndef slow(x):\n    return x"))
    ref = store(main.slow, artifacts, definitions=table)
    assert ref.needs == ("slow",)
    assert decode(ref, artifacts) is main.slow


def test_a_lambda_carries_itself_and_names_what_it_calls(main, artifacts):
    table = install(main, artifacts, POINT)
    exec("make = lambda x: Point(x)", main.__dict__)
    ref = store(main.make, artifacts, definitions=table)
    assert ref.needs == ("Point",)
    assert isinstance(decode(ref, artifacts)(1), main.Point)


def test_what_is_needed_is_installed_first(main, artifacts):
    child = defined("Child", "class Child(Base):\n    limit = LIMIT", needs=("Base", "LIMIT"))
    limit = Capture(name="LIMIT", kind=CaptureKind.VALUE, value=store(5, artifacts))
    made = {"Child": child, "LIMIT": limit, "Base": defined("Base", "class Base: pass")}
    assert dependency_order(made).index("Child") == 2
    install_captures(made, main.__dict__, artifacts)
    assert main.Child.limit == 5


def test_a_value_comes_after_the_class_it_is_made_of(main, artifacts):
    table = install(main, artifacts, POINT)
    origin = Capture(name="origin", kind=CaptureKind.VALUE, value=store(main.Point(0), artifacts, definitions=table))
    main.__dict__.clear()
    install_captures({"origin": origin, "Point": POINT}, main.__dict__, artifacts)
    assert isinstance(main.origin, main.Point)


def test_definitions_that_need_each_other_are_both_installed(main, artifacts):
    helper = defined("helper", "def helper(x: Foo) -> int:\n    return 1", needs=("Foo",))
    foo = defined("Foo", "class Foo:\n    def go(self): return helper(self)", needs=("helper",))
    for order in ((helper, foo), (foo, helper)):
        main.__dict__.clear()
        install(main, artifacts, *order)
        assert main.Foo().go() == 1


def test_definitions_that_can_never_be_defined_are_named(main, artifacts):
    with pytest.raises(UserError, match=r"A, B need each other|B, A need each other"):
        install(main, artifacts, defined("A", "class A(B): pass", needs=("B",)), defined("B", "class B(A): pass", needs=("A",)))


def test_modules_and_attributes_are_imported(main, artifacts):
    install(
        main,
        artifacts,
        Capture(name="osp", kind=CaptureKind.MODULE, module="os.path"),
        Capture(name="sqrt", kind=CaptureKind.ATTRIBUTE, module="math", attribute="sqrt"),
        Capture(name="conn", kind=CaptureKind.UNSENDABLE, reason="a connection"),
    )
    assert main.osp.join("a", "b") == "a/b"
    assert main.sqrt(4) == 2
    assert not hasattr(main, "conn")


def test_a_traceback_shows_the_definitions_own_cell_and_line(main, artifacts):
    install(main, artifacts, defined("divide", "def divide(x):\n    return 1 / x", number=7, line=5))
    with pytest.raises(ZeroDivisionError) as caught:
        main.divide(0)
    last = traceback.extract_tb(caught.value.__traceback__)[-1]
    assert (last.filename, last.lineno, last.line) == ("<cell 7 divide>", 6, "return 1 / x")


def test_the_bytes_are_an_ordinary_pickle(main, artifacts):
    table = install(main, artifacts, POINT)
    assert pickle.loads(encode(main.Point(3), definitions=table)[1]).x == 3
