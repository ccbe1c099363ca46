# SPDX-License-Identifier: BSD-3-Clause
"""What every ArtifactStore promises about taking files away, while others store and read the same ones."""

from __future__ import annotations

import hashlib
import os
import time
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from nbflow.store import sweeping
from nbflow.store.artifacts import FolderArtifacts, open_artifacts

DAY = timedelta(days=1)
ABSENT = hashlib.sha256(b"nobody stored this").hexdigest()


@pytest.fixture(params=["path", "memory", "local"])
def artifacts(request, tmp_path):
    urls = {"path": str(tmp_path / "a"), "memory": f"memory://{uuid.uuid4().hex}/deep", "local": f"local://{tmp_path}/b"}
    return open_artifacts(urls[request.param])


def now():
    return datetime.now(UTC)


def aged(path: Path, days: float = 2) -> None:
    then = time.time() - days * 86_400
    os.utime(path, (then, then))


class TestEvery:
    def test_what_is_new_is_not_discarded(self, artifacts):
        hash = artifacts.put(b"four")
        assert artifacts.discard(hash, now() - DAY) is False
        assert artifacts.get(hash) == b"four"

    def test_what_is_old_is_discarded_and_may_be_stored_again(self, artifacts):
        hash = artifacts.put(b"four")
        assert artifacts.discard(hash, now() + DAY) is True
        assert not artifacts.has(hash)
        assert artifacts.put(b"four") == hash
        assert artifacts.get(hash) == b"four"

    def test_discarding_what_is_not_there_does_nothing(self, artifacts):
        assert artifacts.discard(ABSENT, now()) is True

    def test_keeping_says_whether_it_is_there(self, artifacts):
        assert artifacts.keep(artifacts.put(b"four")) is True
        assert artifacts.keep(ABSENT) is False
        assert artifacts.keep("") is False

    def test_the_old_ones_are_listed_by_their_first_digits(self, artifacts):
        hash = artifacts.put(b"four")
        assert artifacts.stored(hash[:2], now() + DAY) == (hash,)
        assert artifacts.stored(hash[:2], now() - DAY) == ()
        assert artifacts.stored(f"{(int(hash[:2], 16) + 1) % 256:02x}", now() + DAY) == ()

    def test_old_marks_go_but_not_those_of_databases(self, artifacts):
        artifacts.mark("t1.started", b"w")
        artifacts.mark("t2.started", b"w")
        artifacts.mark("database.one")
        assert artifacts.sweep(now() - DAY) == 0
        assert artifacts.read_mark("t1.started") == b"w"
        assert artifacts.sweep(now() + DAY) == 2
        assert artifacts.read_mark("t1.started") is None
        assert artifacts.marks("database.") == ("database.one",)
        assert artifacts.marks("t") == ()

    def test_artifacts_are_none_of_the_sweeps_business(self, artifacts):
        hash = artifacts.put(b"four")
        artifacts.sweep(now() + DAY)
        assert artifacts.get(hash) == b"four"


class TestFolder:
    @pytest.fixture
    def folder(self, tmp_path):
        return FolderArtifacts(tmp_path)

    def test_storing_it_again_makes_it_new(self, folder, tmp_path):
        hash = folder.put(b"four")
        aged(tmp_path / hash[:2] / hash)
        folder.put(b"four")
        assert folder.discard(hash, now() - DAY) is False

    def test_keeping_it_makes_it_new(self, folder, tmp_path):
        hash = folder.put(b"four")
        aged(tmp_path / hash[:2] / hash)
        folder.keep(hash)
        assert folder.discard(hash, now() - DAY) is False

    def test_what_was_kept_between_the_look_and_the_end_is_put_back(self, folder, tmp_path, monkeypatch):
        hash = folder.put(b"four")
        path = tmp_path / hash[:2] / hash
        aged(path)
        rename = Path.rename

        def renamed(self, target):
            os.utime(self)  # somebody keeps it in this instant
            return rename(self, target)

        monkeypatch.setattr(Path, "rename", renamed)
        assert folder.discard(hash, now() - DAY) is False
        assert folder.get(hash) == b"four"

    def test_an_interrupted_discard_is_healed_by_the_next_sweep(self, folder, tmp_path, monkeypatch):
        hash = folder.put(b"four")
        aged(tmp_path / hash[:2] / hash)

        def die(self, *, missing_ok=False):
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(Path, "unlink", die)
            with pytest.raises(KeyboardInterrupt):
                folder.discard(hash, now() - DAY)
        assert not folder.has(hash)
        folder.sweep(now() - DAY)
        assert folder.get(hash) == b"four"
        assert folder.stored(hash[:2], now() - DAY) == (hash,)  # and goes with the sweep after that

    def test_half_written_files_go_when_they_are_old(self, folder, tmp_path):
        hash = folder.put(b"four")
        half = tmp_path / hash[:2] / f".{hash}.{uuid.uuid4().hex}"
        half.write_bytes(b"fo")
        assert folder.sweep(now() - DAY) == 0
        aged(half)
        assert folder.sweep(now() - DAY) == 1
        assert not half.exists()

    def test_manifests_go_when_they_are_old(self, folder, tmp_path):
        folder.mark("t1.started")
        folder.keep_manifest("t1", b"ended")
        assert folder.sweep(now() - DAY) == 0
        assert folder.manifest("t1") == b"ended"
        assert folder.sweep(now() + DAY) == 2
        assert list((tmp_path / "manifests").iterdir()) == []

    def test_marks_that_are_links_to_one_file_go_together(self, folder, tmp_path):
        for number in range(5):
            folder.mark(f"t{number}.started", b"w")
        assert len(sweeping.old_files(tmp_path / "marks", now() + DAY)) == 5
        assert folder.sweep(now() + DAY) == 5

    def test_another_users_file_is_copied(self, folder, tmp_path, monkeypatch):
        hash = folder.put(b"four")
        path = tmp_path / hash[:2] / hash
        aged(path)

        def refuse(*_):
            raise PermissionError(1, "no")

        monkeypatch.setattr(sweeping.os, "utime", refuse)
        assert folder.keep(hash) is True
        assert folder.discard(hash, now() - DAY) is False
        assert [file.name for file in path.parent.iterdir()] == [hash]
