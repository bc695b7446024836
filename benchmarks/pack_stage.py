"""Measures the pack stage against the encoder alone, on one core: what everything but tokenising costs.

    python benchmarks/pack_stage.py /tmp/road/documents --tokenizer /tmp/road/tokenizer --work /tmp/pack-stage

The encoder alone is `Tokenizer.encode` over the stage's own batches of text, in memory, with a fresh cache of pretokens
(cold), and once more with the one that is full by then (warm). The stage is `corpusmill pack --workers 1` from Parquet
to shards, in a process of its own: the seconds of its tasks, as their markers tell them, without start-up and without
`_vocabulary.parquet`, which is written once and has nothing to do with the corpus' size. The stage's cache begins cold
and stays warm from task to task, as in the cold pass, so that is the ratio of the bar. Both alternate, so that what
else the machine does falls on both; "cpu" is processor seconds, which suffer less from neighbours and hold Arrow's
threads, too.

A last run under Python's profiler says where the stage's time goes.
"""

import argparse
import json
import pstats
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

BAR = 1.3

STEPS = {
    "read Parquet": [("datasets.py", "read_batches")],
    "random keys": [("randomness.py", "random_keys"), ("randomness.py", "uniforms")],
    "encode": [("encoder.py", "encode")],
    "FIM cuts": [("fim.py", "draw_splits"), ("fim.py", "piece_texts"), ("encoding.py", "file_starts")],
    "boundary": [("boundary.py", "split_joined")],
    "assemble": [("fim.py", "assemble")],
    "join documents": [("shard_writing.py", "join")],
    "groups": [("pack.py", "group_names")],
    "packing": [("packing.py", "pack")],
    "report": [("packing.py", "report"), ("pack.py", "_tokens_by")],
    "segments": [("shards.py", "segment_column")],
    "fill": [("packing.py", "fill")],
    "write": [("shards.py", "write_shard")],
}
"""Functions that do not call each other, by the step that they are."""

TASKS = [("pack.py", "pack_documents"), ("shard_writing.py", "gather_shard")]
LOADING = ("caching.py", "load_overload")

RUNNER = """
import cProfile, runpy, sys, time
from corpusmill.pipelines import kernels
kernels.configure()
from corpusmill.pipelines.stages.pack.work import packing as pack
from corpusmill.pipelines.stages.pack.work import shard_writing
path, profiled = sys.argv.pop(1), sys.argv.pop(1) == "profiled"
spent = 0.0
def timed(work):
    def run(task):
        global spent
        started = time.process_time()
        try:
            return work(task)
        finally:
            spent += time.process_time() - started
    return run
if not profiled:
    pack.pack_documents = timed(pack.pack_documents)
    shard_writing.gather_shard = timed(shard_writing.gather_shard)
profiler = cProfile.Profile(builtins=False)
try:
    (profiler.runcall if profiled else lambda run, *a, **k: run(*a, **k))(
        runpy.run_module, "corpusmill", run_name="__main__", alter_sys=True)
finally:
    profiler.dump_stats(path) if profiled else open(path, "w").write(str(spent))
"""
"""Runs the command line in one process, as it is, and notes the processor seconds of its tasks, or profiles it."""


def run_stage(arguments: argparse.Namespace, profiled: bool = False) -> tuple[float, float, float, dict[str, int]]:
    """(seconds of tasks, those of `vocabulary`, processor seconds of tasks, counts); or leaves a profile."""
    work = Path(arguments.work)
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    folder = work / "shards"
    line = [sys.executable, "-c", RUNNER, str(work / "measured"), "profiled" if profiled else "timed"]
    line += ["pack", arguments.dataset, "--tokenizer", arguments.tokenizer, "--output", str(folder), "--workers", "1"]
    line += ["--sequence-length", str(arguments.sequence_length), *arguments.option]
    done = subprocess.run(line, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"pack ended with {done.returncode}\n{done.stdout}{done.stderr}")
    spent = {"vocabulary": 0.0, "tasks": 0.0}
    for path in folder.glob("_state/*/*.json"):
        kind = "vocabulary" if path.parent.name == "vocabulary" else "tasks"
        spent[kind] += json.loads(path.read_text()).get("seconds", 0.0)
    counts = json.loads((folder / "_manifest.json").read_text())["counts"]
    cpu = 0.0 if profiled else float((work / "measured").read_text())
    return spent["tasks"], spent["vocabulary"], cpu, counts


def encode_all(tokenizer, texts: list) -> tuple[float, float, int]:
    """(seconds, cpu seconds, tokens) of encoding all batches."""
    started, cpu = time.perf_counter(), time.process_time()
    tokens = sum(len(tokenizer.encode(text).values) for text in texts)
    return time.perf_counter() - started, time.process_time() - cpu, tokens


def print_profile(path: Path) -> None:
    """Each step's share of the tasks."""
    table = pstats.Stats(str(path)).stats  # type: ignore[attr-defined]

    def seconds(wanted: tuple[str, str]) -> float:
        return sum(
            entry[3]
            for (file, _, name), entry in table.items()
            if (Path(file).name, name) == wanted and "site-packages" not in file
        )

    whole = sum(seconds(task) for task in TASKS)
    steps = {label: sum(seconds(function) for function in functions) for label, functions in STEPS.items()}
    steps["the rest"] = whole - sum(steps.values())
    print(f"\n{'step':<16} {'seconds':>8} {'share':>7} {'of encode':>10}")
    for label, spent in steps.items():
        print(f"{label:<16} {spent:>8.2f} {spent / whole:>7.1%} {spent / steps['encode']:>10.1%}")
    loading = sum(entry[3] for (file, _, name), entry in table.items() if (Path(file).name, name) == LOADING)
    print(f"tasks: {whole:.2f} s; loading compiled kernels, within tasks and before them: {loading:.2f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", help="a dataset of documents")
    parser.add_argument("--tokenizer", required=True, help="a tokenizer folder")
    parser.add_argument("--work", required=True, help="folder for the shards (removed first)")
    parser.add_argument("--sequence-length", type=int, default=4096)
    parser.add_argument("--option", action="append", default=[], help="a further flag of `pack`, as --option=--bos")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()

    from corpusmill.pipelines import kernels

    kernels.configure()
    kernels.compile_if_needed(print)
    from corpusmill.dataproc.datasets import read_batches
    from corpusmill.tokenizer.encoder import Tokenizer

    parts = sorted(Path(arguments.dataset).glob("part-*.parquet"))
    texts = [batch.column("text") for part in parts for batch in read_batches(str(part), ["text"])]
    size = sum(text.nbytes for text in texts)
    encode_all(Tokenizer.load(arguments.tokenizer), texts[:1])  # loads the kernels
    run_stage(arguments)  # loads what is compiled
    print(f"{len(texts)} batches, {size / 1e6:,.1f} MB of text, {len(parts)} parts; seconds")
    print(f"{'':>3} {'cold':>7} {'cpu':>7} {'warm':>7} {'cpu':>7} {'stage':>7} {'cpu':>7} {'vocabulary':>11}")
    turns = []
    for turn in range(arguments.repeats):
        tokenizer = Tokenizer.load(arguments.tokenizer)
        cold, cold_cpu, tokens = encode_all(tokenizer, texts)
        warm, warm_cpu, _ = encode_all(tokenizer, texts)
        stage, vocabulary, stage_cpu, counts = run_stage(arguments)
        turns.append((stage / cold, stage_cpu / cold_cpu, stage / warm, stage_cpu / warm_cpu))
        print(
            f"{turn:>3} {cold:>7.2f} {cold_cpu:>7.2f} {warm:>7.2f} {warm_cpu:>7.2f} {stage:>7.2f} {stage_cpu:>7.2f} "
            f"{vocabulary:>11.2f}",
            flush=True,
        )
    print(f"{tokens / 1e6:,.1f} M tokens encoded, {counts['tokens'] / 1e6:,.1f} M packed, of them FIM marks and ends")
    names = ("cold", "cold, processor seconds", "warm", "warm, processor seconds")
    for name, ratios in zip(names, zip(*turns, strict=True), strict=True):
        print(f"stage / encoder, {name}: {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
    print(f"the bar is {BAR} against the cold encoder")
    run_stage(arguments, profiled=True)
    print_profile(Path(arguments.work) / "measured")


if __name__ == "__main__":
    main()
