# SPDX-License-Identifier: BSD-3-Clause
"""Where a thread of this process stands."""

from __future__ import annotations

import contextlib
import faulthandler
import re
import tempfile

from nbflow.core.unbroken import Place

_THREAD = re.compile(r"(?:Thread|Current thread) 0x([0-9a-f]+) ")
_PLACE = re.compile(r'  File "(.*)", line \S+ in (.*)')


def standing(ident: int) -> list[Place]:
    """The innermost function first, a hundred at most; nothing when the thread is over, or there is no room for a file.

    A thread that runs goes on between two looks at its frames, and what Python 3.11 gives for a frame that was left may be anything. faulthandler looks at
    all in one step, and makes no frame objects.
    """
    found: list[Place] = []
    is_it = False
    for line in _all_stacks().splitlines():
        if thread := _THREAD.match(line):
            is_it = int(thread[1], 16) == ident
        elif is_it and (place := _PLACE.fullmatch(line)):
            found.append(Place(_unescaped(place[1]), _unescaped(place[2])))
    return found


def _all_stacks() -> str:
    with contextlib.suppress(OSError), tempfile.TemporaryFile() as file:
        faulthandler.dump_traceback(file, all_threads=True)
        file.seek(0)
        return file.read().decode("ascii", "replace")
    return ""


def _unescaped(text: str) -> str:
    """What is not ASCII is written as `\\xfc`, `\\u20ac`."""
    return re.sub(r"\\(?:x([0-9a-f]{2})|u([0-9a-f]{4})|U([0-9a-f]{8}))", lambda found: chr(int(found[1] or found[2] or found[3], 16)), text)
