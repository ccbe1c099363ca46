# SPDX-License-Identifier: BSD-3-Clause
"""Where threads stand."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nbflow.core.unbroken import Place, may_be_broken_off
from nbflow.executors.standing import standing


def written(name: str, source: str, **known: Any) -> Callable[[], None]:
    """The function `f` of a source that stands in a file of this name."""
    namespace: dict[str, Any] = dict(known)
    exec(compile(source, name, "exec"), namespace)
    function: Callable[[], None] = namespace["f"]
    return function


@pytest.mark.parametrize("name", ["plain.py", '/home/Jürgen €/a "b".py', "𝄞.py"])
def test_a_thread_stands_in_its_functions(name: str) -> None:
    begun, waited_for = threading.Event(), threading.Event()
    source = "def f():\n    grüße()\ndef grüße():\n    begun.set()\n    waited_for.wait()\n"
    thread = threading.Thread(target=written(name, source, begun=begun, waited_for=waited_for))
    thread.start()
    assert begun.wait(60)
    stack = standing(thread.ident or 0)
    assert stack[-1].function == "_bootstrap"
    assert [place.function for place in stack if place.file == name] == ["grüße", "f"]
    waited_for.set()
    thread.join()
    assert standing(thread.ident or 0) == []


def test_the_thread_that_asks_stands_here() -> None:
    here = standing(threading.get_ident())
    assert Place(__file__, "test_the_thread_that_asks_stands_here") in here
    assert Path(here[0].file).name == "standing.py"


def test_a_thread_that_waits_for_another_may_be_broken_off() -> None:
    waited_for, stack = threading.Event(), list[Place]()
    thread = threading.Thread(target=waited_for.wait)
    thread.start()
    while not (stack and stack[0] == Place(threading.__file__, "wait")):
        stack = standing(thread.ident or 0)
    assert may_be_broken_off(stack)
    waited_for.set()
    thread.join()
    assert may_be_broken_off(standing(thread.ident or 0))
