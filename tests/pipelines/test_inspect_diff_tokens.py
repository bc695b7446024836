"""`inspect diff` of shard sets and tokenizers: order, documents by their tokens, ranks, and how a text is cut."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.dataproc.sequences.shards import ShardHeader, SpecialIds, segment_column, write_shard
from corpusmill.pipelines.inspect.diff.compare import compare
from corpusmill.pipelines.inspect.diff.shards import ShardsDiff
from corpusmill.pipelines.inspect.diff.tokenizers import SAMPLES, TokenizerDiff, tokenizer_diff
from corpusmill.tokenizer.formats.files import read_tokenizer, write_tokenizer
from corpusmill.tokenizer.special import layout_named
from corpusmill.tokenizer.vocabulary import Vocabulary, alphabet
from tests.pipelines.small_run import write_manifest

LENGTH = 8
Documents = dict[str, list[int]]


def _shards(folder: Path, sequences: list[list[tuple[str, int, list[int]]]], rows: int = 3, **packing: Any) -> str:
    """A shard set; a sequence is segments of (document, first token's place, tokens)."""
    header = ShardHeader("f" * 32, LENGTH, SpecialIds(eos=1, pad=2), 1000, 1024, seed=0, packing=packing)
    parts = []
    for number, start in enumerate(range(0, len(sequences), rows)):
        some = sequences[start : start + rows]
        flat = [segment for sequence in some for segment in sequence]
        bounds = np.cumsum([0, *map(len, some)])
        segments = segment_column(
            bounds,
            pa.array([document for document, _, _ in flat], pa.string()),
            pa.array([document.split("/")[0] for document, _, _ in flat], pa.string()),
            np.array([at for _, at, _ in flat], np.int64),
            np.array([len(tokens) for _, _, tokens in flat], np.int32),
            np.zeros(len(flat), bool),
        )
        tokens = [[token for _, _, part in sequence for token in part] for sequence in some]
        padded = np.array([row + [2] * (LENGTH - len(row)) for row in tokens], np.int32).reshape(-1, LENGTH)
        name = f"shard-{number:05d}.arrow"
        size, digest = write_shard(str(folder / name), header, padded, segments)
        entry = {"path": name, "rows": len(some), "bytes": size, "digest": digest, "tokens": sum(map(len, tokens))}
        parts.append(entry)
    write_manifest(folder, "pack", settings=packing, inputs={}, counts={}, parts=parts, files=[], facts={})
    return str(folder)


def _packed(documents: Documents) -> list[list[tuple[str, int, list[int]]]]:
    """Documents one after the other, cut where a sequence is full."""
    sequences: list[list[tuple[str, int, list[int]]]] = [[]]
    room = LENGTH
    for document, tokens in documents.items():
        at = 0
        while at < len(tokens):
            part = tokens[at : at + room]
            sequences[-1].append((document, at, part))
            at, room = at + len(part), room - len(part)
            if not room:
                sequences.append([])
                room = LENGTH
    return [sequence for sequence in sequences if sequence]


def _detail(first: str, second: str) -> ShardsDiff:
    detail = compare(first, second).detail
    assert isinstance(detail, ShardsDiff)
    return detail


def test_the_same_files_are_the_same_and_are_not_read(tmp_path: Path) -> None:
    documents = {f"web/{number}": [10 + number] * 5 for number in range(6)}
    paths = [_shards(tmp_path / name, _packed(documents)) for name in ("first", "second")]
    (tmp_path / "first/shard-00001.arrow").write_bytes(b"")
    diff = compare(*paths)
    assert isinstance(diff.detail, ShardsDiff)
    assert (diff.differs, diff.detail.order, diff.detail.tokens) == (False, None, (30, 30))


def test_sequences_in_another_order_are_moved_and_their_documents_the_same(tmp_path: Path) -> None:
    sequences = _packed({f"web/{number}": [10 + number] * LENGTH for number in range(7)})
    moved = [sequences[0], *sequences[1:][::-1]]
    diff = _detail(_shards(tmp_path / "first", sequences), _shards(tmp_path / "second", moved))
    assert diff.order is not None
    assert (diff.order.same_place, diff.order.moved, diff.order.first_difference) == (1, 6, 1)
    assert (diff.order.only_first, diff.order.only_second) == (0, 0)
    assert diff.documents == {"same": 7, "changed": 0, "gone": 0, "new": 0}


def test_documents_are_compared_by_their_tokens_however_they_are_packed(tmp_path: Path) -> None:
    documents = {f"web/{number}": list(range(10, 15 + number)) for number in range(4)}
    other = {"code/x": [7, 8], **documents, "web/2": [*documents["web/2"][:-1], 99]}
    del other["web/1"]
    diff = _detail(
        _shards(tmp_path / "first", _packed(documents)), _shards(tmp_path / "second", _packed(other), bos=True)
    )
    assert diff.documents == {"same": 2, "changed": 1, "gone": 1, "new": 1}
    assert diff.tokens_of == {"same": 5 + 8, "changed": 7, "gone": 6, "new": 2}
    assert diff.by_source["code"] == {"same": 0, "changed": 0, "gone": 0, "new": 1}
    assert {(row.fate, row.id, row.tokens) for row in diff.examples} == {
        ("changed", "web/2", (7, 7)), ("gone", "web/1", (6, 0)), ("new", "code/x", (0, 2)),
    }  # fmt: skip
    assert {change.name for change in diff.settings} == {"bos", "header.packing.bos"}


@settings(max_examples=20, deadline=None)
@given(
    st.dictionaries(st.sampled_from(["a", "b", "c"]), st.lists(st.integers(3, 5), min_size=1, max_size=20), max_size=3)
)
def test_packing_in_another_order_changes_no_document(documents: Documents) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        backwards = dict(reversed(documents.items()))
        paths = [
            _shards(Path(folder, name), _packed(some), rows)
            for name, some, rows in (("first", documents, 1), ("second", backwards, 2))
        ]
        diff = _detail(paths[0], paths[1])
    if diff.order is not None:
        assert diff.documents == {"same": len(documents), "changed": 0, "gone": 0, "new": 0}
    assert diff.tokens == (sum(map(len, documents.values())),) * 2


def _vocabulary(*merges: bytes) -> Vocabulary:
    """Three special ids, the 256 bytes, and merges of a byte and what is known already."""
    specials = list(layout_named("deepseek-v3").first)
    tokens = [*(token.encode() for token in specials), *(bytes([byte]) for byte in alphabet())]
    ids = {token: number for number, token in enumerate(tokens) if number >= len(specials)}
    pairs = []
    for merged in merges:
        ids[merged] = len(tokens)
        tokens.append(merged)
        pairs.append((ids[merged[:-1]], ids[merged[-1:]], ids[merged]))
    return Vocabulary(pa.array(tokens, pa.large_binary()), np.array(pairs, np.int32).reshape(-1, 3), len(specials))


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    folder = tmp_path_factory.mktemp("tokenizers")
    for name, merges in (("first", (b"th", b"the", b"an", b"in")), ("second", (b"an", b"th", b"in", b"and", b"ing"))):
        write_tokenizer(str(folder / name), _vocabulary(*merges), "deepseek-v3", "deepseek-v3", {"seed": 1})
    return str(folder / "first"), str(folder / "second")


def test_tokens_and_merges_are_compared_by_their_bytes_and_ranks(tokenizers: tuple[str, str]) -> None:
    diff = tokenizer_diff(*map(read_tokenizer, tokenizers), texts={})
    assert diff.tokens.sizes == (260, 261)
    assert (diff.tokens.common, diff.tokens.only_first, diff.tokens.only_second) == (259, 1, 2)
    assert (diff.tokens.same_rank, diff.tokens.common_prefix, diff.tokens.median_shift) == (256, 256, 0.0)
    assert diff.tokens.first_missing == ([("the", 257)], [("and", 259), ("ing", 260)])
    assert diff.tokens.most_moved == [("an", 258, 256), ("th", 256, 257), ("in", 259, 258)]
    assert (diff.merges.sizes, diff.merges.common, diff.merges.common_prefix) == ((4, 5), 3, 0)
    assert diff.merges.first_missing == ([("th + e", 1)], [("an + d", 3), ("in + g", 4)])
    names = {change.name for change in diff.settings}
    assert "vocab_size" in names and "roles.eos" not in names


def test_a_text_is_cut_by_each_and_without_one_a_sentence_of_each_script(tokenizers: tuple[str, str]) -> None:
    done = compare(*tokenizers, texts={"text 1": "the thing and é"})
    assert isinstance(done.detail, TokenizerDiff) and done.differs
    (cut,) = done.detail.cuts
    assert [piece for piece, _ in cut.first] == ["the", " ", "th", "in", "g", " ", "an", "d", " ", "\\xc3", "\\xa9"]
    assert [piece for piece, _ in cut.second] == ["th", "e", " ", "th", "ing", " ", "and", " ", "\\xc3", "\\xa9"]
    same = compare(tokenizers[0], tokenizers[0])
    assert isinstance(same.detail, TokenizerDiff) and not same.differs
    assert [cut.name for cut in same.detail.cuts] == list(SAMPLES)
    assert all(cut.same_pieces for cut in same.detail.cuts)


def test_a_file_of_another_library_is_read_as_it_is(tokenizers: tuple[str, str], tmp_path: Path) -> None:
    foreign = tmp_path / "tokenizer.json"
    foreign.write_bytes(Path(tokenizers[0], "tokenizer.json").read_bytes())
    done = compare(tokenizers[0], str(foreign), texts={})
    assert isinstance(done.detail, TokenizerDiff)
    assert not done.detail.tokens.differs and not done.detail.merges.differs and done.detail.special == []
