# SPDX-License-Identifier: BSD-3-Clause
"""What files there are at a path, a pattern or an fsspec URL of either, and what each looks like."""

from __future__ import annotations

import glob
import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from nbflow.core.errors import SetupError
from nbflow.core.watching import Thing

#: What file systems call a mark of the content, and the instant of the last change; the first that is there counts.
_MARKS: Final = ("ETag", "etag", "md5Hash", "md5", "content_md5", "checksum", "crc32c")
_TIMES: Final = ("mtime", "LastModified", "last_modified", "updated", "modified", "Last-Modified", "created")


def find_files(url: str) -> dict[str, Thing]:
    """The files (and folders, which only appear), by their path. Raises SetupError when nobody can look there."""
    try:
        from fsspec.core import url_to_fs  # noqa: PLC0415 - only what looks at files needs it

        system, path = url_to_fs(url)
        system.invalidate_cache()
        found = system.glob(path, detail=True) if glob.has_magic(path) else {path: system.info(path)}
    except FileNotFoundError:
        return {}
    except ImportError as error:
        raise SetupError(f"{url} cannot be looked at here: {error}.") from None
    except Exception as error:  # file systems raise what they like
        raise SetupError(
            f"{url} cannot be looked at: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no reason said'}"
        ) from error
    return {system.unstrip_protocol(str(name)).removeprefix("file://"): thing_of(info) for name, info in found.items()}


def thing_of(info: Mapping[str, Any]) -> Thing:
    """What the file system says of one file, as a signature and an instant."""
    if info.get("type") == "directory":
        return Thing(signature="folder", at=_instant(info))
    mark = next((str(info[name]) for name in _MARKS if info.get(name)), "")
    changed = next((str(info[name]) for name in _TIMES if info.get(name) is not None), "")
    text = f"{info.get('size')}|{mark or changed}"
    return Thing(signature=hashlib.sha256(text.encode()).hexdigest()[:16], at=_instant(info))


def _instant(info: Mapping[str, Any]) -> datetime | None:
    """When it came to be as it is. A local file that was moved here keeps its time of change: then the time it was moved counts."""
    found = [instant for name in _TIMES if (instant := _as_instant(info.get(name))) is not None]
    return max(found, default=None)


def _as_instant(value: Any) -> datetime | None:
    if isinstance(value, datetime):
        return value if value.tzinfo else value.replace(tzinfo=UTC)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return datetime.fromtimestamp(value, UTC)
    try:
        return _as_instant(datetime.fromisoformat(value)) if isinstance(value, str) else None
    except ValueError:
        return None
