# SPDX-License-Identifier: BSD-3-Clause
"""A stored version laid out as files: the notebook or the Python file, the modules it imports as they were, and links to all else of its folder.

The links are for modules that look for data beside themselves: data files are read live.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from nbflow.app import Workspace
from nbflow.app.reading import file_in_root
from nbflow.core.errors import SetupError
from nbflow.core.records import RunRecord


@dataclass(frozen=True, kw_only=True)
class Stored:
    """Where it lies."""

    #: The notebook, or the `.py` file.
    file: Path
    #: Where its imports begin.
    folder: Path


def lay_out(workspace: Workspace, run: RunRecord) -> Stored:
    """The files of the run's version, in the home; made once, by whoever needs them first. Raises SetupError."""
    name = file_in_root(workspace.flow_of(run))
    origin = Path(run.path).parents[len(name.parts) - 1]
    folder = workspace.settings.home / "versions" / run.version[:32]
    files = workspace.store.files(run.version)
    try:
        if not (folder / name).is_file():
            _write(folder, {**files, name.as_posix(): workspace.store.source(run.version)})
        os.utime(folder)  # old ones are swept away
        _link_the_rest(folder, origin, {name.as_posix(), *files})
    except OSError as error:
        raise SetupError(f"The stored version of {run.flow} cannot be laid out in {folder}: {error.strerror or error}.") from None
    return Stored(file=folder / name, folder=folder)


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    """All of them or none, whoever else does the same."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f"{folder.name}.", dir=folder.parent))
    try:
        for name, data in files.items():
            place = aside / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)
        if not folder.exists():
            with contextlib.suppress(OSError):  # somebody else was quicker
                aside.rename(folder)
                return
        for name, data in files.items():  # the same version under another file's name
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            if not (folder / name).exists():
                (folder / name).write_bytes(data)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _link_the_rest(folder: Path, origin: Path, files: Iterable[str]) -> None:
    inside = {Path(), *(parent for name in files for parent in Path(name).parents)}
    for place in inside:
        if not (origin / place).is_dir():
            continue
        for entry in os.scandir(origin / place):
            link = folder / place / entry.name
            if not os.path.lexists(link) and not entry.name.startswith((".", "__pycache__")):
                with contextlib.suppress(OSError):  # somebody else was quicker, or the file system has no links
                    link.symlink_to(entry.path)
