# SPDX-License-Identifier: BSD-3-Clause
"""The executed notebook as it grows: papermill's manager, whose saves are atomic and, while cells run, not more frequent than useful.

papermill writes the whole file before and after each cell. Here a save that comes soon after another waits a moment; none is left out.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Any, Final, Protocol

import nbformat
from papermill.engines import NotebookExecutionManager
from papermill.iorw import write_ipynb

#: Seconds between two saves.
_PERIOD: Final = 0.25
#: While saving itself takes long, at most this part of the time goes into it.
_SHARE: Final = 0.1


class Handle(Protocol):
    """What `call_later` returns."""

    def cancel(self) -> None: ...


class SteadyManager(NotebookExecutionManager):  # type: ignore[misc] # papermill has no types
    """Saves at once unless `call_later` is set (by the execution, to its loop's); then it saves now or soon."""

    call_later: Callable[[float, Callable[[], None]], Handle] | None = None
    #: Called before the file is written.
    before_save: Callable[[], None] | None = None
    #: Every cell was executed: cells that never started may be called completed, as papermill does for those without code.
    came_to_the_end = False
    nb: Any
    _saved_at: float = float("-inf")
    _pause: float = _PERIOD
    _waiting: Handle | None = None

    def save(self, **kwargs: Any) -> None:
        """Keep the file up to date."""
        self.nb = kwargs.get("nb") or self.nb
        if self.call_later is None:
            self.save_now()
        elif self._waiting is None:
            self._waiting = self.call_later(max(0.0, self._saved_at + self._pause - monotonic()), self.save_now)

    def notebook_complete(self, **kwargs: Any) -> None:
        """As papermill's, except that cells which were never reached stay pending."""
        pending = [] if self.came_to_the_end else [cell for cell in self.nb.cells if _status(cell) == self.PENDING]
        super().notebook_complete(**kwargs)
        if pending:
            for cell in pending:
                cell.metadata["papermill"]["status"] = self.PENDING
            self.save_now()

    def save_now(self) -> None:
        """Write the file."""
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None
        began = monotonic()
        if self.before_save is not None:
            self.before_save()
        if self.output_path:
            write_notebook(self.nb, str(self.output_path))
        self._saved_at = monotonic()
        self._pause = max(_PERIOD, (self._saved_at - began) / _SHARE)
        self.last_save_time = self.now()


def _status(cell: Any) -> str:
    return str(cell.metadata.get("papermill", {}).get("status", ""))


def write_notebook(nb: Any, path: str) -> None:
    """Write it, whole or not at all where it is a local file; anything else goes through papermill's handlers."""
    if path == "-" or "://" in path or not Path(path).is_absolute():
        write_ipynb(nb, path)
        return
    target = Path(path).resolve()  # a link stays a link
    draft = target.with_name(f".{target.name}.{os.getpid()}.{threading.get_ident()}.part")  # one process may host a run twice for a moment
    text = nbformat.writes(nb)
    try:
        draft.write_text(text, encoding="utf-8")
        if target.exists():
            shutil.copymode(target, draft)
        draft.replace(target)
    except PermissionError:  # the file may be written but nothing may be created beside it
        write_ipynb(nb, path)
    finally:
        draft.unlink(missing_ok=True)
