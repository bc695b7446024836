"""Runs of Han and kana are cut only where no token reaches across, and ids stay the same."""

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.tokenizer import cuts
from corpusmill.tokenizer.cuts import joined_characters, pieces_of
from corpusmill.tokenizer.pretokens import read_text
from corpusmill.tokenizer.vocabulary import Vocabulary

TOKENS = ["的", "中文", "中文字", "学习", "ひら", "がな", "か", "日本"]
PARTS = [
    b"\xe4\xb8",
    "文".encode()[1:] + "字".encode()[:1],
    "学".encode()[2:] + "生".encode(),
    "本の".encode()[:5],
    b"ab",
]
CHARACTERS = st.sampled_from("的中文字学习ひらがなか日本の生一、。𠀀한é")


def cut(texts: list[bytes], bits: np.ndarray, least: int = 0) -> list[list[bytes]]:
    offsets, data = read_text(pa.array([*texts, b"not the end"], pa.large_binary())[:-1])  # the last 8 bytes stay uncut
    ends = offsets[1:][np.diff(offsets) > 0]
    places = [0]
    for _, piece_ends, longest in pieces_of(data, [(0, ends)] if len(ends) else [], bits, least):
        assert longest >= max(b - a for a, b in pairwise([places[-1], *piece_ends.tolist()]))
        places += piece_ends.tolist()
    rows: list[list[bytes]] = [[] for _ in texts]
    for first, last in pairwise(places):
        rows[int(np.searchsorted(offsets, first, side="right")) - 1].append(data[first:last].tobytes())
    return rows


def reaches_across(tokens: list[bytes], left: bytes, right: bytes) -> bool:
    """Whether, by trying every place in every token, one may hold bytes on both sides of `left` + `right`."""
    for token in tokens:
        for place in range(1, len(token)):
            before, after = token[:place], token[place:]
            ends = left.endswith(before) or before.endswith(left)
            if ends and (right.startswith(after) or after.startswith(right)):
                return True
    return False


@settings(max_examples=300, deadline=None)
@given(st.lists(st.text(CHARACTERS, min_size=1, max_size=30), min_size=1, max_size=4))
def test_no_token_reaches_across_a_cut(texts: list[str]) -> None:
    tokens = [*(token.encode() for token in TOKENS), *PARTS]
    bits = joined_characters(pa.array([*tokens, None], pa.large_binary()))
    raws = [text.encode() for text in texts]
    rows = cut(raws, bits)
    assert [b"".join(row) for row in rows] == raws
    for row in rows:
        for left, right in pairwise(row):
            assert not reaches_across(tokens, left, right)


def test_it_cuts_where_it_can() -> None:
    bits = joined_characters(pa.array([token.encode() for token in TOKENS], pa.large_binary()))
    (row,) = cut(["的中文字学习的日本ひらがな".encode()], bits)
    assert [piece.decode() for piece in row] == ["的", "中文字", "学习", "的", "日本", "ひら", "がな"]
    assert cut(["的中文字".encode()], bits, least=13) == [["的中文字".encode()]]
    partly = joined_characters(pa.array([*PARTS, *(token.encode() for token in TOKENS)], pa.large_binary()))
    (row,) = cut(["日本のひら学生文字".encode()], partly)
    assert [piece.decode() for piece in row] == ["日本の", "ひら", "学生", "文字"]


def test_a_run_longer_than_a_block_of_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    bits = joined_characters(pa.array([b"a"], pa.large_binary()))
    text = "中" * 100 + "。"
    for size in (2, 3, 7, 100, 101, 102):
        monkeypatch.setattr(cuts, "PIECES", size)
        assert cut([text.encode(), b"ab"], bits) == [["中".encode()] * 100 + ["。".encode()], [b"ab"]]


def by_plain_merging(vocabulary: Vocabulary, raw: bytes) -> list[int]:
    left = vocabulary.byte_ids()[np.frombuffer(raw, np.uint8)].tolist()
    ranks = {(a, b): (rank, new) for rank, (a, b, new) in enumerate(vocabulary.merges.tolist())}
    while best := min(
        ((*ranks[pair], place) for place, pair in enumerate(pairwise(left)) if pair in ranks),
        key=lambda item: (item[0], item[2]),
        default=None,
    ):
        left[best[2] : best[2] + 2] = [best[1]]
    return left


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.sampled_from([*"敏捷的棕色狐狸跳过了懒狗春眠不觉いろはにほへとガタカナ", "夜来风雨声", "ちりぬる"]),
        max_size=25,
    )
)
def test_ids_are_those_of_plain_merging(trained: Vocabulary, parts: list[str]) -> None:
    raw = "".join(parts).encode()
    bits = joined_characters(trained.tokens)
    (row,) = cut([raw], bits)
    assert [token for piece in row for token in by_plain_merging(trained, piece)] == by_plain_merging(trained, raw)
