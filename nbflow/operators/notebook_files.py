# SPDX-License-Identifier: BSD-3-Clause
"""Where an executed notebook may be written: light enough to be asked before anything is started."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from nbflow.core.errors import UserError

#: Of the cell in which papermill sets parameters.
_INJECTED: Final = "injected-parameters"


def require_writable(target: Path, source: Path) -> None:
    """Raises UserError when the executed notebook cannot be at `target`; folders above it may still have to be made."""
    if target.is_dir():
        raise UserError(f"{target} is a folder: give the executed notebook a file name.")
    if target.resolve() == source.resolve():
        raise UserError(f"{target} is the notebook itself: write the executed notebook to another file.")
    above = next(folder for folder in target.absolute().parents if folder.exists())
    if not above.is_dir():
        raise UserError(f"{target} cannot be written: {above} is a file, not a folder.")
    if not os.access(target if target.exists() else above, os.W_OK):
        raise UserError(f"{target} cannot be written: permission denied.")


def number_in_file(cells: Sequence[Any], index: int, path: str) -> int:
    """The number by which a person knows cell `index` of the executed notebook: from 1, without the cell papermill put in.

    That cell counts in a file that has it itself, since it was executed before.
    """
    injected = next((place for place, cell in enumerate(cells) if _is_injected(cell)), None)
    is_shifted = injected is not None and injected <= index and not _has_injected(path)
    return max(1, index + (0 if is_shifted else 1))


def _is_injected(cell: Any) -> bool:
    return _INJECTED in cell.get("metadata", {}).get("tags", ())


def _has_injected(path: str) -> bool:
    try:
        return any(map(_is_injected, json.loads(Path(path).read_text(encoding="utf-8"))["cells"]))
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return False  # of standard input or a URL
