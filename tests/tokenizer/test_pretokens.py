"""The walker cuts exactly where `tokenizers` cuts, on every text."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Regex
from tokenizers.pre_tokenizers import Sequence, Split

from dataproc.errors import UserError
from tokenizer import pretokens, unicode
from tokenizer.keys import read_only
from tokenizer.patterns import DEEPSEEK_V3

ORACLE = Sequence([Split(Regex(regex), "isolated") for regex in DEEPSEEK_V3.splits])

# Characters near every border of the pattern, beside arbitrary ones of all planes.
TELLING = (
    "aZé中ー・゛゜\u3040ぁ１5٣½Ⅷ.'#,_-+$€。、！ \t\r\n\u00a0\u3000\u2028\u0085"
    "\u200b\u0301\u0903\x00\x01\ue000\U000e0001\U0001f600\U00020000한\u0378"
)
TEXTS = st.text(st.one_of(st.sampled_from(TELLING), st.characters(exclude_categories=("Cs",))), max_size=40)


def cut_by_walker(texts: list[str]) -> list[bytes]:
    offsets, data = pretokens.read_text(pa.array(texts, pa.large_string()))
    pieces = []
    for start, ends in pretokens.pretoken_blocks(offsets, data):
        for end in ends.tolist():
            pieces.append(data[start:end].tobytes())
            start = end
    return pieces


def cut_by_oracle(texts: list[str]) -> list[bytes]:
    return [piece.encode() for text in texts for piece, _ in ORACLE.pre_tokenize_str(text)]


@settings(max_examples=1500, deadline=None)
@given(st.lists(TEXTS, max_size=4))
def test_equals_the_regexes_on_any_text(texts: list[str]) -> None:
    assert cut_by_walker(texts) == cut_by_oracle(texts)


def test_equals_the_regexes_on_sources(source_texts: list[str]) -> None:
    some = source_texts[:60]
    assert cut_by_walker(some) == cut_by_oracle(some)


def test_every_code_point_beside_every_kind_of_neighbour() -> None:
    """Each character alone, and between a letter, a digit, a space, a stop, a line break and a Han character."""
    random = np.random.default_rng(5)
    points = np.concatenate([np.arange(0xD800), np.arange(0xE000, 0x33500), np.arange(0xE0000, 0xE0200)])
    neighbours = np.array([ord(c) for c in "a5 .\n中é"])
    shuffled = random.permutation(points)
    mixed = np.stack([shuffled, random.choice(neighbours, len(points)), random.choice(neighbours, len(points))], 1)
    text = mixed.astype("<u4").tobytes().decode("utf-32-le")
    texts = [text[start : start + 5000] for start in range(0, len(text), 5000)]
    assert cut_by_walker(texts) == cut_by_oracle(texts)


def test_documents_are_texts_of_their_own() -> None:
    assert cut_by_walker(["ab", "", "cd ", " ef", ""]) == [b"ab", b"cd", b" ", b" ef"]
    assert cut_by_walker([]) == [] == cut_by_walker(["", ""])


def test_a_slice_is_read_where_it_lies() -> None:
    offsets, data = pretokens.read_text(pa.array(["skipped", "one two", "skipped too"], pa.large_string())[1:2])
    ((start, ends),) = pretokens.pretoken_blocks(offsets, data)
    assert (start, ends.tolist()) == (7, [10, 14])


def test_blocks_go_on_inside_a_document() -> None:
    text = "x " * (3 * pretokens.BLOCK)
    assert cut_by_walker([text]) == [b"x"] + [b" x"] * (3 * pretokens.BLOCK - 1) + [b" "]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.binary(max_size=24), max_size=4))
def test_damaged_bytes_are_tiled_without_leaving_the_buffer(parts: list[bytes]) -> None:
    data = read_only(np.frombuffer(b"".join(parts), np.uint8))
    offsets = read_only(np.cumsum([0, *map(len, parts)]).astype(np.int64))
    ends = [end for _, block in pretokens.pretoken_blocks(offsets, data) for end in block.tolist()]
    assert ends == sorted(set(ends))
    assert set(np.unique(offsets[1:])) - {0} <= set(ends)
    assert not ends or ends[-1] == len(data)


def test_pretokens_of_a_text() -> None:
    assert pretokens.pretokens("Don't panic: 12345 中文!\n") == [
        *("Don", "'t", " panic", ":", " ", "123", "45", " ", "中文", "!\n")
    ]
    with pytest.raises(UserError, match="unknown pretoken pattern"):
        pretokens.pretokens("x", pattern="none")


def test_classes_are_cached_whole_and_remade_when_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORPUSMILL_CACHE", str(tmp_path))
    known = unicode.unicode_classes()
    built = []
    monkeypatch.setattr(unicode, "build_classes", lambda: built.append(1) or known.copy())
    load = unicode.unicode_classes.__wrapped__
    assert np.array_equal(load(), known) and np.array_equal(load(), known)
    assert len(built) == 1
    (path,) = (tmp_path / "unicode").iterdir()
    path.write_bytes(path.read_bytes()[:1000])
    assert np.array_equal(load(), known)
    assert len(built) == 2


def test_classes_without_a_cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("CORPUSMILL_CACHE", str(tmp_path / "file"))
    known = unicode.unicode_classes()
    monkeypatch.setattr(unicode, "build_classes", lambda: known.copy())
    assert np.array_equal(unicode.unicode_classes.__wrapped__(), known)


def test_nothing_is_built_at_import() -> None:
    code = (
        "import sys, tokenizer, tokenizer.pretokens, tokenizer.unicode as p; assert 'tokenizers' not in sys.modules;"
        "print(p.unicode_classes.cache_info().currsize)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "0\n"
