"""`corpusmill model evaluate`: what documents are told apart by, and that sums are those of the parts."""

import json
import sys
from math import log
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from corpusmill.dataproc import storage
from corpusmill.dataproc.datasets import write_table
from corpusmill.dataproc.documents import SCHEMA
from corpusmill.dataproc.errors import UserError
from corpusmill.pipelines.cli.main import app
from corpusmill.pipelines.engine import state
from corpusmill.pipelines.evaluation import evaluate
from corpusmill.pipelines.generation import TextGenerator
from corpusmill.training.watching.document_loss import document_nats
from tests.pipelines.test_model import run  # noqa: F401

TEXTS = {"a": "the river and the stone", "b": "a letter in the morning", "c": "bridge", "d": "the garden " * 9}
KINDS = {"a": "web", "b": "book", "c": "web", "d": "book"}


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Four documents of a decontaminate stage that reported: a is contaminated, b has a hit below the share."""
    folder = tmp_path / "checked"
    columns = {
        "id": list(TEXTS),
        "text": list(TEXTS.values()),
        "source": ["s", "s", "t", "t"],
        "kind": list(KINDS.values()),
        "language": ["en", "en", None, "en"],
    }
    values = [columns.get(field.name, [None] * 4) for field in SCHEMA]
    documents = pa.table(
        [pa.array(value, field.type) for value, field in zip(values, SCHEMA, strict=True)], schema=SCHEMA
    )
    hits = pa.table({"id": ["a", "a", "b"], "set": ["quiz"] * 3, "share": [0.2, 0.9, 0.3]})
    write_table(storage.join(str(folder), "part-00000.parquet"), documents)
    write_table(storage.join(str(folder), "_hits/part-00000.parquet.side"), hits)
    entry = {"bytes": 1, "digest": "0" * 32}
    manifest = {
        "stage": "decontaminate",
        "stage_version": 1,
        "schema": state.SCHEMA_VERSION,
        "seed": 0,
        "settings": {"share": 0.5, "shares": {}},
        "counts": {},
        "facts": {},
        "inputs": {},
        "parts": [entry | {"path": "part-00000.parquet", "rows": 4, "arrow_bytes": 1}],
        "files": [entry | {"path": "_hits/part-00000.parquet.side", "rows": 3}],
    }
    (folder / "_manifest.json").write_bytes(state.to_json(manifest))
    return folder


def test_documents_are_told_apart_by_what_they_are_and_by_contamination(run, dataset, tmp_path, monkeypatch, capsys):  # noqa: F811
    words = ["model", "evaluate", run, dataset, "--tokenizer", tmp_path / "tokenizer", "--json"]
    monkeypatch.setattr(sys, "argv", ["corpusmill", *map(str, words)])
    app(list(map(str, words)), standalone_mode=False)
    made = json.loads(capsys.readouterr().out)

    writer = TextGenerator(run, tmp_path / "tokenizer", threads=1)
    ids = {name: np.array(writer.tokenizer.encode(text)) for name, text in TEXTS.items()}
    eos = writer.tokenizer.special.eos
    nats = {name: document_nats(writer.trained.model, [tokens], eos, 48)[0] for name, tokens in ids.items()}

    def expected(names: str) -> dict[str, float]:
        total, tokens = sum(nats[name] for name in names), sum(len(ids[name]) for name in names)
        size = sum(len(TEXTS[name]) for name in names)
        return {
            "documents": len(names),
            "tokens": tokens,
            "bytes": size,
            "loss": pytest.approx(total / tokens, rel=1e-5),
            "bits_per_byte": pytest.approx(total / log(2) / size, rel=1e-5),
        }

    assert {key: made[key] for key in expected("abcd")} == expected("abcd")
    assert made["by"] == {
        "source": {"s": expected("ab"), "t": expected("cd")},
        "kind": {"web": expected("ac"), "book": expected("bd")},
        "language": {"en": expected("abd"), "(unknown)": expected("c")},
        "contamination": {"contaminated": expected("a"), "clean": expected("bcd")},
    }
    words.pop()
    app(list(map(str, words)), standalone_mode=False)
    shown = capsys.readouterr().out
    assert "contamination clean" in shown and "bits per byte" in shown
    half = evaluate(writer, str(dataset), share=0.5).total.documents
    assert half < 4 and half == evaluate(writer, str(dataset), share=0.5).total.documents


def test_mistakes_are_named(run, dataset, tmp_path):  # noqa: F811
    writer = TextGenerator(run, tmp_path / "tokenizer", threads=1)
    with pytest.raises(UserError, match="nothing to measure"):
        evaluate(writer, str(dataset), share=0)
    with pytest.raises(UserError):
        evaluate(writer, str(tmp_path / "tokenizer"))
