"""All four formats: written by us, read by readers made from the format's definition; then read by us, and the same."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.dataproc.exchange import flat, pieces
from corpusmill.dataproc.exchange.documents import cut_documents
from corpusmill.dataproc.exchange.formats import format_named
from tests.dataproc.exchange.shardset import (
    EOS,
    FORMATS,
    OPTIONS,
    VOCAB,
    all_documents,
    expected_rows,
    export,
    header,
    lists_of,
    make_shards,
    read_plainly,
)

DOCUMENTS = [[1, 2, EOS], [3, EOS], [*range(4, 30), EOS], [EOS], [30, 31, EOS], [32, EOS]]
bodies = st.lists(st.lists(st.integers(0, 89), max_size=30).map(lambda body: [*body, EOS]), min_size=1, max_size=12)


def read_back(kind, folder, piece_bytes=1 << 20, add_eos=False):
    """The documents of an export, by our own reader."""
    module, documents = format_named(kind), []
    for piece in module.pieces(str(folder), piece_bytes, OPTIONS):
        for read in module.read(piece, OPTIONS):
            imported = cut_documents(read, header().special, VOCAB, add_eos=add_eos, path=piece.path)
            pairs = zip(imported.offsets[:-1], imported.offsets[1:], strict=True)
            documents += [imported.tokens[a:b].tolist() for a, b in pairs]
    return documents


@pytest.mark.parametrize("kind", FORMATS)
def test_sequences_are_read_by_the_definition_in_their_order_without_padding(tmp_path, kind):
    rows = expected_rows(DOCUMENTS, 8)
    export(kind, make_shards(tmp_path / "shards", DOCUMENTS), tmp_path / "out")
    expected = [[token for row in rows for token in row]] if kind == "flat" else rows
    assert read_plainly(kind, tmp_path / "out") == expected


@pytest.mark.parametrize("kind", FORMATS)
def test_documents_are_read_by_the_definition(tmp_path, kind):
    shards = make_shards(tmp_path / "shards", DOCUMENTS)
    documents = [document for items in all_documents(shards)[0] for document in lists_of(items)]
    export(kind, shards, tmp_path / "out", "document")
    expected = [[token for document in documents for token in document]] if kind == "flat" else documents
    assert read_plainly(kind, tmp_path / "out") == expected


@pytest.mark.parametrize("kind", FORMATS)
@settings(max_examples=25, deadline=None)
@given(documents=bodies, piece_bytes=st.sampled_from([4, 64, 1 << 20]), batch=st.sampled_from([1, 7, 1 << 22]))
def test_what_is_exported_as_documents_is_read_as_the_same_documents(kind, documents, piece_bytes, batch):
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        for module in (pieces, flat):
            patch.setattr(module, "BATCH_TOKENS", batch)
        shards = make_shards(Path(folder, "shards"), documents)
        export(kind, shards, Path(folder, "out"), "document")
        imported = read_back(kind, Path(folder, "out"), piece_bytes)
    assert sorted(imported) == sorted(documents)


@pytest.mark.parametrize("kind", FORMATS)
@settings(max_examples=15, deadline=None)
@given(documents=bodies)
def test_what_is_exported_as_sequences_loses_no_token(kind, documents):
    with tempfile.TemporaryDirectory() as folder:
        export(kind, make_shards(Path(folder, "shards"), documents), Path(folder, "out"))
        imported = read_back(kind, Path(folder, "out"))
    assert [token for document in imported for token in document] == [
        t for row in expected_rows(documents, 8) for t in row
    ]


@pytest.mark.parametrize(("kind", "ending", "bytes_a_token"), [("megatron", ".bin", 2), ("flat", ".bin", 2)])
def test_small_vocabularies_take_two_bytes_an_id(tmp_path, kind, ending, bytes_a_token):
    export(kind, make_shards(tmp_path / "shards", DOCUMENTS), tmp_path / "out")
    assert sum(path.stat().st_size for path in (tmp_path / "out").glob(f"*{ending}")) == bytes_a_token * sum(
        map(len, DOCUMENTS)
    )


@pytest.mark.parametrize("kind", FORMATS)
def test_large_ids_survive(tmp_path, kind):
    documents = [[70_000, 128_000, 65_535, EOS], [65_536, EOS]]
    export(kind, make_shards(tmp_path / "shards", documents, vocab=129_000), tmp_path / "out", vocab=129_000)
    assert sorted(t for item in read_plainly(kind, tmp_path / "out") for t in item) == sorted(
        t for document in documents for t in document
    )


@pytest.mark.parametrize("kind", FORMATS)
def test_equal_shards_give_equal_bytes(tmp_path, kind):
    shards = make_shards(tmp_path / "shards", DOCUMENTS)
    contents = []
    for name in ("a", "b"):
        export(kind, shards, tmp_path / name)
        contents.append({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()})
    assert contents[0] == contents[1] and contents[0]


@pytest.mark.parametrize("kind", FORMATS)
def test_an_exception_leaves_no_file(tmp_path, kind):
    writer = format_named(kind).Writer(str(tmp_path), "shard-00000", header(), "document")
    items = all_documents(make_shards(tmp_path / "shards", DOCUMENTS))[0][0]
    with pytest.raises(RuntimeError), writer:
        writer.write(items)
        raise RuntimeError
    assert [path.name for path in tmp_path.iterdir()] == ["shards"]


def test_flat_files_are_cut_into_pieces_at_end_tokens_only(tmp_path):
    tokens = np.array([t for document in DOCUMENTS for t in document], "<u2")
    tokens.tofile(tmp_path / "train.bin")
    options = OPTIONS._replace(dtype="uint16")
    for piece_bytes in (4, 12, 40, 1 << 20):
        tokens_read, places = [], []
        for piece in flat.pieces(str(tmp_path / "train.bin"), piece_bytes, options):
            for read in flat.read(piece, options):
                tokens_read += read.tokens.tolist()
                places.append(read.first)
                assert read.tokens[-1] == EOS and (read.first == 0 or tokens[read.first - 1] == EOS)
        assert tokens_read == tokens.tolist() and places == sorted(set(places))
