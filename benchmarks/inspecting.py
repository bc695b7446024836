"""Measures `corpusmill inspect` on a run of 10 million rows of statistics and a shard set of a million sequences.

    python benchmarks/inspecting.py make /tmp/inspecting --rows 10000000 --sequences 1000000
    python benchmarks/inspecting.py measure /tmp/inspecting

`make` writes a run in our layout without running stages: documents of one short text each, cut into parts of 100,000,
what a filter kept and rejected of them, its ledger and all of its statistics (the same 100,000 rows of numbers for each
part, with ids of their own), shards of two segments a sequence, and the order and metrics of a training run. It is
about 4 GB, and `--rows` and `--sequences` make it smaller. `measure` runs each command once to warm the page cache and
then twice, each in a process of its own, and prints the best wall time, the processor time of that run, and its
peak memory.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from corpusmill.dataproc import storage
from corpusmill.dataproc.datasets import write_table
from corpusmill.dataproc.documents import SCHEMA
from corpusmill.dataproc.measures.statistics import STATISTICS
from corpusmill.dataproc.rules import resolve_rules, rule_to_dict
from corpusmill.dataproc.sequences.shards import ShardHeader, SpecialIds, segment_column, shard_entries, write_shard
from corpusmill.pipelines.engine import state
from corpusmill.training.order.sequence_order import SequenceOrder

PART_ROWS, SHARD_ROWS, LENGTH, STEP = 100_000, 65_536, 256, 64
WORDS = ("the", "of", "and", "to", "in", "is", "that", "for", "it", "as", "was", "with", "be", "by", "had", "an")
STATISTICS_GROUP = 21_000
"""Rows of a row group of 96 statistics: 16 MiB."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("make", "measure"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--sequences", type=int, default=1_000_000)
    parser.add_argument("--first", type=int, default=0, help="measure from this command on")
    arguments = parser.parse_args()
    if arguments.what == "make":
        make_run(arguments.folder, arguments.rows, arguments.sequences)
    else:
        measure(arguments.folder, arguments.first)


def make_run(run: Path, rows: int, sequences: int) -> None:
    template = _Template(np.random.default_rng(17))
    digest = _documents(run, rows, template)
    digest = _filtered(run, rows, template, digest)
    _shards(run, sequences, rows, digest)


class _Template:
    """100,000 texts with their statistics, which every part repeats under ids of its own."""

    def __init__(self, draw: np.random.Generator) -> None:
        lengths = np.maximum(1, draw.lognormal(4.6, 0.5, PART_ROWS)).astype(np.int64)
        words = np.array(WORDS)
        self.texts = [" ".join(words[draw.integers(0, len(words), min(int(n), 12))]) for n in lengths]
        self.numbers: dict[str, pa.Array] = {}
        for name in STATISTICS:
            values = draw.integers(0, 1000, PART_ROWS) / 1000
            self.numbers[name] = pa.array(values)
        self.words = lengths
        self.numbers["word_count"] = pa.array(lengths)
        self.numbers["byte_count"] = pa.array([len(text) for text in self.texts])
        self.kept = lengths >= 50
        self.sources = pa.array([("web", "books", "code")[n % 3] for n in range(PART_ROWS)])
        self.languages = pa.array([("en", "de", None)[n % 3] for n in range(PART_ROWS)])

    def ids(self, part: int) -> pa.Array:
        return pa.array([f"web/crawl-{part:05d}.jsonl#{row}" for row in range(PART_ROWS)])

    def batch(self, part: int) -> pa.Table:
        nothing = pa.nulls(PART_ROWS, pa.string())
        kinds = pa.array(["web"] * PART_ROWS)
        columns = [self.ids(part), self.texts, self.sources, kinds, self.languages, nothing, nothing]
        return pa.table([pa.array(column) for column in columns], names=SCHEMA.names).cast(SCHEMA)


def _write(folder: Path, name: str, table: pa.Table, group: int = 1 << 17) -> dict[str, Any]:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, compression="zstd", compression_level=1, row_group_size=group)
    size = {"path": name, "rows": table.num_rows, "bytes": path.stat().st_size, "arrow_bytes": table.nbytes}
    return size | {"digest": "0" * 32}


def _documents(run: Path, rows: int, template: _Template) -> str:
    folder, parts = run / "documents", []
    for part in range(rows // PART_ROWS):
        entry = _write(folder, f"part-{part:05d}.parquet", template.batch(part))
        parts.append(entry | {"sources": _counted(template.sources), "languages": _counted(template.languages)})
    counts = {"documents_in": rows, "kept": rows, "quarantined": 0}
    settings = {"inputs": [], "source": "web", "id_field": "id", "format": None}
    return _manifest(folder, "ingest", {}, settings, counts, parts, [], {})


def _filtered(run: Path, rows: int, template: _Template, digest: str) -> str:
    folder, parts, files = run / "clean", [], []
    rule = "gopher-quality/words"
    kept, rejected = pa.array(template.kept), pa.array(~template.kept)
    broken = int((~template.kept).sum())
    values = pa.array(template.words.astype(float)).filter(rejected)
    for part in range(rows // PART_ROWS):
        name, batch, ids = f"part-{part:05d}", template.batch(part), template.ids(part)
        parts.append(
            _write(folder, f"{name}.parquet", batch.filter(kept)) | {"sources": _counted(template.sources.filter(kept))}
        )
        gone = batch.filter(rejected).append_column("broken_rules", pa.array([rule] * broken))
        files.append(_write(folder, f"_rejected/{name}.parquet.side", gone))
        ledger = pa.table(
            [ids.filter(rejected), [rule] * broken, values, [50.0] * broken], ["id", "rule", "value", "threshold"]
        )
        files.append(_write(folder, f"_ledger/{name}.parquet.side", ledger))
        labels = [ids, template.sources, pa.array(["web"] * PART_ROWS), template.languages]
        statistics = pa.table(
            [*labels, *template.numbers.values()], names=["id", "source", "kind", "language", *template.numbers]
        )
        files.append(_write(folder, f"_statistics/{name}.parquet.side", statistics, STATISTICS_GROUP))
    count = rows // PART_ROWS
    facts = {
        "rules_in_force": [rule_to_dict(one) for one in resolve_rules(["gopher-quality"]) if one.name == rule],
        "documents_that_broke": {rule: broken * count},
    }
    counts = {"documents_in": rows, "kept": rows - broken * count, "quarantined": 0, "rejected": broken * count}
    settings = {"datasets": ["documents"], "rules": [rule], "languages": []}
    return _manifest(folder, "filter", {"documents": {"manifest": digest}}, settings, counts, parts, files, facts)


def _shards(run: Path, sequences: int, rows: int, digest: str) -> None:
    folder, parts = run / "shards", []
    special = SpecialIds(eos=256, pad=257)
    header = ShardHeader("f" * 32, LENGTH, special, vocab_size=258, model_rows=258, seed=0)
    draw = np.random.default_rng(18)
    folder.mkdir(parents=True, exist_ok=True)
    for number, first in enumerate(range(0, sequences, SHARD_ROWS)):
        count = min(SHARD_ROWS, sequences - first)
        tokens = draw.integers(0, 256, (count, LENGTH), np.int32)
        documents = (np.arange(first * 2, (first + count) * 2) * 7919) % rows
        ids = pa.array([f"web/crawl-{n // PART_ROWS:05d}.jsonl#{n % PART_ROWS}" for n in documents.tolist()])
        lengths = np.tile(np.array([100, LENGTH - 100], np.int32), count)
        segments = segment_column(
            np.arange(0, 2 * count + 1, 2), ids, pa.array(["web"] * 2 * count), np.zeros(2 * count, np.int64), lengths,
            np.zeros(2 * count, bool),
        )  # fmt: skip
        name = f"shard-{number:05d}.arrow"
        size, sum_ = write_shard(str(folder / name), header, tokens, segments)
        parts.append(
            {"path": name, "rows": count, "bytes": size, "digest": sum_, "tokens": count * LENGTH, "group": ""}
        )
    vocabulary = pa.table(
        {
            "id": pa.array(range(258), pa.int32()),
            "bytes": [bytes([n]) for n in range(256)] + [b"<end>", b"<pad>"],
            "special": [n > 255 for n in range(258)],
        }
    )
    files = [{"path": "_vocabulary.parquet"} | write_table(str(folder / "_vocabulary.parquet"), vocabulary)]
    counts = {
        "documents_in": rows,
        "kept": rows,
        "quarantined": 0,
        "sequences": sequences,
        "tokens": sequences * LENGTH,
    }
    facts = {"tokens_by": {"source": {"web": sequences * LENGTH}}, "tokenizer": "f" * 32}
    settings = {"sequence_length": LENGTH, "packing": "concat", "datasets": ["clean"]}
    inputs = {"clean": {"manifest": digest}}
    digest = _manifest(folder, "pack", inputs, settings, counts | {"padding": 0}, parts, files, facts)
    model = run / "model"
    model.mkdir(parents=True, exist_ok=True)
    order = SequenceOrder.of_entries(shard_entries(str(folder)), LENGTH, seed=7)
    (model / "plan.json").write_text(order.to_json())
    steps = sequences // STEP
    with (model / "metrics.jsonl").open("w") as lines:
        for step in range(1, steps + 1):
            lines.write(
                json.dumps({"step": step, "loss": 3.0, "sequences": step * STEP, "batch_sequences": STEP}) + "\n"
            )
    inputs, settings = {"shards": {"manifest": digest}}, {"shards": "shards", "steps": steps}
    _manifest(model, "train", inputs, settings, {"steps": steps}, [], [], {})


def _manifest(
    folder: Path,
    stage: str,
    inputs: dict[str, Any],
    settings: dict[str, Any],
    counts: dict[str, int],
    parts: list[dict[str, Any]],
    files: list[dict[str, Any]],
    facts: dict[str, Any],
) -> str:
    manifest = {
        "schema": state.SCHEMA_VERSION, "corpusmill": "benchmark", "stage": stage, "stage_version": 1, "seed": 0,
        "inputs": inputs, "settings": settings, "counts": counts, "parts": parts, "files": files, "facts": facts,
    }  # fmt: skip
    return storage.commit_bytes(str(folder / state.MANIFEST), state.to_json(manifest))


def _counted(column: pa.Array) -> dict[str, int]:
    return {entry["values"] or "(unknown)": entry["counts"] for entry in column.value_counts().to_pylist()}


def measure(run: Path, first: int) -> None:
    rejected = pq.read_table(run / "clean/_rejected/part-00000.parquet.side", columns=["id"])["id"][17].as_py()
    first_shard = pa.ipc.open_file(run / "shards/shard-00000.arrow").get_batch(0)
    kept = first_shard["segments"][5].as_py()[0]["document"]
    clean, shards = run / "clean", run / "shards"
    grouped = "SELECT floor(word_count / 50) AS b, count(*) AS n FROM statistics GROUP BY b ORDER BY b"
    joined = "SELECT l.rule, avg(s.byte_count) AS b FROM ledger l JOIN statistics s USING (id) GROUP BY l.rule"
    sorted_ = "SELECT id FROM statistics ORDER BY word_count, id LIMIT 5 OFFSET 5000000"
    commands: list[list[str | Path]] = [
        [run],
        [run / "documents"],
        [clean],
        [shards],
        [run / "model"],
        ["sample", clean, "-n", "5"],
        ["sample", clean, "--only", "words"],
        ["sample", clean, "--near", "words"],
        ["sample", clean, "--where", "word_count < 20 and mean_word_length > 0.5"],
        ["sample", clean, "--contains", "had had an an"],
        ["sample", shards, "-n", "5"],
        ["why", run, rejected],
        ["why", run, kept],
        ["trace", run, "--step", "100"],
        ["trace", run, "--document", kept],
        ["sql", "SELECT rule, count(*) AS n FROM ledger GROUP BY rule", run],
        ["sql", grouped, run],
        ["sql", joined, run, "--memory", "256MiB"],
        ["sql", sorted_, run, "--memory", "256MiB"],
    ]
    print(f"{'wall s':>7} {'cpu s':>7} {'MB':>6}  command")
    for command in commands[first:]:
        runs = [_run(command) for _ in range(3)][1:]
        wall, cpu, peak = min(runs)
        shown = " ".join(str(word).replace(f"{run}", "RUN") for word in command)
        print(f"{wall:7.2f} {cpu:7.2f} {peak / 1e6:6.0f}  inspect {shown[:110]}", flush=True)


_COMMAND = """
import sys
from corpusmill.dataproc.operating_system import peak_memory_bytes
from corpusmill.pipelines.cli.main import main
try:
    main()
except SystemExit as ended:
    sys.__stderr__.write(f"{peak_memory_bytes()}")
    raise
"""


def _run(command: list[str | Path]) -> tuple[float, float, int]:
    """(wall seconds, processor seconds, peak bytes) of a command in a process of its own."""
    line = [sys.executable, "-c", _COMMAND, "inspect", *map(str, command)]
    started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(line, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    seconds, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"this failed: {command}: {done.stderr}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return seconds, cpu, int(done.stderr.split()[-1])


if __name__ == "__main__":
    main()
