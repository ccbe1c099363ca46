# SPDX-License-Identifier: BSD-3-Clause
"""Where an executed notebook may be written: light enough to be asked before anything is started."""

from __future__ import annotations

import os
from pathlib import Path

from nbflow.core.errors import UserError


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
