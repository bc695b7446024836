"""What is done about documents that hold evaluation items: each on its own, by the item that it holds most of."""

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.dataproc.contamination.decontaminate import (
    Decontaminated,
    Decontamination,
    allowed_ngrams,
    common_ngrams,
    decontaminate,
)
from corpusmill.dataproc.contamination.index import OverlapIndex, build_index
from corpusmill.dataproc.contamination.items import EvaluationSet

TABLES = ("kept", "rejected", "ledger", "hits", "rewrites")


def index_of(ngram: int = 3, minimum: int = 2, **sets: list[str]) -> OverlapIndex:
    made = [
        EvaluationSet(name, pa.array([str(n) for n in range(len(items))]), pa.array(items, pa.large_string()))
        for name, items in sets.items()
    ]
    return build_index(made, ngram=ngram, minimum=minimum)


def documents(*texts: str) -> pa.RecordBatch:
    return pa.record_batch(
        {"id": [f"d{number}" for number in range(len(texts))], "text": pa.array(texts, pa.large_string())}
    )


def rows(done: Decontaminated, table: str) -> list[dict[str, object]]:
    return getattr(done, table).to_pylist()


SETS = index_of(maths=["one two three four", "five six seven"], history=["two three four and much more of it"])


def test_a_document_is_named_for_every_set_by_the_greatest_share_of_one_of_its_items() -> None:
    batch = documents("none of it", "one two three four and five six seven", "X two three four X")
    done = decontaminate(batch, SETS, Decontamination(action="remove"))
    assert rows(done, "ledger") == [
        {"id": "d1", "rule": "decontaminate/maths", "value": 1.0, "threshold": 0.0},
        {"id": "d1", "rule": "decontaminate/history", "value": 0.5, "threshold": 0.0},
        {"id": "d2", "rule": "decontaminate/maths", "value": 0.75, "threshold": 0.0},
        {"id": "d2", "rule": "decontaminate/history", "value": 0.375, "threshold": 0.0},
    ]
    assert [row["broken_rules"] for row in rows(done, "rejected")] == ["decontaminate/maths,decontaminate/history"] * 2
    assert [row["id"] for row in rows(done, "kept")] == ["d0"]
    assert (done.contaminated, done.items.tolist(), done.shares.tolist()) == (
        2, [0, 1, 2, 0, 2], [1.0, 1.0, 0.5, 0.75, 0.375],
    )  # fmt: skip


@pytest.mark.parametrize(("share", "rejected"), [(0.0, ["d0", "d1"]), (0.76, ["d0"]), (1.0, ["d0"])])
def test_a_share_spares_documents_that_hold_less_of_every_item_and_hits_tell_them_all(
    share: float, rejected: list[str]
) -> None:
    batch = documents("one two three four", "two three four")
    done = decontaminate(batch, SETS, Decontamination(action="remove", share=share))
    assert [row["id"] for row in rows(done, "rejected")] == rejected
    assert len(rows(done, "hits")) == 4


def test_a_set_may_have_a_share_of_its_own() -> None:
    batch = documents("one two three four", "two three four")
    done = decontaminate(batch, SETS, Decontamination(action="remove", share=0.9, shares={"history": 0.375}))
    assert [(row["id"], row["rule"], row["threshold"]) for row in rows(done, "ledger")] == [
        ("d0", "decontaminate/maths", 0.9),
        ("d0", "decontaminate/history", 0.375),
        ("d1", "decontaminate/history", 0.375),
    ]
    assert done.counted.tolist() == [True, True, False, True]


def test_a_report_rejects_and_changes_nothing() -> None:
    batch = documents("one two three four")
    done = decontaminate(batch, SETS, Decontamination())
    assert done.kept.equals(batch)
    assert [len(rows(done, table)) for table in ("rejected", "ledger", "rewrites", "hits")] == [0, 0, 0, 2]


def test_a_cut_gives_documents_up_that_come_apart_or_of_which_nothing_is_left() -> None:
    item = "five six seven"
    texts = ("a b c", f"a b {item} c d", f"{item}", f"a {item} b {item} c {item} d")
    cut = Decontamination(action="cut", margin=0, least_piece=1, maximum_pieces=3)
    done = decontaminate(documents(*texts), SETS, cut)
    assert [row["text"] for row in rows(done, "kept")] == ["a b c", "a b\n\nc d"]
    assert rows(done, "ledger") == [
        {"id": "d2", "rule": "decontaminate/pieces", "value": 0.0, "threshold": 1.0},
        {"id": "d3", "rule": "decontaminate/pieces", "value": 4.0, "threshold": 3.0},
    ]
    assert [row["text"] for row in rows(done, "rejected")] == list(texts[2:]), "rejected documents keep their text"
    assert rows(done, "rewrites") == [{"id": "d1", "rule": "decontaminate", "bytes_before": 22, "bytes_after": 8}]
    assert done.cut_bytes == 14


def test_a_cut_spares_items_below_the_share() -> None:
    text = "so two three four now"
    cut = Decontamination(action="cut", margin=0, least_piece=0, share=0.8)
    assert rows(decontaminate(documents(text), SETS, cut), "kept")[0]["text"] == text


def test_counts_of_ngrams_and_allowed_phrases_name_ngrams_of_the_index() -> None:
    batch = documents("one two three four", "one two three", "five six seven five six seven")
    ngrams, document_counts = common_ngrams(batch, SETS)
    counts = {SETS.words_as_text(ngram): count for ngram, count in zip(ngrams, document_counts.tolist(), strict=True)}
    assert counts == {"one two three": 2, "two three four": 1, "five six seven": 1}
    allowed = allowed_ngrams(SETS, ["ONE, two; three", "nothing"])
    assert [SETS.words_as_text(ngram) for ngram in allowed.nonzero()[0]] == ["one two three"]


WORDS = st.lists(st.sampled_from(["one", "two", "three", "four", "five", "six", "seven", "é", "語"]), max_size=14).map(
    " ".join
)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(WORDS, min_size=1, max_size=6),
    st.sampled_from(["report", "remove", "cut"]),
    st.sampled_from([0.0, 0.5, 1.0]),
    st.integers(0, 6),
)
def test_a_document_fares_the_same_in_any_batch(texts: list[str], action: str, share: float, split: int) -> None:
    how = Decontamination(action=action, share=share, margin=2, least_piece=3, maximum_pieces=2)  # type: ignore[arg-type]
    batch = documents(*texts)
    whole = decontaminate(batch, SETS, how)
    parts = [decontaminate(batch.slice(start, stop), SETS, how) for start, stop in ((0, split), (split, None))]
    for table in TABLES:
        assert [row for part in parts for row in rows(part, table)] == rows(whole, table)
    assert whole.kept.num_rows + whole.rejected.num_rows == len(texts)
    assert sum(part.contaminated for part in parts) == whole.contaminated
