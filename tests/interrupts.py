# SPDX-License-Identifier: BSD-3-Clause
"""Ctrl-C between any two steps."""

from __future__ import annotations

import dis
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

#: After these Python looks whether a signal has come.
_LOOKS = ("CALL", "RESUME", "JUMP_BACKWARD")


def interrupted(work: Callable[[], object], step: int, just_before: Callable[[], object] = lambda: None) -> bool:
    """Do it in a thread that is interrupted at this step, the first of which is 1, and what happens `just_before`. False when it has fewer."""
    left = step
    before: dict[FrameType, int] = {}

    def trace(frame: FrameType, kind: str, _: object) -> Any:
        nonlocal left
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        if kind == "opcode":
            last, before[frame] = before.get(frame), frame.f_lasti
            if last is not None and dis.opname[frame.f_code.co_code[last]].startswith(_LOOKS):
                left -= 1
                if left == 0:
                    just_before()
                    raise KeyboardInterrupt
        return trace

    def do() -> None:
        sys.settrace(trace)
        try:
            work()
        except KeyboardInterrupt:
            pass
        finally:
            sys.settrace(None)

    thread = threading.Thread(target=do, daemon=True)
    thread.start()
    thread.join()
    return left <= 0
