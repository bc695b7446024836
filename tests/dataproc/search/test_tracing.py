"""A trace has exactly the maximal stretches: held against all stretches of words, tried one by one."""

import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from corpusmill.dataproc.search.index import SearchIndex
from corpusmill.dataproc.search.tracing import trace_passage, without_contained, word_places
from tests.dataproc.search.test_segments import build, places

WORDS = ["red", "green", "blue", "ab", "a", "日本", "語。", "naïve", "x.y", "can't"]


def some_words(draw: random.Random, count: int) -> str:
    return "".join(word + draw.choice([" ", " ", "\n", "  "]) for word in draw.choices(WORDS, k=count))


def by_trying(texts: Sequence[str], passage: str, words: int) -> dict[tuple[int, int], int]:
    """{(start, end) in bytes: occurrences} of the maximal stretches of so many words: every stretch is looked for."""
    data, whole = passage.encode(), word_places(passage)
    text = b"\xff".join(text.encode() for text in texts)
    standing = {
        (int(whole[first, 0]), int(whole[last, 1]))
        for first in range(len(whole))
        for last in range(first + words - 1, len(whole))
        if data[whole[first, 0] : whole[last, 1]] in text
    }
    return {(start, end): len(places(text, data[start:end])) for start, end in without_contained(standing)}


@pytest.mark.parametrize("seed", range(3))
def test_a_trace_has_all_maximal_stretches_and_counts_them(tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    texts = [some_words(draw, draw.choice([5, 200])) for _ in range(12)]
    build(tmp_path / "a.fm", texts[:7])
    build(tmp_path / "b.fm", texts[7:])
    index = SearchIndex([str(tmp_path / "a.fm"), str(tmp_path / "b.fm")])
    for words in (1, 2, 4):
        copied = texts[3][:120] + some_words(draw, 10) + texts[9][40:200]
        for passage in (some_words(draw, 40), copied, texts[0]):
            trace = trace_passage(index, passage, words, 2)
            made = {(stretch.start, stretch.end): stretch.occurrences for stretch in trace.stretches}
            assert made == by_trying(texts, passage, words)
            counts = [stretch.occurrences for stretch in trace.stretches]
            assert counts == sorted(counts)
            for stretch in trace.stretches:
                assert len(stretch.hits) == min(2, stretch.occurrences)
                for hit in stretch.hits:
                    named = [texts[at] for at in (int(hit.id), int(hit.id) + 7) if at < 12]  # ids of either segment
                    said = stretch.text.encode()
                    assert any(text.encode()[hit.start : hit.end] == said for text in named)


def test_a_whole_document_is_one_stretch(tmp_path: Path) -> None:
    text = " ".join(map(str, range(3000)))
    build(tmp_path / "s.fm", ["else", text, "more"])
    trace = trace_passage(SearchIndex([str(tmp_path / "s.fm")]), text, 6, 1)
    assert trace.words == trace.covered == 3000
    (stretch,) = trace.stretches
    assert (stretch.text, stretch.occurrences, stretch.hits[0].id) == (text, 1, "1")


def test_words_are_what_stands_between_spaces_and_letters_of_scripts_without() -> None:
    passage = " can't  stop 日本の\u3099 ไทย."
    data = passage.encode()
    words = [data[start:end].decode() for start, end in word_places(passage)]
    assert words == ["can't", "stop", "日", "本", "の\u3099", "ไ", "ท", "ย", "."]


def test_a_passage_of_nothing_has_no_trace(tmp_path: Path) -> None:
    build(tmp_path / "s.fm", ["text"])
    index = SearchIndex([str(tmp_path / "s.fm")])
    assert trace_passage(index, " \n", 6, 1).words == 0
    assert trace_passage(index, "text", 6, 1).stretches[0].words == 1  # fewer words than asked: all of them
    assert trace_passage(index, "none of this", 6, 1).stretches == ()
