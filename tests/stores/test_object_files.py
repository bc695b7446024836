"""Objects as files: read by ranges, written in parts, tried again; against fsspec's memory and a store that fails."""

import errno
import io
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.dataproc.errors import Unreachable, UserError
from corpusmill.dataproc.stores import attempts, reading, writing
from corpusmill.dataproc.stores.attempts import attempt
from corpusmill.dataproc.stores.faults import kind_of_fault


class Store:
    """A store in a dictionary, whose requests fail as they are told to."""

    protocol = ("test",)

    def __init__(self, *faults: Exception) -> None:
        self.objects: dict[str, bytes] = {}
        self.faults = list(faults)
        self.refuses_to_complete: Exception | None = None
        self.requests: list[tuple[Any, ...]] = []

    def _begin(self, *request: Any) -> None:
        self.requests.append(request)
        if self.faults:
            raise self.faults.pop(0)

    def cat_file(self, inner: str, start: int = 0, end: int | None = None) -> bytes:
        """As S3: a range beyond the object is an error; of one that is empty it sends everything."""
        self._begin("GET", start, end)
        data = self.objects[inner]
        if end is not None and end <= start:
            return data
        if start >= len(data):
            raise OSError(errno.EINVAL, "InvalidRange")
        return data[start:end]

    def info(self, inner: str) -> dict[str, Any]:
        self._begin("HEAD")
        return {"size": len(self.objects[inner])}

    def pipe_file(self, inner: str, data: bytes) -> None:
        self._begin("PUT", len(data))
        self.objects[inner] = data

    def open(self, inner: str, mode: str, block_size: int) -> "Upload":
        return Upload(self, inner)


class Upload:
    """A file that appears when it is closed; as fsspec's, it is closed once that was tried, however it went."""

    closed = False

    def __init__(self, store: Store, inner: str) -> None:
        self.store, self.inner, self.parts = store, inner, bytearray()

    def write(self, data: bytes) -> None:
        self.store._begin("PART", len(data))
        self.parts += data

    def close(self) -> None:
        if self.closed:
            return
        self.closed = True
        if self.store.refuses_to_complete is not None:
            raise self.store.refuses_to_complete
        self.store.objects[self.inner] = bytes(self.parts)

    def discard(self) -> None:
        self.parts.clear()


@pytest.fixture(autouse=True)
def small_and_swift(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "BLOCK", 1000)
    monkeypatch.setattr(reading, "LEAST_READ", 100)
    monkeypatch.setattr(writing, "PART", 1000)
    monkeypatch.setattr(attempts, "FIRST_PAUSE", 0.0001)


def reader_of(data: bytes, *faults: Exception) -> tuple[Store, reading.ObjectReader]:
    store = Store(*faults)
    store.objects["a"] = data
    return store, reading.ObjectReader(store, "a", "test://a")


@settings(max_examples=60, deadline=None)
@given(
    size=st.integers(0, 7500),
    steps=st.lists(st.tuples(st.sampled_from(["seek", "end", "read"]), st.integers(0, 3000)), max_size=12),
)
def test_it_reads_what_a_file_of_the_same_bytes_reads(size: int, steps: list[tuple[str, int]]) -> None:
    reading.BLOCK = 1000
    data = random.Random(size).randbytes(size)
    _, reader = reader_of(data)
    plain = io.BytesIO(data)
    for step, number in steps:
        if step == "read":
            assert reader.read(number) == plain.read(number)
        elif step == "seek":
            assert reader.seek(number) == plain.seek(number)
        else:
            assert reader.seek(-min(number, size), io.SEEK_END) == plain.seek(-min(number, size), io.SEEK_END)
    assert reader.read() == plain.read()


def test_a_small_object_is_one_request() -> None:
    store, reader = reader_of(b"x" * 999)
    reader.seek(0, io.SEEK_END)
    reader.seek(0)
    assert reader.read() == b"x" * 999
    assert store.requests == [("GET", 0, 1000)]


def test_what_is_read_in_order_is_asked_for_once() -> None:
    data = random.Random(1).randbytes(9500)
    store, reader = reader_of(data)
    read = b"".join(iter(lambda: reader.read(300), b""))
    assert read == data
    assert sorted(start for kind, start, *_ in [r for r in store.requests if r[0] == "GET"]) == list(
        range(0, 9500, 1000)
    )


@pytest.mark.parametrize("size", [1000, 2000, 3000])
def test_an_object_of_whole_blocks_ends_where_it_ends(size: int) -> None:
    _, reader = reader_of(b"b" * size)
    assert b"".join(iter(lambda: reader.read(700), b"")) == b"b" * size
    reader.seek(size + 500)
    assert reader.read(10) == b""


def test_what_was_asked_for_ahead_and_skipped_is_let_go() -> None:
    """Columns of a table that are left out: what was fetched of them must not stay until the file is closed."""
    data = random.Random(2).randbytes(100_000)
    _, reader = reader_of(data)
    for place in range(1500, 90_000, 7000):
        reader.seek(place)
        assert reader.read(10) + reader.read(2000) == data[place : place + 2010]
        reader.seek(place + 2010)
        assert reader.read(500) == data[place + 2010 : place + 2510]
        assert len(reader._coming) <= reading.AHEAD


def test_a_body_that_was_cut_is_fetched_again() -> None:
    class ClientPayloadError(Exception):
        pass

    _, reader = reader_of(b"y" * 500, ClientPayloadError("cut"))
    assert reader.read() == b"y" * 500


@given(sizes=st.lists(st.integers(0, 2500), max_size=6))
@settings(max_examples=40, deadline=None)
def test_what_is_written_is_there_when_it_is_closed_and_not_before(sizes: list[int]) -> None:
    writing.PART = 1000
    store, data = Store(), random.Random(len(sizes)).randbytes(sum(sizes))
    writer, at = writing.ObjectWriter(store, "b", "test://b"), 0
    for size in sizes:
        writer.write(data[at : at + size])
        at += size
    assert "b" not in store.objects
    writer.close()
    assert store.objects["b"] == data
    assert len(store.requests) == max(1, -(-len(data) // 1000))


def test_what_is_discarded_never_appears() -> None:
    store = Store()
    writer = writing.ObjectWriter(store, "b", "test://b")
    writer.write(b"z" * 5000)
    writer.discard()
    assert store.objects == {}


def test_a_part_that_failed_for_good_is_an_error_of_the_writer() -> None:
    store = Store(*[ConnectionResetError("reset")] * 20)
    writer = writing.ObjectWriter(store, "b", "test://b")
    with pytest.raises(Unreachable, match="reset"):
        for _ in range(20):
            writer.write(b"z" * 1000)
        writer.close()
    writer.discard()
    assert store.objects == {}


def test_an_upload_that_could_not_be_completed_is_an_error_and_not_done() -> None:
    store = Store()
    store.refuses_to_complete = ConnectionResetError(errno.ECONNRESET, "reset")
    writer = writing.ObjectWriter(store, "b", "test://b")
    writer.write(b"z" * 5000)
    with pytest.raises(Unreachable, match="reset"):
        writer.close()
    writer.discard()
    assert store.objects == {}


def test_attempts_end() -> None:
    asked = []

    def ask() -> None:
        asked.append(1)
        raise TimeoutError("no answer")

    with pytest.raises(Unreachable, match="no answer"):
        attempt("s3://b/a", ask)
    assert len(asked) == attempts.ATTEMPTS


def client_error(code: str, status: int) -> Exception:
    """As botocore raises it."""
    error = type("ClientError", (Exception,), {})(f"An error occurred ({code})")
    error.response = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return error


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (client_error("SlowDown", 503), "transient"),
        (client_error("InternalError", 500), "transient"),
        (client_error("NoSuchBucket", 404), "no bucket"),
        (client_error("AccessDenied", 403), "no right"),
        (client_error("ExpiredToken", 400), "expired"),
        (client_error("NoSuchKey", 404), "other"),
        (type("NoCredentialsError", (Exception,), {})("Unable to locate credentials"), "no credentials"),
        (type("HttpError", (Exception,), {"code": 429})("rate"), "transient"),  # gcsfs
        (type("HttpError", (Exception,), {"code": 403})("forbidden"), "no right"),
        (type("HttpResponseError", (Exception,), {"status_code": 503})("busy"), "transient"),  # azure
        (type("ServiceRequestError", (Exception,), {})("DNS"), "transient"),
        (type("RefreshError", (Exception,), {})("token"), "expired"),  # google-auth
        (type("ServerDisconnectedError", (Exception,), {})("gone"), "transient"),  # aiohttp
        (type("ContentLengthError", (Exception,), {"code": 400})("a cut body"), "transient"),  # aiohttp
        (ConnectionResetError(errno.ECONNRESET, "reset"), "transient"),
        (FileNotFoundError("a"), "other"),
        (ValueError("a bug"), "other"),
    ],
)
def test_faults_are_known_by_their_kind(error: Exception, kind: str) -> None:
    assert kind_of_fault(error) == kind
    wrapped = OSError(errno.EIO, "wrapped by a driver") if kind == "transient" else RuntimeError("wrapped")
    wrapped.__cause__ = error
    assert kind_of_fault(wrapped) == kind


def test_a_missing_bucket_is_one_line_that_names_it() -> None:
    def ask() -> None:
        raise client_error("NoSuchBucket", 404)

    with pytest.raises(UserError, match=r"^s3://lake: no such bucket; check its name"):
        attempt("s3://lake/a/b", ask)


def test_credentials_that_expired_are_looked_for_anew() -> None:
    answers: list[Any] = [client_error("ExpiredToken", 400), "done"]
    renewed = []

    def ask() -> str:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return str(answer)

    assert attempt("s3://b/a", ask, lambda: renewed.append(1)) == "done"
    assert renewed == [1]


def test_ranges_listed_at_once_lose_no_name(monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmarks.stores import NAME, play_store
    from corpusmill.dataproc import storage
    from corpusmill.dataproc.stores import listing
    from tests.stores.proxy import Proxy
    from tests.stores.server import client_environment

    monkeypatch.setattr(listing, "LEAST_RANGE", 1000)
    names = [NAME.format(number) for number in range(8500)]
    with Proxy(play_store(8500), delay=0.02) as proxy:
        for name, value in client_environment(proxy.url).items():
            monkeypatch.setenv(name, value)
        assert len(storage.file_sizes("s3://lake/run", names)) == 8500
        assert proxy.most_at_once > 1
