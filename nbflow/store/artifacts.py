# SPDX-License-Identifier: BSD-3-Clause
"""Where large values live: bytes under their hash, and small named marks, in a folder or on any fsspec URL.

    <root>/3f/3f9a...        an artifact, in a folder named by the first two digits of its sha256
    <root>/marks/<name>      a mark, such as `<token>.started`
    <root>/manifests/...     how attempts ended, many in a file

Children of workers import this module at their start, so it imports neither SQLAlchemy nor, before a URL asks for it, fsspec.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from nbflow.core.errors import SetupError
from nbflow.core.protocols import ArtifactStore
from nbflow.store import sweeping
from nbflow.store.manifests import Manifests

_HASH: Final = re.compile(r"[0-9a-f]{64}")
_MARK: Final = re.compile(r"[A-Za-z0-9_~:+-][A-Za-z0-9_.~:+-]{0,250}")
#: How the folders of artifacts are called.
PREFIXES: Final = tuple(f"{number:02x}" for number in range(256))
#: An object that is older is written again when it is stored or kept: there is no other way to make it new.
_NEW: Final = timedelta(hours=6)
#: Seconds for which one nameless file is linked to: its marks look as new as the newest of them.
_ONE_FILE: Final = 3600.0
#: Where writing one object is atomic by itself: a reader sees all of it or nothing.
_WHOLE_OBJECTS: Final = frozenset({"memory", "s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oss", "oci", "hf"})


def open_artifacts(url: str) -> ArtifactStore:
    """The artifacts at `url`: a plain path or `file://` is a folder, anything else an fsspec URL.

    Raises SetupError when nothing can be kept there.
    """
    parts = urlsplit(url)
    if parts.scheme == "file":
        return FolderArtifacts(Path(unquote(parts.path)))
    if "://" not in url:
        return FolderArtifacts(Path(url))
    return RemoteArtifacts(url)


class FolderArtifacts:
    """Artifacts in a folder that every worker reaches. A file appears whole under its name (written aside, then renamed).

    Nothing is forced to disk: after a power cut a file may be short, which `put` heals and `get` refuses.
    """

    def __init__(self, folder: Path) -> None:
        self._root = folder.expanduser().absolute()
        self._marks = self._root / "marks"
        self._links = _Links(self._marks)
        self._manifests = Manifests(self._root / "manifests")
        self.url = str(self._root)
        with _sentences(self.url):
            self._marks.mkdir(parents=True, exist_ok=True)

    def put(self, data: bytes) -> str:
        hash = hashlib.sha256(data).hexdigest()
        path = self._path(hash)
        with _sentences(self.url):
            if not (_has_size(path, len(data)) and sweeping.renew(path)):
                self._write(path, data)
        return hash

    def get(self, hash: str) -> bytes:
        with _sentences(self.url):
            try:
                data = self._path(hash).read_bytes()
            except FileNotFoundError:
                raise _missing(hash, self.url) from None
        return _verified(data, hash, self.url)

    def has(self, hash: str) -> bool:
        return self._path(hash).is_file()

    def keep(self, hash: str) -> bool:
        with _sentences(self.url):
            return sweeping.is_hash(hash) and sweeping.renew(self._path(hash))

    def delete(self, hash: str) -> None:
        with _sentences(self.url):
            self._path(hash).unlink(missing_ok=True)

    def discard(self, hash: str, before: datetime) -> bool:
        with _sentences(self.url):
            return sweeping.discard(self._path(hash), before)

    def stored(self, digits: str, before: datetime) -> tuple[str, ...]:
        with _sentences(self.url):
            return tuple(sweeping.old_artifacts(self._root / digits, before))

    def sweep(self, before: datetime) -> int:
        with _sentences(self.url):
            folders = [self._root / digits for digits in PREFIXES]
            count = sum(sweeping.unlink(sweeping.leftovers(folder, before)) for folder in folders)
            return count + sum(sweeping.unlink(sweeping.old_files(folder, before)) for folder in (self._marks, self._root / "manifests"))

    def marks(self, beginning: str) -> tuple[str, ...]:
        with _sentences(self.url):
            return tuple(sorted(path.name for path in self._marks.iterdir() if path.name.startswith(beginning)))

    def mark(self, name: str, data: bytes = b"") -> bool:
        path = f"{self._marks}/{_checked(name)}"
        with _sentences(self.url):
            made = self._links.make(path, data)
            if made is not None:
                return made
            try:
                handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
            except FileExistsError:
                return False
            with os.fdopen(handle, "wb") as file:
                file.write(data)
        return True

    def write_mark(self, name: str, data: bytes) -> None:
        with _sentences(self.url):
            self._write(self._marks / _checked(name), data)

    def read_mark(self, name: str) -> bytes | None:
        with _sentences(self.url):
            try:
                return (self._marks / _checked(name)).read_bytes()
            except FileNotFoundError:
                return None

    def delete_mark(self, name: str) -> None:
        with _sentences(self.url):
            (self._marks / _checked(name)).unlink(missing_ok=True)

    def keep_manifest(self, token: str, data: bytes) -> None:
        with _sentences(self.url):
            self._manifests.keep(_checked(token), data)

    def manifest(self, token: str) -> bytes | None:
        with _sentences(self.url):
            try:
                started = (self._marks / _checked(f"{token}.started")).stat().st_mtime
            except FileNotFoundError:
                return None
            return self._manifests.find(token, started)

    def _path(self, hash: str) -> Path:
        return self._root / _fanned(hash, self.url)

    def _write(self, path: Path, data: bytes) -> None:
        aside = path.parent / f".{path.name[:64]}.{uuid.uuid4().hex}"
        try:
            try:
                aside.write_bytes(data)
            except FileNotFoundError:
                path.parent.mkdir(parents=True, exist_ok=True)
                aside.write_bytes(data)
            aside.replace(path)
        except OSError:
            with suppress(OSError):
                aside.unlink()
            raise


class _Links:
    """Marks that say the same are links to one nameless file, where the system has such: as exclusive as a file of their own, in a tenth of its time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._can = hasattr(os, "O_TMPFILE")
        self._lock = threading.Lock()
        self._file = -1
        self._process, self._text, self._identity = 0, b"", os.stat_result(range(10))
        self._began = 0.0

    def make(self, path: str, data: bytes) -> bool | None:
        """True: made. False: there is one already. None: it has to be made in another way."""
        if not self._can:
            return None
        with self._lock:
            try:
                handle = self._handle(data)
                os.link(f"/proc/self/fd/{handle}", path, src_dir_fd=handle)  # a descriptor makes Python follow the first path to the file
            except FileExistsError:
                return False
            except OSError:  # too many links to one file, a folder that went away, a full disk: making a file succeeds or says why
                self._let_go()
                return None
        return True

    def _handle(self, data: bytes) -> int:
        if not self._is_ours() or self._text != data or time.monotonic() - self._began > _ONE_FILE:
            self._let_go()
            try:
                self._file = os.open(self._folder, os.O_TMPFILE | os.O_WRONLY, 0o666)
            except OSError:
                self._can = False
                raise
            os.write(self._file, data)
            self._process, self._text, self._identity = os.getpid(), data, os.fstat(self._file)
            self._began = time.monotonic()
        return self._file

    def _is_ours(self) -> bool:
        """Not after a fork, and not when user code closed what it did not know."""
        if self._file < 0 or self._process != os.getpid():
            return False
        try:
            return os.path.samestat(os.fstat(self._file), self._identity)
        except OSError:
            return False

    def _let_go(self) -> None:
        if self._is_ours():
            os.close(self._file)
        self._file = -1


class RemoteArtifacts:
    """Artifacts on an fsspec file system.

    Object stores write an object whole; elsewhere (sftp, hdfs, smb) a file is written aside and moved. `mark` uses the exclusive create mode
    `xb`. Where a file system has none, it looks first and then writes: two processes that mark the same name within one round trip may
    then both be told True. nbflow marks a token in one process only, so this needs a hand-over that was delivered twice at one instant.
    """

    def __init__(self, url: str) -> None:
        import fsspec  # noqa: PLC0415 - costs 30 ms, and a folder does not need it

        self.url = url.rstrip("/")
        try:
            # A listing that was kept would hide what other processes have stored since.
            self._files, root = fsspec.core.url_to_fs(self.url, use_listings_cache=False)
        except (ValueError, ImportError) as error:
            raise SetupError(f'artifacts_url "{self.url}" cannot be used: {_line(error)}') from error
        self._root = root.rstrip("/")
        protocol = self._files.protocol
        names = {protocol} if isinstance(protocol, str) else set(protocol)
        self._is_whole = bool(names & _WHOLE_OBJECTS)

    def put(self, data: bytes) -> str:
        hash = hashlib.sha256(data).hexdigest()
        path = self._path(hash)
        with _sentences(self.url):
            if self._size(path) != len(data) or self._is_old(path, datetime.now(UTC) - _NEW):
                self._write(path, data)
        return hash

    def get(self, hash: str) -> bytes:
        with _sentences(self.url):
            try:
                data = bytes(self._files.cat_file(self._path(hash)))
            except FileNotFoundError:
                raise _missing(hash, self.url) from None
        return _verified(data, hash, self.url)

    def has(self, hash: str) -> bool:
        with _sentences(self.url):
            return self._size(self._path(hash)) is not None

    def keep(self, hash: str) -> bool:
        with _sentences(self.url):
            if not sweeping.is_hash(hash) or self._size(path := self._path(hash)) is None:
                return False
            if self._is_old(path, datetime.now(UTC) - _NEW):
                self._write(path, self.get(hash))
        return True

    def delete(self, hash: str) -> None:
        self._remove(self._path(hash))

    def discard(self, hash: str, before: datetime) -> bool:
        path = self._path(hash)
        with _sentences(self.url):
            if self._size(path) is not None and not self._is_old(path, before):
                return False
        self._remove(path)
        return True

    def stored(self, digits: str, before: datetime) -> tuple[str, ...]:
        with _sentences(self.url):
            paths = [path for path in self._names(digits) if sweeping.is_hash(path.rpartition("/")[2])]
            return tuple(path.rpartition("/")[2] for path in paths if self._is_old(path, before))

    def sweep(self, before: datetime) -> int:
        with _sentences(self.url):
            halves = [] if self._is_whole else [path for digits in PREFIXES for path in self._names(digits) if _is_half(path)]
            marks = [path for path in self._names("marks") if not path.rpartition("/")[2].startswith(sweeping.STAYS)]
            gone = [path for path in (*marks, *halves) if self._is_old(path, before)]
        for path in gone:
            self._remove(path)
        return len(gone)

    def marks(self, beginning: str) -> tuple[str, ...]:
        with _sentences(self.url):
            names = (path.rpartition("/")[2] for path in self._names("marks"))
            return tuple(sorted(name for name in names if name.startswith(beginning)))

    def _names(self, folder: str) -> list[str]:
        try:
            return [str(info["name"]) for info in self._files.ls(f"{self._root}/{folder}", detail=True) if info["type"] == "file"]
        except FileNotFoundError:
            return []

    def _is_old(self, path: str, before: datetime) -> bool:
        """False where the file system does not say: then nothing is discarded either."""
        written = sweeping.modified(self._files, path)
        return written is not None and written < before

    def mark(self, name: str, data: bytes = b"") -> bool:
        path = self._mark(name)
        with _sentences(self.url):
            if not self._is_whole:
                self._files.makedirs(self._files._parent(path), exist_ok=True)  # noqa: SLF001 - fsspec's own name for it, used across file systems
            try:
                with self._files.open(path, "xb") as file:
                    file.write(data)
            except FileExistsError:
                return False
            except (ValueError, NotImplementedError):
                if self._size(path) is not None:
                    return False
                self._write(path, data)
        return True

    def write_mark(self, name: str, data: bytes) -> None:
        with _sentences(self.url):
            self._write(self._mark(name), data)

    def read_mark(self, name: str) -> bytes | None:
        with _sentences(self.url):
            try:
                return bytes(self._files.cat_file(self._mark(name)))
            except FileNotFoundError:
                return None

    def delete_mark(self, name: str) -> None:
        self._remove(self._mark(name))

    def keep_manifest(self, token: str, data: bytes) -> None:
        self.write_mark(f"{token}.manifest", data)

    def manifest(self, token: str) -> bytes | None:
        return self.read_mark(f"{token}.manifest")

    def _path(self, hash: str) -> str:
        return f"{self._root}/{_fanned(hash, self.url)}"

    def _mark(self, name: str) -> str:
        return f"{self._root}/marks/{_checked(name)}"

    def _size(self, path: str) -> int | None:
        """Bytes of the file, None when there is none."""
        try:
            info: dict[str, Any] = self._files.info(path)
        except FileNotFoundError:
            return None
        return int(info["size"] or 0) if info["type"] == "file" else None

    def _write(self, path: str, data: bytes) -> None:
        if self._is_whole:
            self._files.pipe_file(path, data)
            return
        self._files.makedirs(self._files._parent(path), exist_ok=True)  # noqa: SLF001 - as in mark()
        aside = f"{path}.{uuid.uuid4().hex}"
        self._files.pipe_file(aside, data)
        self._files.mv(aside, path)

    def _remove(self, path: str) -> None:
        with _sentences(self.url), suppress(FileNotFoundError):
            self._files.rm_file(path)


def _fanned(hash: str, url: str) -> str:
    """Where the artifact stands below the root. A word that is no hash cannot name a file elsewhere."""
    if not _HASH.fullmatch(hash):
        raise _missing(hash, url)
    return f"{hash[:2]}/{hash}"


def _is_half(path: str) -> bool:
    """Written aside, and never moved to where it belongs."""
    return sweeping.is_hash(path.rpartition("/")[2].partition(".")[0]) and "." in path.rpartition("/")[2]


def _checked(name: str) -> str:
    """`name` as a file name. Raises ValueError when it could name another folder."""
    if not _MARK.fullmatch(name):
        raise ValueError(f"{name!r} cannot be the name of a mark")
    return name


def _has_size(path: Path, size: int) -> bool:
    try:
        return path.stat().st_size == size
    except FileNotFoundError:
        return False


def _missing(hash: str, url: str) -> SetupError:
    return SetupError(
        f"The stored value {hash[:12]} is missing from {url}: run the task that gave it again, or restore the folder from a backup. "
        "(Where the setting retention says artifacts, values go after that time.)"
    )


def _verified(data: bytes, hash: str, url: str) -> bytes:
    if hashlib.sha256(data).hexdigest() != hash:
        raise SetupError(
            f"The stored value {hash[:12]} in {url} is damaged ({len(data):,} bytes do not match its hash): "
            "run the task that gave it again, or restore the folder from a backup."
        )
    return data


def _line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


@contextmanager
def _sentences(url: str) -> Iterator[None]:
    """Turns what the operating system or the file system says into one sentence."""
    try:
        yield
    except OSError as error:
        raise SetupError(_sentence(error, url)) from error


def _sentence(error: OSError, url: str) -> str:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return f"There is no space left for values in {url}: free some, or point artifacts_url to another place."
    if error.errno in {errno.EROFS, errno.EACCES, errno.EPERM}:
        return (
            f"Values cannot be written to or read from {url} ({error.strerror}): change its permissions, or point artifacts_url elsewhere."
        )
    return f"Values cannot be kept in {url}: {_line(error)}. Check artifacts_url."
