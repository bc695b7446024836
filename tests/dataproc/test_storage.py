"""A file appears whole or not at all, locally and in a store; digests are those of the bytes."""

import errno
import os
from pathlib import Path
from uuid import uuid4

import pytest
import xxhash

from corpusmill.dataproc import storage
from corpusmill.dataproc.errors import UserError


@pytest.fixture(params=["local", "file://", "memory://"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "memory://":
        return f"memory://{uuid4().hex}"
    return f"file://{tmp_path}/new" if request.param == "file://" else f"{tmp_path}/new"


def test_a_committed_file_has_its_bytes_and_digest(folder: str) -> None:
    path = storage.join(folder, "deep", "name.bin")
    with storage.commit_file(path) as file:
        file.write(b"one ")
        assert not storage.exists(path) or folder.startswith("memory")
        file.write(memoryview(b"two"))
    assert storage.read_bytes(path) == b"one two"
    assert (file.bytes, file.tell()) == (7, 7)
    assert file.digest == storage.digest_file(path, chunk=2) == xxhash.xxh3_128_hexdigest(b"one two")
    assert storage.size(path) == 7
    assert storage.list_names(storage.join(folder, "deep")) == ["name.bin"]


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_exception_leaves_nothing(folder: str, kind: type[BaseException]) -> None:
    with pytest.raises(kind), storage.commit_file(storage.join(folder, "name")) as file:
        file.write(b"x" * (3 << 20))
        raise kind
    assert storage.list_names(folder) == []
    assert not storage.exists(storage.join(folder, "name"))


@pytest.mark.parametrize("url", [False, True])
def test_an_exception_keeps_the_file_that_was_there(tmp_path: Path, url: bool) -> None:
    path = f"file://{tmp_path}/name" if url else f"{tmp_path}/name"
    storage.commit_bytes(path, b"old")
    with pytest.raises(ValueError), storage.commit_file(path) as file:
        file.write(b"new")
        raise ValueError
    assert (tmp_path / "name").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["name"]  # noqa: PTH208


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_told_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Path.open
    monkeypatch.setattr(
        Path, "open", lambda self, mode, **named: real(Path("/dev/full"), mode.replace("x", "w"), **named)
    )
    with pytest.raises(OSError) as caught, storage.commit_file(f"{tmp_path}/name") as file:
        file.write(b"x" * 10)
    assert caught.value.errno == errno.ENOSPC
    assert os.listdir(tmp_path) == []  # noqa: PTH208


def test_an_object_that_failed_is_not_uploaded_by_its_finaliser(monkeypatch: pytest.MonkeyPatch) -> None:
    from fsspec.spec import AbstractBufferedFile, AbstractFileSystem

    puts: list[bytes] = []

    class Object(AbstractBufferedFile):
        def _upload_chunk(self, final: bool = False) -> bool:
            if final:
                puts.append(self.buffer.getvalue())
            return final

        def _initiate_upload(self) -> None: ...

    class Store(AbstractFileSystem):
        protocol = "store"

        def _open(self, path: str, mode: str = "rb", **named: object) -> Object:
            return Object(self, path, mode)

    monkeypatch.setattr(storage, "file_system", lambda url: (Store(), "key"))
    storage.commit_bytes("store://key", b"whole")
    assert puts == [b"whole"]
    with pytest.raises(ValueError), storage.commit_file("store://key") as file:
        file.write(b"half")
        raise ValueError
    del file
    assert puts == [b"whole"]


def test_a_commit_whose_reason_is_gone_is_stopped_at_either_end(folder: str) -> None:
    path, gone = storage.join(folder, "name"), False

    def check() -> None:
        if gone:
            raise UserError("it is gone")

    with storage.commits_only_while(check):
        with pytest.raises(UserError), storage.commit_file(path) as file:
            file.write(b"text")
            gone = True
        with pytest.raises(UserError), storage.commit_file(path):
            pytest.fail("a commit began")
    assert storage.list_names(folder) == []
    storage.commit_bytes(path, b"text")
    assert storage.read_bytes(path) == b"text"


def test_temporaries_are_not_listed_and_can_be_removed(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / ".tmp-abc-part").write_bytes(b"x")
    (tmp_path / "below" / ".tmp-def-part").write_bytes(b"x")
    (tmp_path / "part").write_bytes(b"x")
    (tmp_path / "below" / ".tmp-123-checkpoint").mkdir()
    (tmp_path / "below" / ".tmp-123-checkpoint" / "weights").write_bytes(b"x")
    assert storage.list_names(str(tmp_path)) == ["below", "part"]
    assert storage.remove_temporaries(str(tmp_path)) == 3
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["below", "part"]
    assert storage.remove_temporaries(str(tmp_path / "nowhere")) == 0


def test_identity_changes_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "name"
    path.write_bytes(b"a")
    before = storage.identity(str(path))
    os.utime(path, ns=(1, 1))
    assert storage.identity(str(path)) != before
    assert storage.identity(str(path))[0] == 1


def test_remove_takes_files_folders_and_nothing(folder: str) -> None:
    storage.commit_bytes(storage.join(folder, "a", "b"), b"x")
    plain = folder.removeprefix("file://")
    storage.remove(storage.join(plain, "a"))
    storage.remove(storage.join(plain, "a"))
    assert storage.list_names(folder) == []


def test_mistakes_are_user_errors(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        storage.open_input(f"{tmp_path}/none")
    with pytest.raises(UserError, match="no such file"):
        storage.open_input("memory://none/none")
    with pytest.raises(UserError, match="unsupported URL"):
        storage.open_input("nonsense://x")


def test_join() -> None:
    assert storage.join("/", "a", "b") == "/a/b"
    assert storage.join("a/", "b") == "a/b"
    assert storage.join("s3://bucket", "b") == "s3://bucket/b"


def test_a_store_that_does_not_answer_is_one_line_and_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    from fsspec.spec import AbstractFileSystem

    from corpusmill.pipelines.engine.worker import describe

    class Store(AbstractFileSystem):
        protocol = "store"
        error: Exception

        def exists(self, path: str, **named: object) -> bool:
            raise self.error

    monkeypatch.setattr(storage, "file_system", lambda path: (Store(), "a"))
    for error, kind in (
        (ConnectionError("reset by peer"), "transient"),
        (OSError("SlowDown: reduce your request rate"), "transient"),  # without a number, as s3fs has it
        (TimeoutError("no answer"), "transient"),
        (PermissionError("Access Denied"), "user"),
    ):
        Store.error = error
        with pytest.raises(UserError) as caught:
            storage.exists("store://bucket/a")
        described = describe(caught.value)
        assert (described.kind, described.message.count("\n")) == (kind, 0)
        assert described.message.startswith("store://bucket/a: ")
