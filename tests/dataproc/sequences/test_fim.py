"""Fill in the middle: cuts at characters, lines or tokens, the spelling of DeepSeek, and an exact way back."""

import string
from bisect import bisect_right
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.randomness import random_keys, random_uniform
from corpusmill.dataproc.sequences.fim import (
    Splits,
    assemble,
    cut_tokens,
    draw_splits,
    draw_token_splits,
    piece_texts,
    restore,
)
from corpusmill.dataproc.sequences.shards import SpecialIds
from corpusmill.tokenizer import Tokenizer
from corpusmill.tokenizer.counting.counts import count_pretokens
from corpusmill.tokenizer.learning.bpe import train_merges
from corpusmill.tokenizer.special import FIM_BEGIN, FIM_END, FIM_HOLE, layout_named

SPECIAL = SpecialIds(eos=300, pad=301, bos=302, fim_begin=303, fim_hole=304, fim_end=305)
UNITS = ["character", "line", "token"]
MODES = ["psm", "spm"]
WIDE = {"minimum": 0, "maximum": 10**9}


class Document(NamedTuple):
    """A text, the bytes of its tokens, which may end inside a character, and where its files begin, if it has some."""

    text: str
    tokens: list[bytes]
    begins: list[int] | None


@st.composite
def documents(draw) -> Document:
    text = draw(st.text(alphabet="ab é漢🙂\n", max_size=30))
    data = text.encode()
    ends = sorted(draw(st.sets(st.integers(1, len(data) - 1)))) if len(data) > 1 else []
    bounds = [0, *ends, len(data)]
    starts = [len(text[:place].encode()) for place in range(1, len(text))]
    begins = draw(st.none() | st.sets(st.sampled_from(starts), max_size=4) if starts else st.none())
    tokens = [data[a:b] for a, b in pairwise(bounds) if a < b]
    return Document(text, tokens, None if begins is None else [0, *sorted(begins)])


DOCUMENTS = st.lists(documents(), min_size=1, max_size=8)


class Batch:
    """Documents as arrays, and their splits in a unit. The vocabulary is what their tokens are made of."""

    def __init__(self, items: list[Document], unit: str, rate: float = 1.0, seed: int = 1, **kind) -> None:
        self.items, self.unit = items, unit
        spelled = sorted({token for item in items for token in item.tokens} | {b"?"})
        number = {token: place for place, token in enumerate(spelled)}
        self.spelled = spelled
        self.texts = pa.array([item.text for item in items], pa.large_string())
        self.tokens = pa.array([[number[t] for t in item.tokens] for item in items], pa.large_list(pa.int32()))
        self.files = pa.array([item.begins for item in items], pa.large_list(pa.int64()))
        self.keys = random_keys(seed, "fim", pa.array([f"d{place}" for place in range(len(items))]))
        self.rates = np.full(len(items), rate)
        self.kind = WIDE | kind
        self.splits = self.draw(slice(None))

    def draw(self, rows: slice) -> Splits:
        texts, tokens, files = (
            pa.array(column.to_pylist()[rows], column.type) for column in (self.texts, self.tokens, self.files)
        )
        keys, rates = self.keys[rows], self.rates[rows]
        if self.unit != "token":
            return draw_splits(texts, keys, rates, unit=self.unit, files=files, **self.kind)
        lengths = np.array([len(token) for token in self.spelled])
        starts = np.array([token[0] & 0xC0 != 0x80 for token in self.spelled])
        kind = self.kind | {"token_lengths": lengths, "starts_character": starts, "files": files}
        return draw_token_splits(tokens, texts, keys, rates, **kind)

    def pieces(self) -> tuple[pa.Array, np.ndarray]:
        """Tokens of the pieces, and the document of each."""
        if self.unit == "token":
            return cut_tokens(self.tokens, self.splits)
        pieces, document = piece_texts(self.texts, self.splits)
        pieces.validate(full=True)
        return tokenise(pieces), document

    def cuts(self, row: int) -> tuple[int, int]:
        """Bytes of a document at which it is cut."""
        first, second = int(self.splits.first[row]), int(self.splits.second[row])
        if self.unit != "token":
            return first, second
        tokens = self.items[row].tokens
        return len(b"".join(tokens[:first])), len(b"".join(tokens[:second]))

    def text_of(self, ids: np.ndarray) -> str:
        return (b"".join(self.spelled[i] for i in ids) if self.unit == "token" else bytes(ids.tolist())).decode()


def tokenise(pieces: pa.Array) -> pa.Array:
    """A tokenizer of bytes: its ids are 0 to 255."""
    return pa.array([list(piece.encode()) for piece in pieces.to_pylist()], pa.list_(pa.int32()))


def plain(*texts: str, begins: list[int] | None = None) -> list[Document]:
    return [Document(text, [text[i : i + 3].encode() for i in range(0, len(text), 3)], begins) for text in texts]


def slow_places(item: Document, unit: str) -> list[int]:
    """The bytes before which a document may be cut."""
    size = len(item.text.encode())
    characters = [len(item.text[:place].encode()) for place in range(len(item.text) + 1)]
    if unit == "character":
        return characters
    if unit == "line":
        data = item.text.encode()
        below = [place for place in characters if data[max(place - 1, 0) : place] == b"\n"]
        return sorted({0, size, *below, *(item.begins or [])})
    between = [len(b"".join(item.tokens[:count])) for count in range(len(item.tokens) + 1)]
    return sorted({0, size} | set(between) & set(characters))


def slow_split(item: Document, key: int, rate: float, low: int, high: int, unit: str) -> tuple[bool, int, int]:
    uniforms = [random_uniform(np.uint64(key), np.uint64(counter)) for counter in range(3)]
    if uniforms[0] >= rate or not low <= len(item.text) <= high:
        return False, 0, 0
    places = slow_places(item, unit)
    a = places[int(uniforms[1] * len(places))]
    begins = item.begins or [0]
    file = bisect_right(begins, a) - 1
    stop = [*begins, len(item.text.encode())][file + 1]
    here = [place for place in places if begins[file] <= place <= stop]
    b = here[int(uniforms[2] * len(here))]
    if unit == "token":
        sums = [len(b"".join(item.tokens[:count])) for count in range(len(item.tokens) + 1)]
        a, b = sums.index(a), sums.index(b)
    return True, min(a, b), max(a, b)


@pytest.mark.parametrize("unit", UNITS)
@settings(deadline=None)
@given(
    items=DOCUMENTS,
    rate=st.sampled_from([0.0, 0.3, 1.0]),
    low=st.integers(0, 5),
    high=st.integers(5, 40),
    seed=st.integers(0, 99),
)
def test_cuts_are_those_of_the_slow_reference(unit, items, rate, low, high, seed):
    batch = Batch(items, unit, rate, seed, minimum=low, maximum=high)
    expected = [slow_split(item, key, rate, low, high, unit) for item, key in zip(items, batch.keys, strict=True)]
    assert list(zip(*(column.tolist() for column in batch.splits), strict=True)) == expected


@pytest.mark.parametrize("unit", UNITS)
@settings(deadline=None)
@given(items=DOCUMENTS, mode=st.sampled_from(MODES), ends=st.tuples(*[st.booleans()] * 3), seed=st.integers(0, 99))
def test_every_document_comes_back(unit, items, mode, ends, seed):
    bos, eos, one = ends
    special = SpecialIds(300, 300, 300, 303, 304, 305) if one else SPECIAL
    batch = Batch(items, unit, 0.6, seed)
    pieces, document = batch.pieces()
    whole = assemble(pieces, batch.splits, special, mode, bos, eos)
    assert np.bincount(document, minlength=len(items)).tolist() == np.where(batch.splits.fim, 3, 1).tolist()
    for row, tokens in enumerate(whole.to_pylist()):
        back = restore(np.array(tokens), special, mode)
        assert batch.text_of(back) == items[row].text
        if unit == "token":
            assert back.tolist() == batch.tokens[row].as_py()
        assert tokens[:bos] == [special.bos] * bos and tokens[len(tokens) - eos :] == [special.eos] * eos
        assert not {special.bos, special.eos} & {*tokens[bos : len(tokens) - eos]}


@pytest.mark.parametrize("unit", UNITS)
@settings(deadline=None)
@given(items=DOCUMENTS, seed=st.integers(0, 99))
def test_the_middle_is_whole_and_within_one_file(unit, items, seed):
    batch = Batch(items, unit, seed=seed)
    assert batch.splits.fim.all()
    for row, (text, tokens, begins) in enumerate(items):
        data, (first, second) = text.encode(), batch.cuts(row)
        assert data[:first].decode() + data[first:second].decode() + data[second:].decode() == text
        ends = [*(begins or [0]), len(data)]
        assert any(start <= first and second <= stop for start, stop in pairwise(ends))
        if unit == "line":
            for cut in (first, second):
                assert cut in ends or data[cut - 1 : cut] == b"\n"
        if unit == "token":
            middle = tokens[batch.splits.first[row] : batch.splits.second[row]]
            assert b"".join(middle) == data[first:second]


@pytest.mark.parametrize("unit", UNITS)
def test_draws_belong_to_the_document_and_not_to_its_batch(unit):
    texts = [path.read_text("utf-8")[:5000] for path in sorted(Path(string.__file__).parent.glob("[a-f]*.py"))] * 4
    batch = Batch(plain(*texts), unit, 0.1)
    assert 0.02 < batch.splits.fim.mean() < 0.25
    part = batch.draw(slice(7, 40))
    assert all(np.array_equal(a[7:40], b) for a, b in zip(batch.splits, part, strict=True))


@pytest.mark.parametrize("unit", ["character", "line"])
def test_slices_of_arrays_are_cut_like_copies(unit):
    items = plain("one\ntwo\n", "äö\nü\n漢\n", "a\nb\nc\nd") * 5
    batch = Batch(items, unit)
    files = pa.array([[0, 2]] * len(items), pa.large_list(pa.int64()))
    rows = slice(4, 11)
    part = draw_splits(batch.texts[rows], batch.keys[rows], batch.rates[rows], unit=unit, files=files[rows], **WIDE)
    copy = draw_splits(batch.texts.take(list(range(4, 11))), batch.keys[rows], batch.rates[rows], unit=unit,
                       files=files[:7], **WIDE)  # fmt: skip
    assert all(np.array_equal(a, b) for a, b in zip(part, copy, strict=True))
    assert "".join(piece_texts(batch.texts[rows], part)[0].to_pylist()) == "".join(batch.texts[rows].to_pylist())


def test_slices_of_token_lists_are_cut_like_copies():
    batch = Batch(plain("one two three", "äöü漢字", "", "abcdefghi"), "token")
    part = Splits(*(column[1:] for column in batch.splits))
    pieces, document = cut_tokens(batch.tokens[1:], part)
    expected, _ = cut_tokens(pa.array(batch.tokens.to_pylist()[1:], batch.tokens.type), part)
    assert pieces.to_pylist() == expected.to_pylist() and document.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]


def test_pieces_share_their_bytes_and_ids():
    batch = Batch(plain("one\ntwo\nthree\n"), "token")
    pieces, _ = cut_tokens(batch.tokens, batch.splits)
    assert pieces.values.buffers()[1].address == batch.tokens.values.buffers()[1].address
    texts, _ = piece_texts(batch.texts, Splits(np.zeros(1, bool), np.zeros(1, np.int64), np.zeros(1, np.int64)))
    assert texts.buffers()[2].address == batch.texts.buffers()[2].address


def test_the_spelling():
    text = "ab漢cd"
    splits = Splits(np.array([True, False]), np.array([2, 0]), np.array([5, 0]))
    pieces, document = piece_texts(pa.array([text, "plain"]), splits)
    assert pieces.to_pylist() == ["ab", "漢", "cd", "plain"] and document.tolist() == [0, 0, 0, 1]
    tokens = pa.array([[1, 2], [3], [4, 5], [6]], pa.list_(pa.int32()))
    assert assemble(tokens, splits, SPECIAL).to_pylist() == [[303, 1, 2, 304, 4, 5, 305, 3, 300], [6, 300]]
    assert assemble(tokens, splits, SPECIAL, "spm", bos=True).to_pylist() == [
        [302, 303, 304, 4, 5, 305, 1, 2, 3, 300],
        [302, 6, 300],
    ]


@pytest.mark.parametrize("unit", UNITS)
def test_each_document_has_its_own_rate_whatever_the_unit(unit):
    rates = np.tile([0.0, 0.25, 1.0], 1000)
    keys = random_keys(1, "fim", pa.array([f"d{number}" for number in range(3000)]))
    texts = pa.array(["some\ntext"] * 3000)
    kind = {"minimum": 9, "maximum": 9}
    if unit == "token":
        tokens = pa.array([[0]] * 3000, pa.list_(pa.int32()))
        splits = draw_token_splits(
            tokens, texts, keys, rates, token_lengths=np.array([9]), starts_character=np.array([True]), **kind
        )
    else:
        splits = draw_splits(texts, keys, rates, unit=unit, **kind)
    assert np.array_equal(splits.fim, [random_uniform(key, 0) < rate for key, rate in zip(keys, rates, strict=True)])
    assert not splits.fim[0::3].any() and splits.fim[2::3].all() and 0.2 < splits.fim[1::3].mean() < 0.3


def test_cuts_are_uniform():
    splits = Batch(plain(*["x" * 99] * 4000), "character").splits
    assert splits.first.mean() == pytest.approx(33, abs=1.5) and splits.second.mean() == pytest.approx(66, abs=1.5)
    assert splits.first.min() == 0 and splits.second.max() == 99


def test_a_document_of_many_blocks_of_places_is_cut_at_its_lines():
    items = plain("".join(f"line {number} of 漢字\n" * (number % 5 > 0) for number in range(500)))
    for seed in range(20):
        batch = Batch(items, "line", seed=seed)
        assert batch.cuts(0) == slow_split(items[0], batch.keys[0], 1.0, 0, 10**9, "line")[1:]


def test_without_a_line_break_all_or_nothing_is_middle():
    splits = Batch(plain(*["one line"] * 400), "line").splits
    middle = splits.second - splits.first
    assert set(middle) == {0, 8} and 0.4 < (middle == 8).mean() < 0.6


def test_one_file_is_an_ordinary_document():
    texts = ["a few words\nin two lines", "", "漢字\n"] * 20
    for unit in UNITS:
        split = [Batch(plain(*texts, begins=begins), unit).splits for begins in (None, [], [0])]
        assert all(np.array_equal(a, b) and np.array_equal(b, c) for a, b, c in zip(*split, strict=True))


def test_the_first_cut_is_drawn_over_all_files_and_the_second_over_its_own():
    batch = Batch(plain(*["x" * 90 + "y" * 10] * 2000, begins=[0, 90]), "character")
    ordinary = Batch(plain(*["x" * 90 + "y" * 10] * 2000), "character")
    in_last = batch.splits.first >= 90
    assert in_last.mean() == pytest.approx(11 / 101, abs=0.02)
    assert (batch.splits.second[~in_last] <= 90).all() and batch.splits.second[in_last].max() == 100
    assert not np.array_equal(batch.splits.second, ordinary.splits.second)


def test_a_file_begins_a_line_and_a_token_over_its_edge_is_not_middle():
    items = [Document("ab", [b"a", b"b"], [0, 1]), Document("abcd", [b"a", b"bc", b"d"], [0, 2])]
    cuts = {unit: [set(), set()] for unit in UNITS}
    for seed in range(200):
        for unit in UNITS:
            batch = Batch(items, unit, seed=seed)
            for row in range(2):
                cuts[unit][row].add(batch.cuts(row))
    assert cuts["line"][0] == {(0, 0), (0, 1), (1, 1), (1, 2), (2, 2)}
    assert cuts["token"][1] == {(0, 0), (0, 1), (1, 1), (3, 3), (3, 4), (4, 4)}


@pytest.mark.parametrize(
    ("begins", "why"),
    [([1, 3], "first"), ([0, 9], "outside"), ([0, 7], "outside"), ([0, -2], "outside"), ([0, None], "outside"),
     ([0, 4, 4], "rise"), ([0, 4, 1], "rise"), ([0, 2], "inside a character")],
)  # fmt: skip
def test_file_offsets_that_are_none_name_their_row(begins, why):
    with pytest.raises(UserError, match=f"row 2: .*{why}"):
        Batch([*plain("", begins=[0]), *plain("ok\nok", begins=None), *plain("a漢 bc", begins=begins)], "character", 0)


def test_null_lists_of_files_may_hide_values():
    lists = pa.LargeListArray.from_arrays(
        pa.array([0, 2, 4, 6], pa.int64()), pa.array([0, 4, 77, 88, 0, 2]), mask=pa.array([False, True, False])
    )
    texts, keys = pa.array(["abcdef"] * 3), np.arange(3, dtype=np.uint64)
    splits = draw_splits(texts, keys, np.ones(3), files=lists, **WIDE)
    again = draw_splits(texts, keys, np.ones(3), files=pa.array([[0, 4], [], [0, 2]]), **WIDE)
    assert all(np.array_equal(a, b) for a, b in zip(splits, again, strict=True))


@pytest.fixture(scope="module")
def trained() -> Tokenizer:
    """A tokenizer of 600 ids, learned from one module."""
    layout = layout_named("compact")
    counts = count_pretokens(pa.array([Path(string.__file__).read_text("utf-8")], pa.large_string()))
    vocabulary = train_merges(counts, layout.model_size(600), list(layout.first))
    return Tokenizer(vocabulary, layout.tokens(layout.model_size(600)), "deepseek-v3", "")


@pytest.mark.parametrize("unit", UNITS)
def test_a_document_that_spells_a_marker_stays_text(trained, unit):
    special = SpecialIds(
        **{role: getattr(trained.special, role) for role in ("eos", "pad", "bos", "fim_begin", "fim_hole", "fim_end")}
    )
    text = f"{FIM_BEGIN}def f():\n{FIM_HOLE}    return '漢字'\n{FIM_END}pass{FIM_END}\n{FIM_HOLE}{FIM_BEGIN}"
    texts, keys, rates = pa.array([text] * 50), np.arange(50, dtype=np.uint64), np.full(50, 0.8)
    if unit == "token":
        spelled = [trained.token_bytes(number) for number in range(trained.vocab_size)]
        lengths = np.array([len(spelling) for spelling in spelled])
        starts = np.array([spelling[0] & 0xC0 != 0x80 for spelling in spelled])
        tokens = trained.encode(texts)
        splits = draw_token_splits(
            tokens, texts, keys, rates, token_lengths=lengths, starts_character=starts, minimum=1, maximum=1000
        )
        pieces, _ = cut_tokens(tokens, splits)
    else:
        splits = draw_splits(texts, keys, rates, unit=unit, minimum=1, maximum=1000)
        pieces = trained.encode(piece_texts(texts, splits)[0])
    markers = [special.fim_begin, special.fim_hole, special.fim_end]
    assert not np.isin(pieces.values.to_numpy(), markers).any() and 0 < splits.fim.sum() < 50
    for mode in MODES:
        for fim, tokens in zip(splits.fim, assemble(pieces, splits, special, mode).to_pylist(), strict=True):
            assert [tokens.count(marker) for marker in markers] == [int(fim)] * 3
            assert trained.decode(restore(np.array(tokens), special, mode)).decode() == text


def test_large_and_sliced_token_lists():
    splits = Splits(np.array([False, False]), np.zeros(2, np.int64), np.zeros(2, np.int64))
    lists = pa.array([[9], [1, 2], [], [9]], pa.large_list(pa.int32())).slice(1, 2)
    assert assemble(lists, splits, SPECIAL).to_pylist() == [[1, 2, 300], [300]]


def test_no_documents():
    for unit in UNITS:
        batch = Batch([], unit)
        assert len(assemble(batch.pieces()[0], batch.splits, SPECIAL)) == 0


def test_mistakes_are_named():
    batch = Batch(plain("abc"), "character")
    array, keys, splits, one = batch.texts, batch.keys, batch.splits, np.ones(1)
    tokens = batch.pieces()[0]
    bare = SpecialIds(eos=0, pad=0)
    for call in (
        lambda: assemble(tokens, splits, bare),
        lambda: assemble(tokens, splits, SpecialIds(0, 0, fim_begin=1, fim_hole=1, fim_end=2)),
        lambda: assemble(tokens, splits, SpecialIds(0, 0, bos=1, fim_begin=1, fim_hole=2, fim_end=3)),
        lambda: assemble(tokens, splits, SPECIAL, "pms"),
        lambda: assemble(tokens, Splits(np.zeros(3, bool), splits.first, splits.second), bare, bos=True),
        lambda: draw_splits(array, keys, np.array([1.5]), **WIDE),
        lambda: draw_splits(array, keys, np.array([np.nan]), **WIDE),
        lambda: draw_splits(array, keys, one, minimum=9, maximum=3),
        lambda: draw_splits(array, keys, one, unit="token", **WIDE),
    ):
        with pytest.raises(UserError):
            call()
    with pytest.raises(ValueError, match="pieces"):
        assemble(tokens[:2], splits, SPECIAL)
    with pytest.raises(ValueError, match="keys and rates"):
        draw_splits(array, keys, np.ones(2), **WIDE)
    with pytest.raises(ValueError, match="lists of files"):
        draw_splits(array, keys, one, files=pa.array([[0], [0]]), **WIDE)
    kind = WIDE | {"token_lengths": np.array([2]), "starts_character": np.array([True])}
    for ids in ([0], [0, 0], [7], [-1]):
        with pytest.raises(ValueError, match="as many bytes"):
            draw_token_splits(pa.array([ids], pa.list_(pa.int32())), array, keys, one, **kind)
