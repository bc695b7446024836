"""Inputs that name a crawl: what they ask for, the list that they become, and how politely its files are read."""

import gzip
import io
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.dataproc import commoncrawl, http_files, http_polite, storage
from corpusmill.dataproc.commoncrawl import CrawlInput, list_crawl, parse_crawl, sample_paths
from corpusmill.dataproc.errors import Unreachable, UserError
from tests.dataproc.crawl_server import CRAWL, CrawlServer, crawl_served

PATHS = [f"crawl-data/{CRAWL}/segments/{number % 7}/warc/{number:05d}.warc.gz" for number in range(500)]


def test_an_input_says_crawl_kind_and_sample() -> None:
    assert parse_crawl(f"commoncrawl:{CRAWL}") == CrawlInput(crawl=CRAWL)
    assert parse_crawl(f"commoncrawl:{CRAWL}/wet") == CrawlInput(crawl=CRAWL, kind="wet")
    asked = CrawlInput(crawl=CRAWL, kind="warc", sample=100, seed=1)
    assert parse_crawl(f"commoncrawl:{CRAWL}?sample=100&seed=1") == asked
    assert parse_crawl(f"commoncrawl:{CRAWL}/warc?seed=1&sample=100") == asked


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("commoncrawl:2024-22", "this names no crawl of Common Crawl; as in commoncrawl:CC-MAIN-2024-22/wet"),
        (f"commoncrawl:{CRAWL}/wat", "WAT files hold metadata of pages and no text; use /wet, or the pages"),
        (f"commoncrawl:{CRAWL}/wets", "crawls have no files 'wets'; use /wet"),
        (f"commoncrawl:{CRAWL}?sample=0", "'sample=0' is not understood"),
        (f"commoncrawl:{CRAWL}?sample=ten", "'sample=ten' is not understood"),
        (f"commoncrawl:{CRAWL}?some=1", "'some=1' is not understood"),
        (f"commoncrawl:{CRAWL}?seed=1", "a seed is for a sample"),
        ("commoncrawl:../../etc", "this names no crawl"),
    ],
)
def test_what_is_not_understood_is_a_line(written: str, said: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_crawl(written)
    assert said in str(caught.value) and str(caught.value).startswith(written.partition("?")[0])


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 500), st.integers(1, 500), st.integers(0, 1 << 32), st.randoms(use_true_random=False))
def test_a_sample_is_of_the_seed_and_the_paths_alone(one: int, other: int, seed: int, order) -> None:
    small, large = sorted((one, other))
    sample = sample_paths(PATHS, large, seed)
    assert len(sample) == large and sample == sorted(sample, key=PATHS.index)
    assert set(sample_paths(PATHS, small, seed)) <= set(sample), "a larger sample holds the smaller one"
    shuffled = order.sample(PATHS, len(PATHS))
    assert set(sample_paths(shuffled, large, seed)) == set(sample)


def test_seeds_draw_different_samples() -> None:
    drawn = {tuple(sample_paths(PATHS, 10, seed)) for seed in range(50)}
    assert len(drawn) == 50


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[CrawlServer]:
    monkeypatch.setattr(http_files, "FIRST_PAUSE", 0.0005)
    monkeypatch.setattr(http_polite.tempfile, "tempdir", str(tmp_path))
    with crawl_served({f"{number}.warc.gz": bytes([number]) * 50_000 for number in range(6)}) as server:
        monkeypatch.setenv(commoncrawl.VARIABLE, server.url)
        yield server


def test_the_list_gives_files_in_its_order_by_one_request(server: CrawlServer) -> None:
    files = list_crawl(parse_crawl(f"commoncrawl:{CRAWL}"))
    assert [file.name for file in files] == [f"{CRAWL}/segments/1/warc/{number}.warc.gz" for number in range(6)]
    assert files[2].path == f"{server.url}/crawl-data/{CRAWL}/segments/1/warc/2.warc.gz"
    asked = {path for path, _ in server.requests}
    assert asked == {f"/crawl-data/{CRAWL}/warc.paths.gz"} and len(server.requests) <= 2


def test_a_crawl_that_is_not_there_is_a_line(server: CrawlServer) -> None:
    for written in ("commoncrawl:CC-MAIN-1999-01", f"commoncrawl:{CRAWL}/wet"):
        with pytest.raises(UserError, match=r"there is no crawl CC-MAIN-.* with w.* files; see https:"):
            list_crawl(parse_crawl(written))


@pytest.mark.parametrize(
    ("listed", "said"),
    [
        (lambda: b"no gzip", "this is not a list of paths"),
        (partial(gzip.compress, b"crawl-data/../../etc/passwd\n"), "is not a path of a crawl"),
        (partial(gzip.compress, b"http://elsewhere.example/x.warc.gz\n"), "is not a path of a crawl"),
        (partial(gzip.compress, "crawl-data/ä.warc.gz\n".encode()), "this is not a list of paths"),
        (partial(gzip.compress, b""), "a list that is empty"),
        (partial(gzip.compress, b"crawl-data/a\ncrawl-data/a\n"), "names a path twice"),
        (partial(gzip.compress, b"\n" * (65 << 20)), "a list of more than 64 MiB"),
    ],
    ids=["no gzip", "out of the crawl", "another host", "not ASCII", "empty", "a path twice", "too long"],
)
def test_a_list_is_not_trusted(
    listed: Callable[[], bytes], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "crawl-data" / CRAWL).mkdir(parents=True)
    (tmp_path / "crawl-data" / CRAWL / "warc.paths.gz").write_bytes(listed())
    monkeypatch.setenv(commoncrawl.VARIABLE, str(tmp_path))
    with pytest.raises(UserError, match=said):
        list_crawl(parse_crawl(f"commoncrawl:{CRAWL}"))


def test_a_busy_server_is_asked_again_until_it_answers(server: CrawlServer) -> None:
    server.refuse = lambda path, number: (503, 403, None)[number % 3]
    path = list_crawl(parse_crawl(f"commoncrawl:{CRAWL}"))[3].path
    assert storage.read_bytes(path) == bytes([3]) * 50_000


def test_one_that_stays_busy_is_given_up_after_a_bounded_number_of_attempts(
    server: CrawlServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = list_crawl(parse_crawl(f"commoncrawl:{CRAWL}"))[0].path
    pauses: list[float] = []
    monkeypatch.setattr(http_files.time, "sleep", lambda seconds: pauses.append(seconds) if seconds else None)
    monkeypatch.setattr(http_files, "FIRST_PAUSE", 0.5)
    server.refuse = lambda path, number: 403
    before = len(server.requests)
    with pytest.raises(Unreachable, match=r"the server answered 403 \(6 times in a row\)"):
        storage.read_bytes(path)
    assert len(server.requests) - before == 6
    bounds = [2.0, 4.0, 8.0, 16.0, 32.0]
    assert all(bound / 2 <= pause <= bound for pause, bound in zip(pauses, bounds, strict=True))
    assert pauses != bounds, "they are drawn"


def test_blocks_join_to_the_file_and_seeks_are_followed(server: CrawlServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_files, "BLOCK", 1000)
    data = bytes(number % 251 for number in range(54_321))
    server.files["/crawl-data/x"] = data
    with storage.open_input(f"{server.url}/crawl-data/x") as file:
        assert file.read() == data
        for place in (54_000, 0, 999, 1000, 54_321):
            file.seek(place)
            assert file.read(1500) == data[place : place + 1500]
        file.seek(-10, io.SEEK_END)
        assert file.read() == data[-10:]


def test_few_connections_are_open_at_a_time(server: CrawlServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(http_polite.VARIABLE, "3")
    monkeypatch.setattr(http_files, "BLOCK", 10_000)
    paths = [file.path for file in list_crawl(parse_crawl(f"commoncrawl:{CRAWL}"))] * 2
    server.pause = 0.01
    threads = [threading.Thread(target=storage.read_bytes, args=(path,)) for path in paths]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert server.most_at_once == 3


def test_locks_are_not_taken_in_somebody_elses_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_polite.tempfile, "tempdir", str(tmp_path))
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / f"corpusmill-connections-{http_polite.os.getuid()}").symlink_to(tmp_path / "elsewhere")
    with (
        pytest.raises(UserError, match="this is not a folder of your own"),
        http_polite.connection("https://data.commoncrawl.org/x"),
    ):
        pass


def test_other_servers_are_asked_as_before() -> None:
    assert http_polite.is_polite("https://data.commoncrawl.org/crawl-data/x")
    assert not http_polite.is_polite("https://example.org/crawl-data/x")
