# SPDX-License-Identifier: BSD-3-Clause
"""What every ArtifactStore promises, over a folder and over fsspec."""

from __future__ import annotations

import errno
import hashlib
import multiprocessing
import subprocess
import sys
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor

import fsspec
import pytest
from fsspec.implementations.local import LocalFileSystem
from hypothesis import given, settings
from hypothesis import strategies as st

from nbflow.core.errors import SetupError
from nbflow.store.artifacts import FolderArtifacts, RemoteArtifacts, open_artifacts

ABSENT = hashlib.sha256(b"nobody stored this").hexdigest()


class WithoutExclusiveCreate(LocalFileSystem):
    """A file system like sftp: files are written piece by piece, and there is no exclusive create."""

    protocol = "plainfiles"

    def _open(self, path, mode="rb", **options):
        if "x" in mode:
            raise ValueError(f"unsupported mode {mode}")
        return super()._open(path, mode, **options)


fsspec.register_implementation("plainfiles", WithoutExclusiveCreate, clobber=True)


@pytest.fixture(params=["path", "file", "memory", "plainfiles"])
def url(request, tmp_path):
    return {
        "path": str(tmp_path / "in here"),
        "file": (tmp_path / "in here").as_uri(),
        "memory": f"memory://{uuid.uuid4().hex}/deep",
        "plainfiles": f"plainfiles://{tmp_path}/deep",
    }[request.param]


@pytest.fixture
def artifacts(url):
    return open_artifacts(url)


class TestArtifacts:
    def test_bytes_come_back_under_their_hash(self, artifacts):
        hash = artifacts.put(b"four")
        assert hash == hashlib.sha256(b"four").hexdigest()
        assert artifacts.get(hash) == b"four"

    def test_the_same_bytes_twice_are_one_artifact(self, artifacts):
        assert artifacts.put(b"four") == artifacts.put(b"four")
        artifacts.delete(artifacts.put(b"four"))
        assert not artifacts.has(hashlib.sha256(b"four").hexdigest())

    def test_nothing_at_all_is_an_artifact_too(self, artifacts):
        assert artifacts.get(artifacts.put(b"")) == b""

    def test_it_is_there_until_it_is_deleted(self, artifacts):
        hash = artifacts.put(b"four")
        assert artifacts.has(hash)
        artifacts.delete(hash)
        assert not artifacts.has(hash)

    def test_deleting_what_is_not_there_does_nothing(self, artifacts):
        artifacts.delete(ABSENT)

    def test_a_missing_one_is_named_with_what_to_do(self, artifacts):
        with pytest.raises(SetupError, match=f"The stored value {ABSENT[:12]} is missing from .*: run the task that gave it again"):
            artifacts.get(ABSENT)

    @pytest.mark.parametrize("word", ["", "abc", "../../etc/passwd", "AB" * 32])
    def test_a_word_that_is_no_hash_reaches_no_file(self, artifacts, word):
        with pytest.raises(SetupError, match="is missing from"):
            artifacts.get(word)

    def test_another_process_finds_it_by_the_url(self, artifacts, url):
        hash = artifacts.put(b"four")
        assert open_artifacts(artifacts.url).get(hash) == open_artifacts(url).get(hash) == b"four"

    def test_threads_may_store_the_same_bytes_together(self, artifacts):
        data = b"x" * 300_000
        together = threading.Barrier(4)

        def put(_):
            together.wait()
            return artifacts.get(artifacts.put(data))

        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(put, range(4))) == [data] * 4


class TestMarks:
    def test_the_first_to_mark_is_told_so(self, artifacts):
        assert artifacts.mark("t1.started") is True
        assert artifacts.mark("t1.started") is False
        assert artifacts.mark("t2.started") is True

    def test_a_mark_keeps_the_bytes_of_the_first(self, artifacts):
        artifacts.mark("t1.started", b"first")
        artifacts.mark("t1.started", b"second")
        assert artifacts.read_mark("t1.started") == b"first"

    def test_an_empty_mark_is_not_an_absent_one(self, artifacts):
        artifacts.mark("t1.started")
        assert artifacts.read_mark("t1.started") == b""
        assert artifacts.read_mark("t2.started") is None

    def test_writing_replaces(self, artifacts):
        artifacts.write_mark("t1.manifest", b"one")
        artifacts.write_mark("t1.manifest", b"two")
        assert artifacts.read_mark("t1.manifest") == b"two"

    def test_a_deleted_mark_may_be_made_again(self, artifacts):
        artifacts.mark("t1.started")
        artifacts.delete_mark("t1.started")
        artifacts.delete_mark("t1.started")
        assert artifacts.read_mark("t1.started") is None
        assert artifacts.mark("t1.started") is True

    @pytest.mark.parametrize("name", ["", "..", ".hidden", "a/b", "../x", "a b"])
    def test_a_name_that_could_lead_elsewhere_is_refused(self, artifacts, name):
        with pytest.raises(ValueError, match="cannot be the name of a mark"):
            artifacts.mark(name)


class TestManifests:
    def test_a_manifest_is_found_again_by_its_token(self, artifacts):
        for number in range(5):
            artifacts.mark(f"t{number}.started", b"worker")
            artifacts.keep_manifest(f"t{number}", b"\0how it ended " * number)
        assert [artifacts.manifest(f"t{number}") for number in range(5)] == [b"\0how it ended " * number for number in range(5)]

    def test_an_attempt_that_has_not_ended_has_none(self, artifacts):
        artifacts.mark("t1.started")
        assert artifacts.manifest("t1") is None
        artifacts.keep_manifest("t1", b"late")
        assert artifacts.manifest("t1") == b"late"


class TestFolder:
    def test_a_manifest_is_seen_by_whoever_opens_the_folder(self, tmp_path):
        writer, reader = open_artifacts(str(tmp_path)), open_artifacts(str(tmp_path))
        for token in ("t1", "t2"):
            writer.mark(f"{token}.started")
            assert reader.manifest(token) is None
            writer.keep_manifest(token, token.encode())
            assert reader.manifest(token) == token.encode()

    def test_a_manifest_that_was_cut_short_counts_as_not_written(self, tmp_path):
        artifacts = open_artifacts(str(tmp_path))
        for token in ("whole", "cut"):
            artifacts.mark(f"{token}.started")
            artifacts.keep_manifest(token, b"how it ended")
        (file,) = (tmp_path / "manifests").iterdir()
        file.write_bytes(file.read_bytes()[:-1])
        after = open_artifacts(str(tmp_path))
        assert (after.manifest("whole"), after.manifest("cut")) == (b"how it ended", None)

    def test_marks_that_say_the_same_are_one_file(self, tmp_path):
        artifacts = open_artifacts(str(tmp_path))
        names = [f"t{number}.started" for number in range(3)]
        assert [artifacts.mark(name, b"worker") for name in [*names, *names]] == [True] * 3 + [False] * 3
        assert len({(tmp_path / "marks" / name).stat().st_ino for name in names}) == 1
        artifacts.write_mark(names[0], b"other")
        assert [artifacts.read_mark(name) for name in names] == [b"other", b"worker", b"worker"]

    def test_plain_paths_and_file_urls_are_folders(self, tmp_path):
        assert isinstance(open_artifacts(str(tmp_path)), FolderArtifacts)
        assert isinstance(open_artifacts(tmp_path.as_uri()), FolderArtifacts)
        assert isinstance(open_artifacts("memory://x"), RemoteArtifacts)

    def test_a_relative_path_is_the_same_folder_after_a_change_of_directory(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        artifacts = open_artifacts("here")
        hash = artifacts.put(b"four")
        monkeypatch.chdir("/")
        assert artifacts.get(hash) == b"four"

    def test_files_stand_in_folders_of_two_digits_and_nothing_else_is_left(self, tmp_path):
        artifacts = open_artifacts(str(tmp_path))
        hash = artifacts.put(b"four")
        artifacts.write_mark("m", b"")
        files = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
        assert files == sorted([f"{hash[:2]}/{hash}", "marks/m"])

    def test_a_damaged_file_is_refused_by_its_name(self, tmp_path):
        artifacts = open_artifacts(str(tmp_path))
        hash = artifacts.put(b"four")
        (tmp_path / hash[:2] / hash).write_bytes(b"fouk")
        with pytest.raises(SetupError, match=rf"The stored value {hash[:12]} in .* is damaged \(4 bytes do not match its hash\)"):
            artifacts.get(hash)

    def test_a_file_cut_short_by_a_power_failure_is_healed_by_storing_again(self, tmp_path):
        artifacts = open_artifacts(str(tmp_path))
        hash = artifacts.put(b"four")
        (tmp_path / hash[:2] / hash).write_bytes(b"")
        artifacts.put(b"four")
        assert artifacts.get(hash) == b"four"

    @pytest.mark.parametrize(
        ("number", "words"),
        [(errno.ENOSPC, "no space left for values"), (errno.EROFS, "cannot be written to"), (errno.EIO, "cannot be kept in")],
    )
    def test_what_the_system_says_becomes_a_sentence(self, tmp_path, number, words):
        from nbflow.store.artifacts import _sentence

        assert words in _sentence(OSError(number, "said so"), str(tmp_path))

    def test_a_file_in_place_of_the_folder_is_refused(self, tmp_path):
        (tmp_path / "a").write_text("")
        with pytest.raises(SetupError, match="Values cannot be kept in"):
            open_artifacts(str(tmp_path / "a"))

    @settings(max_examples=20)
    @given(data=st.binary(max_size=2_000))
    def test_any_bytes_come_back(self, tmp_path_factory, data):
        artifacts = open_artifacts(str(tmp_path_factory.getbasetemp() / "any"))
        assert artifacts.get(artifacts.put(data)) == data


def mark_all(url, together, told):
    artifacts = open_artifacts(url)
    together.wait(60)
    told.put([number for number in range(50) if artifacts.mark(f"{number}.started")])


def test_of_two_processes_one_makes_each_mark(tmp_path):
    context = multiprocessing.get_context("spawn")
    together, told = context.Barrier(2), context.Queue()
    processes = [context.Process(target=mark_all, args=(str(tmp_path), together, told)) for _ in range(2)]
    for process in processes:
        process.start()
    made = told.get(timeout=60) + told.get(timeout=60)
    for process in processes:
        process.join()
    assert sorted(made) == list(range(50))


def test_a_url_of_an_unknown_kind_is_refused_in_one_sentence():
    with pytest.raises(SetupError, match='artifacts_url "nosuch://x" cannot be used: Protocol not known: nosuch'):
        open_artifacts("nosuch://x")


def test_the_children_of_workers_do_not_pay_for_the_database(tmp_path):
    code = (
        "import sys; from nbflow.store.artifacts import open_artifacts; open_artifacts(sys.argv[1])\n"
        "print([name for name in ('sqlalchemy', 'alembic', 'fsspec') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
