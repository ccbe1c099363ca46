# SPDX-License-Identifier: BSD-3-Clause
"""Which modules of the user a child has loaded, and whether their files changed since: then the child must not be used again."""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Iterable
from types import ModuleType
from typing import Final

from nbflow.executors.frames import FileStamp

#: A file's time is that of the kernel's last tick, which may lie this much in the past.
_COARSE_NS: Final = 20_000_000


class UserModules:
    """Watches `sys.modules` of this process; looks only at what was imported since the last look."""

    def __init__(self) -> None:
        paths = sysconfig.get_paths()
        own = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120 - strings are compared below
        roots = {paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")} | {own}
        self._installed = tuple(os.path.realpath(root) + os.sep for root in roots)
        self._seen = set(sys.modules)
        #: In the order imported: comparing this costs nothing, while nearly always there is nothing new.
        self._order = list(sys.modules)
        self._stamps: dict[str, FileStamp] = {}

    def note(self, since_ns: int) -> str:
        """Stamp what was imported. Returns the path of a file that changed after `since_ns`, when the job began: nobody knows which text ran."""
        stale = ""
        order = list(sys.modules)
        if order == self._order:
            return stale
        self._order = order
        for name in set(sys.modules) - self._seen:
            self._seen.add(name)
            path = self._user_file(sys.modules.get(name))
            stamp = stamp_of(path) if path else None
            if stamp:
                self._stamps[path] = stamp
                if stamp.mtime_ns > since_ns - _COARSE_NS:
                    stale = path
        return stale

    def stamps(self) -> tuple[FileStamp, ...]:
        return tuple(self._stamps.values())

    def _user_file(self, module: ModuleType | None) -> str:
        path = getattr(module, "__file__", None)
        if not isinstance(path, str) or not path:
            return ""
        return "" if os.path.realpath(path).startswith(self._installed) else path


def stamp_of(path: str) -> FileStamp | None:
    """The file now; None when it is gone."""
    try:
        status = os.stat(path)  # noqa: PTH116 - called for each module before each job: no Path objects
    except OSError:
        return None
    return FileStamp(path=path, mtime_ns=status.st_mtime_ns, size=status.st_size)


def unchanged(stamps: Iterable[FileStamp]) -> bool:
    """Whether every file is as it was."""
    return all(stamp_of(stamp.path) == stamp for stamp in stamps)
