"""What a report on a large run costs: time, peak memory and size of the page, by the number of parts and steps.

    python benchmarks/report_size.py /tmp/large --parts 10000 --steps 100000

A run is made whose filter has so many parts, each with statistics, a ledger, rejected documents and a task's marker
(links to one part's files, so that making it takes no hours), and a training run of so many steps. The report has to
stay bounded: it reads at most 256 side files of a kind and 256 markers of a phase.
"""

import argparse
import json
import os
import resource
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from corpusmill.dataproc.documents import LEDGER_SCHEMA
from corpusmill.dataproc.rules import resolve_rules, rule_to_dict
from corpusmill.pipelines.report import write_report

DOCUMENTS, REJECTED = 4_000, 400
LAYERS, ROUTERS = 61, 58


def make_filter(folder: Path, parts: int) -> None:
    """A finished filter of so many parts, all alike."""
    rules = [rule for rule in resolve_rules(["gopher-quality", "fineweb"], {}, ()) if rule.statistic]
    draw = np.random.default_rng(0)
    ids = [f"document-{number}" for number in range(DOCUMENTS)]
    columns = {"id": ids, "character_count": draw.integers(1, 100_000, DOCUMENTS)}
    columns |= {rule.statistic: draw.random(DOCUMENTS) for rule in rules}
    names = [rules[number % len(rules)].name for number in range(REJECTED)]
    ledger = pa.table([ids[:REJECTED], names, [0.5] * REJECTED, [0.4] * REJECTED], schema=LEDGER_SCHEMA)
    rejected = {"id": ids[:REJECTED], "text": ["some text " * 100] * REJECTED, "source": ["web"] * REJECTED}
    tables = {
        "statistics": pa.table(columns),
        "ledger": ledger,
        "rejected": pa.table({**rejected, "language": ["en"] * REJECTED}),
    }
    folder.mkdir(parents=True)
    files = []
    for name, table in tables.items():
        one = folder / f"_{name}.one"
        pq.write_table(table, one)
        (folder / f"_{name}").mkdir()
        for number in range(parts):
            path = f"_{name}/part-{number:05}.parquet.side"
            os.link(one, folder / path)
            files.append({"path": path, "rows": table.num_rows, "bytes": 0, "arrow_bytes": 0, "digest": "0" * 32})
    sources = {f"source-{number}": (DOCUMENTS - REJECTED) // 20 for number in range(20)}
    part = {"rows": DOCUMENTS - REJECTED, "bytes": 0, "arrow_bytes": 0, "digest": "0" * 32}
    part |= {"sources": sources, "languages": {"en": DOCUMENTS - REJECTED}}
    entries = [{"path": f"part-{number:05}.parquet"} | part for number in range(parts)]
    state = folder / "_state/measure"
    state.mkdir(parents=True)
    for number in range(parts):
        marker = {
            "task": f"part-{number:05}",
            "seconds": 30.0,
            "attempt": 1,
            "worker": f"host-{number % 64}:7",
            "result": {},
        }
        (state / f"part-{number:05}.json").write_text(json.dumps(marker))
    counts = {"documents_in": parts * DOCUMENTS, "kept": parts * (DOCUMENTS - REJECTED), "rejected": parts * REJECTED}
    broke = {rule.name: parts * REJECTED // len(rules) for rule in rules}
    facts = {"documents_that_broke": broke, "rules_in_force": [rule_to_dict(rule) for rule in rules]}
    write_manifest(folder, "filter", counts | {"quarantined": 0}, facts, entries, files)


def make_training(folder: Path, steps: int) -> None:
    """A training run in FP8 of so many steps, with a measurement every 100."""
    folder.mkdir(parents=True)
    shares = {"inputs": [0.01, 0.001], "weights": [0.0, 0.0], "gradients": [0.02, 0.003]}
    fp8 = {f"layers.{layer}": shares for layer in range(LAYERS)}
    with (folder / "metrics.jsonl").open("w") as file:
        for step in range(1, steps + 1):
            line = {
                "step": step,
                "loss": 8 - step / steps,
                "mtp_loss": 8.2,
                "learning_rate": 1e-3,
                "gradient_norm": 1.0,
            }
            line |= {"expert_violations": [0.1] * ROUTERS, "expert_max_violation": 0.1}
            if step % 100 == 0:
                line |= {"validation_loss": 7.5, "validation_by_source": {"web": 1.0, "code": 0.9}, "fp8": fp8}
            file.write(json.dumps(line) + "\n")
    facts = {
        "preset": "v3", "parameters": {"total": 1}, "steps": steps, "tokens": 1, "epochs": 1.0,
        "gigaflops_per_token": 1.0, "train_loss": 7.0, "validation_loss": 7.5, "unigram_loss": 9.0,
        "validation_bits_per_byte": 1.0,
    }  # fmt: skip
    write_manifest(folder, "train", {"steps": steps, "tokens": 1, "sequences": 1}, facts, [], [])


def write_manifest(folder: Path, stage: str, counts: dict, facts: dict, parts: list, files: list) -> None:
    """A manifest as the engine's, for what the report reads of it."""
    manifest = {"schema": 1, "corpusmill": "benchmark", "stage": stage, "stage_version": 1, "seed": 0, "inputs": {}}
    manifest |= {"settings": {}, "counts": counts, "facts": facts, "parts": parts, "files": files}
    (folder / "_manifest.json").write_text(json.dumps(manifest))


def main() -> None:
    """Makes the run, writes the report, prints what that took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="a new folder")
    parser.add_argument("--parts", type=int, default=10_000)
    parser.add_argument("--steps", type=int, default=100_000)
    chosen = parser.parse_args()
    make_filter(chosen.folder / "clean", chosen.parts)
    make_training(chosen.folder / "model", chosen.steps)
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    cpu = time.process_time()
    stages = [(name, str(chosen.folder / name)) for name in ("clean", "model")]
    page = write_report(str(chosen.folder), "large", stages, core_hour_price=0.04)
    seconds, busy = time.monotonic() - started, time.process_time() - cpu
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"{chosen.parts:,} parts, {chosen.steps:,} steps: {seconds:.1f} s ({busy:.1f} s of a core), ", end="")
    print(f"peak {after / 1024:,.0f} MiB (before {before / 1024:,.0f}), page {Path(page).stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
