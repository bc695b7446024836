"""A small run whose steps can be asked about, a tokenizer and a search index: all that the window has a page for."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa

from corpusmill.dataproc.sequences.shards import shard_entries
from corpusmill.pipelines.engine.executor import make_executor
from corpusmill.pipelines.engine.stage import Session, run_stage
from corpusmill.pipelines.settings import validate
from corpusmill.pipelines.stages.search.plan import SearchSettings, SearchStage
from corpusmill.tokenizer.formats.files import write_tokenizer
from corpusmill.tokenizer.special import layout_named
from corpusmill.tokenizer.vocabulary import Vocabulary, alphabet
from corpusmill.training.order.sequence_order import SequenceOrder
from tests.pipelines.small_run import LENGTH, add_model, add_shards, make_run

STEPS = 2


def all_kinds(folder: Path) -> list[str]:
    """The folders: "run", "tokenizer" and "index"."""
    run = make_run(folder)
    shards = add_shards(run)
    model = add_model(run, steps=STEPS)
    order = SequenceOrder.of_entries(shard_entries(str(shards)), LENGTH, seed=7)
    (model / "plan.json").write_text(order.to_json())
    manifest = json.loads((model / "_manifest.json").read_text())
    (model / "_manifest.json").write_text(json.dumps(manifest | {"settings": {"steps": STEPS, "shards": "shards"}}))
    lines = [json.loads(line) for line in (model / "metrics.jsonl").read_text().splitlines()]
    more = [line | {"sequences": line["step"], "batch_sequences": 1} for line in lines]
    (model / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in more))
    sequences = [{"row": 0, "nats": 7.5}]
    spike = {"step": 2, "loss": 9.0, "norm": 3.0, "why": "far above", "done": "skipped", "back_to": None, "first": 1}
    spike |= {"end": 2, "skipped_from": 1, "sequences": sequences, "sequences_left_out": 0}
    (model / "spikes.jsonl").write_text(json.dumps(spike) + "\n")
    return [str(run), str(_tokenizer(folder / "tokenizer")), str(_index(folder / "index", run))]


def _tokenizer(folder: Path) -> Path:
    """Bytes and no merges."""
    specials = list(layout_named("deepseek-v3").first)
    tokens = [*(token.encode() for token in specials), *(bytes([byte]) for byte in alphabet())]
    vocabulary = Vocabulary(pa.array(tokens, pa.large_binary()), np.zeros((0, 3), np.int32), len(specials))
    write_tokenizer(str(folder), vocabulary, "deepseek-v3", "deepseek-v3", {"seed": 1})
    return folder


def _index(folder: Path, run: Path) -> Path:
    stage = SearchStage(validate(SearchSettings, {"datasets": [str(run / "clean")]}))
    with Session(make_executor=lambda: make_executor("local", workers=1)) as session:
        run_stage(stage, str(folder), session)
    return folder
