"""Ingest from a crawl: the documents of its archives, from a server that is busy at times, and on from where it was."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from corpusmill.dataproc import commoncrawl
from corpusmill.dataproc.errors import UserError
from corpusmill.pipelines import calls
from corpusmill.pipelines.engine import scheduler
from corpusmill.pipelines.engine.scheduler import StageFailed
from tests.dataproc.crawl_server import CRAWL, CrawlServer, crawl_served
from tests.dataproc.readers.archives.test_warc import record, response

FILES = 5


def archive(number: int) -> bytes:
    """A compressed archive of three pages, a member a record, as crawls have them."""
    info = record("warcinfo", b"software: test\r\n", Content_Type="application/warc-fields")
    return b"".join(gzip.compress(data) for data in [info, *(response(number * 10 + page) for page in range(3))])


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[CrawlServer]:
    monkeypatch.setenv("CORPUSMILL_HTTP_PAUSE", "0.001")
    monkeypatch.setattr(scheduler, "FIRST_PAUSE_SECONDS", 0.01)
    with crawl_served({f"{number}.warc.gz": archive(number) for number in range(FILES)}) as server:
        monkeypatch.setenv(commoncrawl.VARIABLE, server.url)
        yield server


def markers(output: Path) -> set[str]:
    return {path.stem for path in (output / "_state/read").glob("*.json")}


def test_a_crawl_is_read_file_by_file_from_a_busy_server(server: CrawlServer, tmp_path: Path) -> None:
    server.refuse = lambda path, number: (503, None, 403, None)[number % 4]
    manifest = calls.ingest([f"commoncrawl:{CRAWL}"], output=tmp_path / "out", source="cc")
    assert manifest["counts"] == {"documents_in": 15, "kept": 15, "quarantined": 0}
    assert len(manifest["inputs"][f"commoncrawl:{CRAWL}"]) == FILES
    assert len(markers(tmp_path / "out")) == FILES, "a task a file"
    ids = [
        name for part in manifest["parts"] for name in pq.read_table(tmp_path / "out" / part["path"])["id"].to_pylist()
    ]
    assert ids[0].startswith(f"cc/{CRAWL}/segments/1/warc/0.warc.gz#") and len(set(ids)) == 15


def test_a_run_that_was_refused_goes_on_inside_the_list(server: CrawlServer, tmp_path: Path) -> None:
    barred = f"/crawl-data/{CRAWL}/segments/1/warc/3.warc.gz"
    server.refuse = lambda path, number: 503 if path == barred else None
    with pytest.raises(StageFailed, match=r"the server answered 503 \(6 times in a row\).*run again to resume"):
        calls.ingest([f"commoncrawl:{CRAWL}"], output=tmp_path / "out", source="cc")
    done = markers(tmp_path / "out")
    assert 3 <= len(done) < FILES
    server.refuse = lambda path, number: None
    before = len(server.requests)
    manifest = calls.ingest([f"commoncrawl:{CRAWL}"], output=tmp_path / "out", source="cc")
    assert manifest["counts"]["kept"] == 15 and manifest["counts"]["quarantined"] == 0
    again = {path for path, _ in server.requests[before:] if path.endswith("warc.gz")}
    assert barred in again and len(again) == FILES - len(done), "files that were done are not asked for again"


def test_a_sample_is_a_part_of_the_list(server: CrawlServer, tmp_path: Path) -> None:
    one = calls.ingest([f"commoncrawl:{CRAWL}?sample=2&seed=7"], output=tmp_path / "one")
    more = calls.ingest([f"commoncrawl:{CRAWL}?sample=3&seed=7"], output=tmp_path / "more")
    (few,), (many,) = one["inputs"].values(), more["inputs"].values()
    assert len(few) == 2 and len(many) == 3 and set(few) < set(many)
    assert one["counts"]["kept"] == 6


def test_metadata_is_refused_before_anything_is_asked_for(server: CrawlServer, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="WAT files hold metadata"):
        calls.ingest([f"commoncrawl:{CRAWL}/wat"], output=tmp_path / "out")
    assert not server.requests and not (tmp_path / "out").exists()


def test_the_text_of_a_crawl_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    block = b"Ein Text, wie ihn Common Crawl entnommen hat."
    text = gzip.compress(record("conversion", block, number=1, Content_Type="text/plain"))
    with crawl_served({"0.warc.wet.gz": text}, kind="wet") as server:
        monkeypatch.setenv(commoncrawl.VARIABLE, server.url)
        manifest = calls.ingest([f"commoncrawl:{CRAWL}/wet"], output=tmp_path / "out")
    assert manifest["counts"]["kept"] == 1
    plan = json.loads((tmp_path / "out/_state/plan.json").read_text())
    assert plan["settings"]["inputs"] == [f"commoncrawl:{CRAWL}/wet"]
