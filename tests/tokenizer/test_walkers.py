"""Every walker cuts exactly where `tokenizers` cuts by the same expressions, on every text."""

from functools import cache
from itertools import product
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Regex
from tokenizers.pre_tokenizers import ByteLevel, Sequence, Split

from corpusmill.dataproc.kernels.buffers import read_only
from corpusmill.tokenizer import pretokens
from corpusmill.tokenizer.patterns import CONTRACTIONS, EXPANDED_CONTRACTIONS, GPT2, PATTERNS, Pattern

EXPANDED = [
    Pattern(f"{name}, expanded", (PATTERNS[name].splits[0].replace(CONTRACTIONS, EXPANDED_CONTRACTIONS),))
    for name in ("cl100k", "qwen2", "o200k")
]
ALL = [pytest.param(pattern, id=pattern.name) for pattern in [*PATTERNS.values(), *EXPANDED]]

# Characters near every border of the patterns, beside arbitrary ones of all planes.
TELLING = (
    "aZéǅʰª中ー・゛゜\u3040ぁ１5٣½Ⅷ.'#,_-+$€。、！/ \t\r\n\u00a0\u3000\u2028\u0085sSſtmDrReEVvlL"
    "\u200b\u0301\u0903\x00\x01\ue000\U000e0001\U0001f600\U00020000한\u0378\uffff"
)
TEXTS = st.text(st.one_of(st.sampled_from(TELLING), st.characters(exclude_categories=("Cs",))), max_size=40)
WHOLE_PLANES = ((1, 0xD800), (0xE000, 0x33500), (0xE0000, 0xE0200))
CASED_PLANES = ((1, 0x3400), (0xA000, 0xAC00), (0xF900, 0x12000), (0x16E00, 0x17000), (0x1D400, 0x1F200))


@cache
def oracle(splits: tuple[str, ...]) -> Sequence:
    return Sequence([Split(Regex(regex), "isolated") for regex in splits])


def cut_by_oracle(texts: list[str], pattern: Pattern) -> list[bytes]:
    return [piece.encode() for text in texts for piece, _ in oracle(pattern.splits).pre_tokenize_str(text)]


def cut_bytes(raws: list[bytes], pattern: Pattern) -> list[bytes]:
    offsets, data = pretokens.read_text(pa.array(raws, pa.large_binary()))
    pieces = []
    for start, ends in pretokens.pretoken_blocks(offsets, data, pattern):
        for end in ends.tolist():
            pieces.append(data[start:end].tobytes())
            start = end
    return pieces


def cut_by_walker(texts: list[str], pattern: Pattern) -> list[bytes]:
    return cut_bytes([text.encode() for text in texts], pattern)


def code_points(planes: tuple[tuple[int, int], ...]) -> np.ndarray:
    return np.concatenate([np.arange(first, last) for first, last in planes])


def in_texts(points: np.ndarray, size: int = 5000) -> list[str]:
    text = points.astype("<u4").tobytes().decode("utf-32-le")
    return [text[start : start + size] for start in range(0, len(text), size)]


@pytest.mark.parametrize("pattern", ALL)
def test_patterns_here_have_walkers(pattern: Pattern) -> None:
    assert pretokens.is_fast(pattern)


@pytest.mark.parametrize("pattern", ALL)
@settings(max_examples=500, deadline=None)
@given(texts=st.lists(TEXTS, max_size=4))
def test_equals_the_regexes_on_any_text(pattern: Pattern, texts: list[str]) -> None:
    assert cut_by_walker(texts, pattern) == cut_by_oracle(texts, pattern)


@pytest.mark.parametrize("pattern", ALL)
def test_equals_the_regexes_on_sources(pattern: Pattern, source_texts: list[str]) -> None:
    own = [path.read_text() for path in sorted((Path(__file__).parents[2] / "tokenizer").rglob("*.py"))]
    some = source_texts[:30] + own
    assert cut_by_walker(some, pattern) == cut_by_oracle(some, pattern)


@pytest.mark.parametrize("pattern", ALL)
def test_every_code_point_beside_every_kind_of_neighbour(pattern: Pattern) -> None:
    """Each character between two that are small, capital or neither, digits, white space, stops, breaks, marks."""
    random = np.random.default_rng(5)
    points = random.permutation(code_points(WHOLE_PLANES))
    neighbours = np.array([ord(character) for character in "aZ5 .\n中é'/\u0301"])
    mixed = np.stack([points, random.choice(neighbours, len(points)), random.choice(neighbours, len(points))], 1)
    texts = in_texts(mixed)
    assert cut_by_walker(texts, pattern) == cut_by_oracle(texts, pattern)


@pytest.mark.parametrize("pattern", ALL)
def test_no_other_character_folds_into_a_contraction(pattern: Pattern) -> None:
    """Each character that might have case, at every place of a contraction, after a word."""
    points = code_points(CASED_PLANES)
    texts = []
    for frame in ("a'?b", "a'?e", "a'v?", "a'L?", "a'R?", "a?s"):
        columns = [points if character == "?" else np.full(len(points), ord(character)) for character in frame + "\n"]
        texts += in_texts(np.stack(columns, 1))
    assert cut_by_walker(texts, pattern) == cut_by_oracle(texts, pattern)


@pytest.mark.parametrize("pattern", ALL)
def test_every_short_string_of_kinds(pattern: Pattern) -> None:
    """All strings of four characters out of one of each kind, each a document."""
    texts = ["".join(characters) for characters in product("aZ中5. \t\n\u0301'", repeat=4)]
    assert cut_by_walker(texts, pattern) == cut_by_oracle(texts, pattern)


def test_gpt2_is_what_byte_level_does_by_itself(source_texts: list[str]) -> None:
    split = ByteLevel(add_prefix_space=False, use_regex=True)
    for text in source_texts[:10]:
        ends = [end for _, (_, end) in split.pre_tokenize_str(text)]
        assert ends == np.cumsum([len(piece.decode()) for piece in cut_by_walker([text], GPT2)]).tolist()


@pytest.mark.parametrize("pattern", ALL)
def test_documents_are_texts_of_their_own(pattern: Pattern) -> None:
    assert cut_by_walker(["ab", "", "cd ", " ef", ""], pattern) == [b"ab", b"cd", b" ", b" ef"]
    assert cut_by_walker([], pattern) == [] == cut_by_walker(["", ""], pattern)


@pytest.mark.parametrize("pattern", ALL)
def test_blocks_go_on_inside_a_document(pattern: Pattern) -> None:
    text = "x " * (3 * pretokens.BLOCK)
    assert cut_by_walker([text], pattern) == [b"x"] + [b" x"] * (3 * pretokens.BLOCK - 1) + [b" "]


@pytest.mark.parametrize("pattern", ALL)
@settings(max_examples=200, deadline=None)
@given(texts=st.lists(st.text(st.sampled_from("\uffffaZ5 .\n中\u0301's"), max_size=12), max_size=4))
def test_a_lone_surrogate_is_an_unassigned_code_point(pattern: Pattern, texts: list[str]) -> None:
    """As bytes (WTF-8) it is as long as the noncharacter U+FFFF, and cut like that."""
    surrogate = "\udc00".encode("utf-8", "surrogatepass")
    expected = [piece.replace(b"\xef\xbf\xbf", surrogate) for piece in cut_by_oracle(texts, pattern)]
    assert cut_bytes([text.encode().replace(b"\xef\xbf\xbf", surrogate) for text in texts], pattern) == expected


@pytest.mark.parametrize("pattern", ALL)
@settings(max_examples=200, deadline=None)
@given(text=TEXTS, lead=st.sampled_from(["é", "中", "\U0001f600"]), kept=st.integers(1, 3))
def test_a_character_cut_off_by_the_end_is_an_unassigned_one(pattern: Pattern, text: str, lead: str, kept: int) -> None:
    rest = lead.encode()[: min(kept, len(lead.encode()) - 1)]
    noncharacter = "\uffff".encode()
    expected = cut_by_oracle([text + "\uffff"], pattern)
    assert expected[-1].endswith(noncharacter)
    expected[-1] = expected[-1].removesuffix(noncharacter) + rest
    assert cut_bytes([text.encode() + rest], pattern) == expected


@pytest.mark.parametrize("pattern", ALL)
@settings(max_examples=200, deadline=None)
@given(parts=st.lists(st.binary(max_size=24), max_size=4))
def test_damaged_bytes_are_tiled_without_leaving_the_document(pattern: Pattern, parts: list[bytes]) -> None:
    data = read_only(np.frombuffer(b"".join(parts), np.uint8))
    offsets = read_only(np.cumsum([0, *map(len, parts)]).astype(np.int64))
    ends = [end for _, block in pretokens.pretoken_blocks(offsets, data, pattern) for end in block.tolist()]
    assert ends == sorted(set(ends))
    assert set(np.unique(offsets[1:])) - {0} <= set(ends)
    assert not ends or ends[-1] == len(data)
    assert cut_bytes(parts, pattern) == [piece for part in parts for piece in cut_bytes([part], pattern)]
