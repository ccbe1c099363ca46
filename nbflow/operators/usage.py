# SPDX-License-Identifier: BSD-3-Clause
"""What an attempt cost: processor time and the peak of resident memory, of this process."""

from __future__ import annotations

import os
import resource
from contextlib import suppress
from typing import Final

_STATUS: Final = "/proc/self/status"
_RESET: Final = "/proc/self/clear_refs"


class Usage:
    """Measures from its creation on."""

    def __init__(self) -> None:
        self._cpu = _cpu_seconds()
        with suppress(OSError):
            reset = os.open(_RESET, os.O_WRONLY)
            try:
                os.write(reset, b"5")  # the kernel forgets the peak of earlier attempts in this process
            finally:
                os.close(reset)

    @property
    def cpu_seconds(self) -> float:
        """Of this process and of its children that have ended."""
        return max(0.0, _cpu_seconds() - self._cpu)

    @property
    def peak_bytes(self) -> int:
        """0 where the system does not say."""
        with suppress(OSError, ValueError, IndexError):
            status = os.open(_STATUS, os.O_RDONLY)
            try:
                return int(os.read(status, 1 << 14).partition(b"VmHWM:")[2].split(None, 1)[0]) * 1024
            finally:
                os.close(status)
        return 0


def _cpu_seconds() -> float:
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in spent)
