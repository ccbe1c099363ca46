# SPDX-License-Identifier: BSD-3-Clause
"""Taking files away that nobody needs, while other processes store and read the same ones.

Whoever stores an artifact that is there already, or is about to refer to it, makes it new again; only old ones are discarded. Between the look
at its age and its end an artifact is called otherwise, so that whoever stores it in that instant writes it again.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

#: How a file is called between the look at its age and its end.
_LEAVING: Final = ".leaving"
#: Marks of the databases whose artifacts these are.
STAYS: Final = "database."
_HASH_LENGTH: Final = 64
_DIGITS: Final = frozenset("0123456789abcdef")


def renew(path: Path) -> bool:
    """Whether the file is there; it counts as new from now on."""
    try:
        os.utime(path)
    except FileNotFoundError:
        return False
    except PermissionError:  # another user's: a copy of our own is as good
        aside = path.with_name(f".{path.name}.{os.getpid()}.copy")
        with suppress(FileNotFoundError):
            aside.write_bytes(path.read_bytes())
            aside.replace(path)
        return path.is_file()
    return True


def discard(path: Path, before: datetime) -> bool:
    """Delete the file unless somebody stored or kept it since. Whether it is gone."""
    aside = path.with_name(f".{path.name}{_LEAVING}")
    try:
        if path.stat().st_mtime >= before.timestamp():
            return False
        path.rename(aside)
        if aside.stat().st_mtime >= before.timestamp():
            aside.replace(path)  # kept in this instant
            return False
    except FileNotFoundError:
        return not path.exists()
    aside.unlink(missing_ok=True)
    return True


def old_artifacts(folder: Path, before: datetime) -> Iterator[str]:
    """The hashes of the artifacts in this folder that nobody stored or kept since."""
    for entry in _entries(folder):
        if is_hash(entry.name) and _is_older(entry, before):
            yield entry.name


def leftovers(folder: Path, before: datetime) -> Iterator[Path]:
    """Half-written files that are older. A file whose end was interrupted is called by its name again."""
    for entry in _entries(folder):
        path = Path(entry.path)
        if not entry.name.startswith("."):
            continue
        if entry.name.endswith(_LEAVING):
            whole = path.with_name(entry.name.removesuffix(_LEAVING).removeprefix("."))
            with suppress(OSError):
                path.rename(whole)  # over a newer one of the same bytes, if there is one
        elif _is_older(entry, before):
            yield path


def old_files(folder: Path, before: datetime) -> list[Path]:
    """Files that are older by their last change of any kind: marks are links to one file, which each of them makes newer."""
    found = []
    for entry in _entries(folder):
        with suppress(FileNotFoundError):
            if not entry.name.startswith(STAYS) and entry.stat(follow_symlinks=False).st_ctime < before.timestamp():
                found.append(Path(entry.path))
    return found


def is_hash(name: str) -> bool:
    return len(name) == _HASH_LENGTH and _DIGITS.issuperset(name)


def unlink(paths: Iterable[Path]) -> int:
    """How many were there."""
    count = 0
    for path in paths:
        with suppress(FileNotFoundError):
            path.unlink()
            count += 1
    return count


def modified(files: Any, path: str) -> datetime | None:
    """When an object on an fsspec file system was written last; None where that cannot be known."""
    try:
        found = files.modified(path)
    except (NotImplementedError, KeyError, AttributeError, FileNotFoundError):
        return None
    if not isinstance(found, datetime):
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as found:
        yield from list(found)


def _is_older(entry: os.DirEntry[str], before: datetime) -> bool:
    try:
        return entry.stat(follow_symlinks=False).st_mtime < before.timestamp()
    except FileNotFoundError:
        return False
