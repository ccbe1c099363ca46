# SPDX-License-Identifier: BSD-3-Clause
"""Where a thread stands when an interrupt would do harm."""

from __future__ import annotations

import importlib
import sys
import traceback
from contextlib import contextmanager
from types import SimpleNamespace

from nbflow.core.unbroken import Place, may_be_broken_off, unbroken


def here() -> bool:
    return may_be_broken_off([Place(frame.f_code.co_filename, frame.f_code.co_name) for frame, _ in traceback.walk_stack(sys._getframe(1))])


def test_a_marked_function_is_not_broken_off_nor_what_it_calls():
    def inner():
        return here()

    @unbroken
    def outer():
        return [inner()]

    assert inner()
    assert outer() == [False]


def test_of_a_block_the_beginning_and_the_end_are_not_broken_off():
    found = []

    @contextmanager
    @unbroken
    def block():
        found.append(here())
        try:
            yield
        finally:
            found.append(here())

    with block():
        assert here()
    assert found == [False, False]
    assert here()


def test_an_import_is_not_broken_off(tmp_path, monkeypatch):
    found = []
    monkeypatch.setitem(sys.modules, "asked_by_unbroken", SimpleNamespace(ask=lambda: found.append(here())))
    (tmp_path / "loaded_by_unbroken.py").write_text("from asked_by_unbroken import ask\nask()\n")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.import_module("loaded_by_unbroken")
    monkeypatch.delitem(sys.modules, "loaded_by_unbroken")
    assert found == [False]


def test_between_the_taking_of_a_lock_and_its_with_nothing_is_broken_off():
    found = []

    class Lock:
        def acquire(self):
            found.append(here())

        def release(self):
            found.append(here())

    class Block:
        def __enter__(self):
            found.append(here())

        def __exit__(self, *_):
            found.append(here())

    with Block():
        assert here()
    lock = Lock()
    lock.acquire()
    lock.release()
    assert found == [False] * 4
