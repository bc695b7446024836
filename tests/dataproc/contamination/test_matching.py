"""What documents and evaluation items share, against plain Python: every n-gram, stretch and share, nothing else."""

import tracemalloc
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.dataproc.contamination.index import ARRAYS, OverlapIndex, build_index, crowded
from corpusmill.dataproc.contamination.index_file import open_index, write_index
from corpusmill.dataproc.contamination.items import EvaluationSet
from corpusmill.dataproc.contamination.matching import documents_by_ngram, find_ngrams, overlaps
from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.text.unicode_tables import load_tables
from tests.dataproc.text.test_words import split_words

Hit = tuple[int, int, int, int, int, int, int, float]


def texts(*given: str) -> pa.Array:
    return pa.array(given, pa.large_string())


def sets(*given: list[str]) -> list[EvaluationSet]:
    return [
        EvaluationSet(f"set-{number}", pa.array([f"{number}/{row}" for row in range(len(items))]), texts(*items))
        for number, items in enumerate(given)
    ]


def words_at(text: str) -> list[tuple[str, int, int]]:
    """(word in lower case, first character, character after the last) of a text's words."""
    lower, place, words = load_tables().lower, 0, []
    for word in split_words(text):
        place = text.index(word, place)
        words.append(("".join(chr(lower[ord(character)]) for character in word), place, place + len(word)))
        place += len(word)
    return words


def oracle(documents: list[str], items: list[str], ngram: int, minimum: int) -> list[Hit]:
    """All hits (row, item, bytes, characters, n-grams, share), from the definitions."""
    hits: list[Hit] = []
    for row, document in enumerate(documents):
        here = words_at(document)
        for item, text in enumerate(items):
            there = [word for word, _, _ in words_at(text)]
            length = min(len(there), ngram)
            if length < minimum:
                continue
            windows = [tuple(there[at : at + length]) for at in range(len(there) - length + 1)]
            at_words = [
                at
                for at in range(len(here) - length + 1)
                if tuple(word for word, _, _ in here[at : at + length]) in windows
            ]
            taken = {tuple(word for word, _, _ in here[at : at + length]) for at in at_words}
            covered = {at + step for at, window in enumerate(windows) if window in taken for step in range(length)}
            runs: list[list[int]] = []
            for at in at_words:
                if runs and at <= runs[-1][-1] + length:
                    runs[-1].append(at)
                else:
                    runs.append([at])
            for run in runs:
                start, stop = here[run[0]][1], here[run[-1] + length - 1][2]
                in_bytes = len(document[:start].encode()), len(document[:stop].encode())
                hits.append((row, item, *in_bytes, start, stop, len(run), len(covered) / len(there)))
    return hits


def found_in(documents: list[str], index: OverlapIndex) -> list[Hit]:
    batch = texts("before the slice", *documents).slice(1)  # offsets that do not begin at 0
    result = overlaps(batch, find_ngrams(batch, index), index)
    return [tuple(value.item() for value in row) for row in zip(*result, strict=True)]  # type: ignore[misc]


WORDS = ("a", "B", "b", "語", "句", "Straße", "ÉTÉ", "x1")
JOINTS = (" ", "\n", ", ", " — ", "…", "")


@st.composite
def prose(draw: st.DrawFn, most: int = 24) -> str:
    words = draw(st.lists(st.sampled_from(WORDS), max_size=most))
    return "".join(word + draw(st.sampled_from(JOINTS)) for word in words)


@settings(max_examples=150, deadline=None)
@given(
    documents=st.lists(prose(), min_size=1, max_size=4),
    items=st.lists(prose(12), min_size=1, max_size=5),
    ngram=st.integers(2, 5),
    minimum=st.integers(1, 3),
    key_bits=st.sampled_from([64, 3, 0]),
)
def test_hits_are_those_of_the_definitions_however_few_bits_of_the_hash_are_used(
    documents: list[str], items: list[str], ngram: int, minimum: int, key_bits: int
) -> None:
    minimum = min(minimum, ngram)
    index = build_index(sets(items), ngram=ngram, minimum=minimum, key_bits=key_bits)
    assert found_in(documents, index) == oracle(documents, items, ngram, minimum)


def numbered(count: int, start: int = 0) -> list[str]:
    return [f"word{number}" for number in range(start, start + count)]


@pytest.mark.parametrize(("shared", "expected"), [(13, 1), (12, 0), (14, 2)])
def test_thirteen_words_are_a_hit_and_twelve_are_none(shared: int, expected: int) -> None:
    item = " ".join(numbered(40))
    document = " ".join(["other", *numbered(shared, 5), "words", *numbered(12, 25), "follow"])
    hits = found_in([document], build_index(sets([item])))
    assert [hit[6] for hit in hits] == ([expected] if expected else [])
    if hits:
        assert document.encode()[hits[0][2] : hits[0][3]].decode() == " ".join(numbered(shared, 5))
        assert hits[0][7] == shared / 40


ITEM = "How many of the 24 clips did Natalia sell altogether in April and May, if each cost $5?"
CHINESE = "请问在公元一九四九年十月一日的时候发生了什么重要的历史事件"


@pytest.mark.parametrize(
    ("item", "quoted"),
    [
        (ITEM, ITEM.upper()),
        (ITEM, ITEM.replace(" ", "\n\t  ")),
        (ITEM, ITEM.replace(" ", ", ").replace("?", "…!")),
        (ITEM, "«" + ITEM.replace(" ", "_") + "»"),
        (CHINESE, "，".join(CHINESE)),
        (CHINESE, " ".join(CHINESE) + "。"),
        ("Сколько всего скрепок продала Наталья в апреле и мае прошлого года вместе взятых", None),
        ("كم عدد المشابك التي باعتها ناتاليا في شهري أبريل ومايو من العام الماضي معا تقريبا", None),
        ("नतालिया ने पिछले साल अप्रैल और मई के महीने में कुल मिलाकर कितनी क्लिप बेचीं", None),
    ],
)
def test_case_punctuation_and_white_space_hide_nothing_in_any_script(item: str, quoted: str | None) -> None:
    quoted = quoted or item.upper().replace(" ", " — ")
    document = f"Vorher stand etwas anderes. {quoted} Danach auch."
    (hit,) = found_in([document], build_index(sets([item])))
    assert hit[7] == 1.0
    assert split_words(document.encode()[hit[2] : hit[3]].decode()) == split_words(quoted)
    assert document[hit[4] : hit[5]].encode() == document.encode()[hit[2] : hit[3]]


def test_a_short_item_is_found_whole_or_not_at_all_and_a_shorter_one_is_not_looked_for() -> None:
    index = build_index(sets([" ".join(numbered(9)), " ".join(numbered(7))]))
    assert index.is_looked_for().tolist() == [True, False]
    whole, cut, at_the_end = " ".join(numbered(12)), " ".join(numbered(8)), " ".join(["x", *numbered(9)])
    assert [hit[:2] for hit in found_in([whole, cut, at_the_end], index)] == [(0, 0), (2, 0)]


def test_an_ngram_of_several_items_names_them_all_with_their_sets() -> None:
    shared = " ".join(numbered(13))
    index = build_index(sets([f"one {shared}", "nothing " * 20], [f"{shared} two three"]))
    hits = found_in([f"before {shared} after"], index)
    assert [(index.set_names[index.item_sets[hit[1]]], index.item_ids[hit[1]].as_py()) for hit in hits] == [
        ("set-0", "0/0"),
        ("set-1", "1/0"),
    ]
    assert [hit[7] for hit in hits] == [13 / 14, 13 / 15]


def test_what_is_taken_out_of_an_index_is_not_found_and_the_rest_is() -> None:
    template = " ".join(numbered(13))
    index = build_index(sets([f"{template} {' '.join(numbered(13, 100 * item))}" for item in range(1, 6)]))
    shared = crowded(index, 4)
    assert [index.words_as_text(ngram) for ngram in np.flatnonzero(shared)] == [template]
    rest = index.without(shared)
    assert found_in([template], index) and not found_in([template], rest)
    for item in range(1, 6):
        assert [hit[1] for hit in found_in([" ".join(numbered(13, 100 * item))], rest)] == [item - 1]
    assert not found_in([template], index.without(np.ones(index.ngrams, bool)))
    assert not crowded(index, 5).any()


def test_documents_are_counted_once_for_an_ngram_however_often_they_hold_it() -> None:
    item = " ".join(numbered(13))
    index = build_index(sets([item]))
    ngrams, documents = documents_by_ngram(find_ngrams(texts(f"{item} and {item}", "", item), index), index)
    assert (ngrams.tolist(), documents.tolist()) == ([0], [2])


def test_an_index_is_the_same_from_a_file(tmp_path: Path) -> None:
    index = build_index(sets([" ".join(numbered(30)), "", ITEM], [" ".join(numbered(9)), CHINESE]))
    write_index(str(tmp_path / "index.arrow"), index)
    opened = open_index(str(tmp_path / "index.arrow"))
    for name in ARRAYS:
        assert np.array_equal(getattr(index, name), getattr(opened, name)), name
        assert getattr(index, name).dtype == getattr(opened, name).dtype
    assert opened.item_ids.to_pylist() == index.item_ids.to_pylist()
    documents = [ITEM, CHINESE, " ".join(numbered(10))]
    assert found_in(documents, opened) == found_in(documents, index) != []
    (tmp_path / "broken.arrow").write_bytes((tmp_path / "index.arrow").read_bytes()[:-100])
    with pytest.raises(UserError, match="damaged index"):
        open_index(str(tmp_path / "broken.arrow"))


def test_more_hits_than_there_is_room_for_are_all_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("corpusmill.dataproc.contamination.matching.ROOM", 3)
    item = " ".join(numbered(400))
    (hit,) = found_in([item], build_index(sets([item])))
    assert (hit[6], hit[7]) == (388, 1.0)


def test_long_runs_of_one_word_cost_no_memory_for_each_place_and_item() -> None:
    index = build_index(sets([f"{'0 ' * 500}{number}" for number in range(1, 201)]))
    document = "0 " * 50_000  # ten million n-grams by items, five thousand million by places in them
    tracemalloc.start()
    hits = found_in([document], index)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(hits) == 200 and {hit[6] for hit in hits} == {50_000 - 12}
    assert {hit[7] for hit in hits} == {500 / 501}
    assert peak < 100_000_000


@pytest.mark.parametrize(("ngram", "minimum"), [(13, 14), (0, 0), (256, 8)])
def test_lengths_out_of_bounds_are_refused(ngram: int, minimum: int) -> None:
    with pytest.raises(UserError, match="minimum <= ngram"):
        build_index(sets(["a"]), ngram=ngram, minimum=minimum)


def test_names_of_sets_must_differ() -> None:
    (one,) = sets(["a"])
    with pytest.raises(UserError, match="the same name"):
        build_index([one, one])
