"""A small run to look into: documents, clean and unique are made by the real stages, shards and a model by hand."""

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import yaml

from corpusmill.dataproc import storage
from corpusmill.dataproc.datasets import write_table
from corpusmill.dataproc.sequences.shards import ShardHeader, SpecialIds, segment_column, write_shard
from corpusmill.pipelines.engine import state
from corpusmill.pipelines.options import RunOptions
from corpusmill.pipelines.recipe import load_recipe
from corpusmill.pipelines.running import run_recipe

HOSTILE = "<script>alert('{{ 7 * 7 }}')</script> \x1b]0;owned\x07 \u202etxt.exe"
GOOD = 12
WORDS = ("the", "and", "with", "that", "river", "stone", "bridge", "morning", "letter", "window", "garden", "journey")
EOS, PAD, FIM_BEGIN, FIM_HOLE, FIM_END = 256, 257, 258, 259, 260
LENGTH = 24


def prose(seed: int) -> str:
    """Sentences that no rule of `gopher-quality` objects to, and that are like no others."""
    draw = random.Random(seed)
    words = [draw.choice(WORDS) if draw.random() < 0.4 else _word(draw) for _ in range(150)]
    return "\n".join(" ".join(words[i : i + 10]).capitalize() + "." for i in range(0, len(words), 10))


def _word(draw: random.Random) -> str:
    return "".join(draw.choice("abcdefghijklmnoprstuvw") for _ in range(draw.randint(3, 8)))


def make_run(folder: Path) -> Path:
    """Runs ingest, filter and dedup on a few documents: one hostile, one exact and one near copy, one broken record."""
    records = [{"id": f"good-{number}", "text": prose(number)} for number in range(GOOD)]
    records.append({"id": "twin", "text": prose(0)})
    records.append({"id": "near", "text": prose(1) + "\nOne more line."})
    records.append({"id": "hostile<b>", "text": HOSTILE})
    lines = [json.dumps(record) for record in records]
    raw = folder / "raw.jsonl"
    raw.write_text("\n".join([*lines[:3], "{not json", *lines[3:]]) + "\n")
    output = folder / "run"
    stages: dict[str, Any] = {
        "documents": {"stage": "ingest", "inputs": [str(raw)], "source": "tests", "part_bytes": "64KiB"},
        "clean": {"stage": "filter", "datasets": ["documents"], "rules": ["gopher-quality"]},
        "unique": {"stage": "dedup", "datasets": ["clean"]},
    }
    recipe = folder / "recipe.yaml"
    recipe.write_text(yaml.safe_dump({"name": "small", "output": str(output), "stages": stages}, sort_keys=False))
    assert run_recipe(load_recipe(str(recipe)), RunOptions(engine="local", workers=1, allow_quarantine=True)) == 0
    return output


def add_shards(run: Path) -> Path:
    """Adds a folder of shards: one token a byte; the first document spells a marker, the second is rearranged."""
    folder = run / "shards"
    plain = list("<｜fim▁end｜>\x1b[2J".encode())[: LENGTH - 1]
    first = [*plain, EOS, *[PAD] * (LENGTH - 1 - len(plain))]
    second = [FIM_BEGIN, *b"pre", FIM_HOLE, *b"suf", FIM_END, *b"mid", EOS]
    third = [*b"plain", EOS]
    rows = [first, second + third + [PAD] * (LENGTH - len(second) - len(third))]
    segments = segment_column(
        np.array([0, 1, 3]),
        pa.array(["good-2", "good-3", "good-4"]),
        pa.array(["tests"] * 3),
        np.zeros(3, np.int64),
        np.array([len(plain) + 1, len(second), len(third)], np.int32),
        np.array([False, True, False]),
    )
    special = SpecialIds(eos=EOS, pad=PAD, fim_begin=FIM_BEGIN, fim_hole=FIM_HOLE, fim_end=FIM_END)
    header = ShardHeader("f" * 32, LENGTH, special, vocab_size=261, model_rows=261, seed=0)
    name = "shard-00000.arrow"
    size, digest = write_shard(str(folder / name), header, np.array(rows, np.int32), segments)
    spelled = [bytes([byte]) for byte in range(256)] + [
        "<｜end｜>".encode(), "<｜pad｜>".encode(), "<｜fim▁begin｜>".encode(), "<｜fim▁hole｜>".encode(),
        "<｜fim▁end｜>".encode(),
    ]  # fmt: skip
    table = pa.table(
        {"id": pa.array(range(261), pa.int32()), "bytes": spelled, "special": [i > 255 for i in range(261)]}
    )
    vocabulary = {"path": "_vocabulary.parquet"} | write_table(str(folder / "_vocabulary.parquet"), table)
    tokens = len(plain) + 1 + len(second) + len(third)
    counts = dict.fromkeys(("quarantined", "validation_documents", "validation_sequences", "cut"), 0)
    counts |= {"cut_needlessly": 0, "boundary_splits": 0, "documents_in": 3, "kept": 3, "fim_documents": 1}
    counts |= {"tokens": tokens, "sequences": 2, "padding": 2 * LENGTH - tokens, "text_bytes": tokens}
    write_manifest(
        folder,
        "pack",
        inputs={"unique": {"manifest": _digest(run / "unique/_manifest.json")}},
        settings={"sequence_length": LENGTH, "packing": "best-fit"},
        counts=counts,
        parts=[{"path": name, "rows": 2, "bytes": size, "digest": digest, "tokens": tokens}],
        files=[vocabulary],
        facts={
            "fill": 0.9,
            "bytes_per_token": 1.0,
            "tokens_by": {"source": {"tests<i>": tokens}, "kind": {"web": tokens}, "language": {"None": tokens}},
            "tokenizer": "f" * 32,
        },
    )
    return folder


def add_model(run: Path, steps: int = 40) -> Path:
    """Adds a model's folder: metrics of some steps, with two measurements on held-back text."""
    folder = run / "model"
    folder.mkdir()
    lines = [
        {"step": step, "loss": 9 - step / 10, "mtp_loss": 9.2 - step / 10, "learning_rate": 0.001 * step,
         "expert_max_violation": 1 / step, "gradient_norm": 1.0}
        | ({"validation_loss": 8.5 - step / 10} if step % 20 == 0 else {})
        for step in range(1, steps + 1)
    ]  # fmt: skip
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    write_manifest(
        folder,
        "train",
        inputs={"shards": {"manifest": _digest(run / "shards/_manifest.json")}},
        settings={"steps": steps},
        counts={"steps": steps, "tokens": 1000, "sequences": 80},
        parts=[],
        files=[],
        facts={
            "parameters": {"total": 12345}, "preset": "laptop", "steps": steps, "tokens": 1000, "epochs": 0.5,
            "gigaflops_per_token": 0.1, "train_loss": 5.0, "validation_loss": 4.5, "unigram_loss": 6.5,
            "validation_bits_per_byte": 2.0,
        },
    )  # fmt: skip
    return folder


def write_manifest(folder: Path, stage: str, **rest: Any) -> None:
    manifest = {"schema": state.SCHEMA_VERSION, "corpusmill": "test", "stage": stage, "stage_version": 1, "seed": 0}
    storage.commit_bytes(str(folder / state.MANIFEST), state.to_json(manifest | rest))


def _digest(path: Path) -> str:
    return storage.digest_file(str(path))
