"""The real libraries read what we write, and we read what they write; each test is skipped where its library is not."""

import numpy as np
import pytest

from tests.dataproc.exchange.shardset import EOS, PAD, all_documents, expected_rows, export, lists_of, make_shards
from tests.dataproc.exchange.test_formats import DOCUMENTS, read_back

ROWS = expected_rows(DOCUMENTS, 8)


@pytest.fixture
def shards(tmp_path):
    return make_shards(tmp_path / "shards", DOCUMENTS)


@pytest.fixture
def documents(shards):
    return [document for items in all_documents(shards)[0] for document in lists_of(items)]


@pytest.fixture
def indexed_dataset():
    pytest.importorskip("torch")
    return pytest.importorskip("megatron.core.datasets.indexed_dataset")


@pytest.fixture
def datasets(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return pytest.importorskip("datasets")


def megatron_items(module, folder):
    rows = []
    for path in sorted(folder.glob("*.idx"), key=lambda path: path.stem):
        dataset = module.IndexedDataset(str(path.with_suffix("")))
        rows += [dataset[number].tolist() for number in range(len(dataset))]
    return rows


def test_megatron_reads_sequences_and_documents(tmp_path, shards, documents, indexed_dataset):
    export("megatron", shards, tmp_path / "s")
    export("megatron", shards, tmp_path / "d", "document")
    assert megatron_items(indexed_dataset, tmp_path / "s") == ROWS
    assert megatron_items(indexed_dataset, tmp_path / "d") == documents


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.int64])
def test_documents_of_several_sequences_by_megatron_are_read_joined(tmp_path, indexed_dataset, dtype):
    torch = pytest.importorskip("torch")
    builder = indexed_dataset.IndexedDatasetBuilder(str(tmp_path / "a.bin"), dtype=dtype)
    builder.add_document(torch.tensor([1, 2, 3, EOS]), [3, 1])
    builder.add_item(torch.tensor([4]))
    builder.add_item(torch.tensor([5, EOS]))
    builder.end_document()
    builder.finalize(str(tmp_path / "a.idx"))
    for path in (tmp_path / "a.idx", tmp_path / "a", tmp_path):
        assert read_back("megatron", path) == [[1, 2, 3, EOS], [4, 5, EOS]]


def test_streaming_reads_sequences_and_documents(tmp_path, shards, documents):
    streaming = pytest.importorskip("streaming")
    export("mds", shards, tmp_path / "s")
    export("mds", shards, tmp_path / "d", "document")
    rows = list(streaming.LocalDataset(str(tmp_path / "s")))
    assert [row["tokens"].tolist() for row in rows] == [row + [PAD] * (8 - len(row)) for row in ROWS]
    assert [int(row["segment_lengths"].sum()) for row in rows] == [len(row) for row in ROWS]
    names = [row["documents"].split("\n") for row in rows]
    assert [len(row_names) for row_names in names] == [len(row["segment_lengths"]) for row in rows]
    assert {"d0\\n\\\\", "d1"} <= {name for row_names in names for name in row_names}
    samples = list(streaming.LocalDataset(str(tmp_path / "d")))
    assert [row["tokens"].tolist() for row in samples] == documents
    assert sorted(row["document"] for row in samples)[:2] == ["d0\n\\", "d1"]


@pytest.mark.parametrize(
    ("encoding", "make"),
    [
        ("ndarray:int32", lambda ids: np.array(ids, np.int32)),
        ("ndarray:uint16", lambda ids: np.array(ids, np.uint16)),
        ("ndarray:int64:4", lambda ids: np.array(ids, np.int64)),
        ("bytes", lambda ids: np.array(ids, np.int64).tobytes()),
    ],
)
def test_tokens_by_mdswriter_are_read(tmp_path, encoding, make):
    streaming = pytest.importorskip("streaming")
    written = [[1, 2, 3, EOS], [4, 5, 6, EOS], [7, EOS, 8, EOS]]
    columns = {"tokens": encoding, "name": "str"}
    with streaming.MDSWriter(out=str(tmp_path / "out"), columns=columns, size_limit=200) as writer:
        for ids in written:
            writer.write({"tokens": make(ids), "name": "n" * ids[0]})
    assert read_back("mds", tmp_path / "out") == [*written[:2], [7, EOS], [8, EOS]]


def test_datasets_loads_sequences_and_documents(tmp_path, shards, documents, datasets):
    export("huggingface", shards, tmp_path / "s")
    export("huggingface", shards, tmp_path / "d", "document")
    rows = datasets.load_dataset(str(tmp_path / "s"), split="train", cache_dir=str(tmp_path / "cache"))
    assert [row["input_ids"] for row in rows] == [row + [PAD] * (8 - len(row)) for row in ROWS]
    assert [sum(row["segment_lengths"]) for row in rows] == [len(row) for row in ROWS]
    document_rows = datasets.load_dataset(str(tmp_path / "d"), split="train", cache_dir=str(tmp_path / "cache"))
    assert [row["input_ids"] for row in document_rows] == documents


def test_what_datasets_saved_is_read(tmp_path, datasets):
    made = datasets.Dataset.from_dict({"input_ids": [[1, 2, EOS], [3, EOS]], "n": [1, 2]})
    made.save_to_disk(str(tmp_path / "saved"))
    made.to_parquet(str(tmp_path / "a.parquet"))
    for path in (tmp_path / "saved", tmp_path / "a.parquet"):
        assert read_back("huggingface", path) == [[1, 2, EOS], [3, EOS]]
