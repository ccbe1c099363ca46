# SPDX-License-Identifier: BSD-3-Clause
"""Functions that an interrupt must not break off: half of what they do would stay with the process for ever.

Where attempts are threads of a process that lives on, they are ended by an exception that Python raises between any two steps of theirs.
"""

from __future__ import annotations

from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

_marked: set[CodeType] = set()
#: The steps between which a lock is taken, or not any more, while no `with` or `finally` answers for it.
_TAKING = frozenset({"__enter__", "__exit__", "acquire", "release", "_acquireLock", "_releaseLock", "_acquire_restore", "_release_save"})
#: Where Python holds the locks of modules, and has half of one loaded. Some libraries cannot be loaded twice.
_IMPORTING = "<frozen importlib"


def unbroken(function: F) -> F:
    """Mark it. Of a generator this holds while it runs, not while it waits at its `yield`."""
    _marked.add(function.__code__)
    return function


def may_be_broken_off(frame: FrameType | None) -> bool:
    """Whether an interrupt does no harm to a thread that stands here; the frame is its innermost one."""
    if frame is None:
        return True
    if frame.f_code.co_name in _TAKING:
        return False
    while frame is not None:
        if frame.f_code in _marked or frame.f_code.co_filename.startswith(_IMPORTING):
            return False
        frame = frame.f_back
    return True
