"""A document is known again by what is kept of its name, also when its id is a URL with a query, or very long."""

import json
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpusmill.pipelines.engine import state
from corpusmill.pipelines.engine.guard import Guard
from corpusmill.pipelines.engine.heartbeat import HEARTBEAT_BYTES, Heartbeat, PublishedWatch
from corpusmill.pipelines.engine.kept_names import NAME_BYTES, kept_name

HARD = [
    "https://e.org/page?id=1",
    "https://e.org/page?id=2",
    "https://user:secret@e.org/a.html",
    "x" * 5000,
    "x" * 5000 + "y",
    "https://e.org/" + "é" * 3000 + "?token=1",
]
PLAIN = "corpus/a.jsonl#0"


@given(st.text(max_size=3000), st.text(max_size=3000))
def test_names_are_bounded_and_told_apart(one: str, other: str) -> None:
    for name in (one, other):
        assert len(kept_name(name).encode("utf-8", "surrogatepass")) <= NAME_BYTES
    assert (kept_name(one) == kept_name(other)) == (one == other)


@pytest.mark.parametrize("bad", HARD)
def test_a_document_is_left_out_by_the_name_that_was_written_down(bad: str, tmp_path: Path) -> None:
    """As another driver does: the name goes through a breadcrumb and through JSON, and meets the id again."""
    crumb = tmp_path / "task.at"
    batch = pa.RecordBatch.from_pydict({"id": [*HARD, PLAIN], "text": ["text"] * (len(HARD) + 1)})

    def dies(document: pa.RecordBatch) -> str:
        if document.column("id")[0].as_py() == bad:
            raise KeyboardInterrupt
        return "done"

    with pytest.raises(KeyboardInterrupt):
        list(Guard(skip={}, careful=True, breadcrumb=str(crumb)).apply(batch, dies, "memory"))
    noted = crumb.read_text()
    assert "secret" not in noted and "id=" not in noted.replace("id=***", "")
    (kept,) = json.loads(state.to_json({"skip": {noted: "it ended its worker"}}))["skip"]
    assert kept == noted, "what is kept stays as it is when it is written again"
    guard = Guard(skip={kept: "it ended its worker"}, careful=True, breadcrumb=str(crumb))
    assert list(guard.apply(batch, dies, "memory")) == ["done"] * len(HARD)
    (row,) = guard.quarantine_table().to_pylist()
    assert (row["id"], row["reason"]) == (bad, "it ended its worker")


@pytest.mark.parametrize("name", [*HARD, PLAIN])
def test_a_watch_refuses_what_it_published(name: str) -> None:
    heartbeat = Heartbeat(bytearray(HEARTBEAT_BYTES))
    PublishedWatch(heartbeat, {}).begin(name, 1)
    published = heartbeat.read().name
    watch = PublishedWatch(heartbeat, {published: "too slow"})
    assert watch.refusal(name) == "too slow"
    assert [watch.refusal(other) for other in [*HARD, PLAIN] if other != name] == [None] * len(HARD)
