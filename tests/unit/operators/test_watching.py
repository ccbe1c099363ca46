# SPDX-License-Identifier: BSD-3-Clause
"""What files there are, on real file systems: the disk and fsspec's memory."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import fsspec
import pytest
from fsspec.registry import known_implementations

from nbflow.core.errors import SetupError
from nbflow.operators.watching import find_files, thing_of


def test_files_of_a_pattern_and_when_they_came(tmp_path: Path) -> None:
    before = datetime.now(UTC) - timedelta(seconds=1)
    (tmp_path / "a.csv").write_text("1")
    (tmp_path / "b.txt").write_text("1")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "c.csv").write_text("1")
    found = find_files(f"{tmp_path}/*.csv")
    assert list(found) == [str(tmp_path / "a.csv")]
    assert found[str(tmp_path / "a.csv")].at >= before
    assert sorted(find_files(f"{tmp_path}/**/*.csv")) == [str(tmp_path / "a.csv"), str(tmp_path / "deep" / "c.csv")]
    assert list(find_files(str(tmp_path / "a.csv"))) == [str(tmp_path / "a.csv")]
    assert find_files(str(tmp_path / "gone.csv")) == {}
    assert find_files(f"{tmp_path}/gone/*.csv") == {}


def test_a_change_shows_and_looking_does_not(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("1")
    first = find_files(str(file))
    assert find_files(str(file)) == first
    os.utime(file, (1, 1))
    assert find_files(str(file))[str(file)].signature != first[str(file)].signature
    file.write_text("22")
    assert find_files(str(file))[str(file)].signature != first[str(file)].signature


def test_a_file_that_was_moved_here_came_when_it_was_moved(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    old = tmp_path / "old.csv"
    old.write_text("1")
    os.utime(old, (1, 1))
    before = datetime.now(UTC) - timedelta(seconds=1)
    old.rename(tmp_path / "in" / "old.csv")
    assert find_files(f"{tmp_path}/in/*")[str(tmp_path / "in" / "old.csv")].at >= before


def test_a_folder_only_appears(tmp_path: Path) -> None:
    folder = tmp_path / "day"
    folder.mkdir()
    first = find_files(f"{tmp_path}/*")
    (folder / "x").write_text("1")
    assert find_files(f"{tmp_path}/*")[str(folder)].signature == first[str(folder)].signature == "folder"


def test_any_file_system_of_fsspec() -> None:
    system = fsspec.filesystem("memory")
    system.pipe("/test-watching/a.csv", b"1")
    try:
        (path,) = first = find_files("memory://test-watching/*.csv")
        assert path == "memory:///test-watching/a.csv"
        assert find_files("memory://test-watching/*.csv") == first
        system.pipe("/test-watching/a.csv", b"22")
        assert find_files("memory://test-watching/*.csv")[path] != first[path]
        assert list(find_files("memory://test-watching/a.csv")) == [path]
    finally:
        system.rm("/test-watching", recursive=True)


def test_the_mark_of_a_content_counts_before_its_time() -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    first = thing_of({"size": 3, "ETag": '"abc"', "LastModified": at})
    assert first.at == at
    assert thing_of({"size": 3, "ETag": '"abc"', "LastModified": at + timedelta(days=1)}).signature == first.signature
    assert thing_of({"size": 3, "ETag": '"abd"', "LastModified": at}).signature != first.signature
    assert thing_of({"size": 3, "updated": "2026-01-01T00:00:00Z"}).at == at
    assert thing_of({"size": 3, "updated": "yesterday"}).at is None
    assert thing_of({"size": 3}).at is None


def test_a_place_that_cannot_be_looked_at_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    missing = {"class": "no_such_library.FileSystem", "err": "Install no_such_library to read from there"}
    monkeypatch.setitem(known_implementations, "missing", missing)
    with pytest.raises(SetupError, match=r"^missing://x/\* cannot be looked at here: Install no_such_library to read from there\.$"):
        find_files("missing://x/*")
    with pytest.raises(SetupError, match=r"^nowhere://x/\* cannot be looked at: ValueError: Protocol not known: nowhere$"):
        find_files("nowhere://x/*")
