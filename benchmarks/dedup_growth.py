"""How de-duplication grows: seconds, disk, memory, reads and bytes by phase on 1, 2, 4, 8 and 16 times a corpus.

    python benchmarks/dedup_growth.py /data/corpus --output /tmp/growth [--flags='--verify exact']

CORPUS is a folder of *.jsonl.zst (id, text). Copy 0 is the corpus as it is. In every further copy half of the documents
are near duplicates, with 1 % of their words replaced (a Jaccard similarity of about 0.9 to the original and of 0.8 to
each other), and half are new text, with 60 % replaced, which leaves 1 % of the 5-grams; which ones, and by which words
of the corpus, is drawn from the seed, the copy and the id. So clusters grow with the corpus, as they do when crawls
repeat, and so does what is unique.

Each copy is a dataset; a size takes the first so many of them. Printed for each: wall seconds of `corpusmill dedup`;
CPU seconds of all its processes, start-up included; the most bytes of its work files (digests, keys, signatures,
pairs; whatever is not Parquet) and the bytes of all that
is there in the end; the most resident memory of the process tree and of its largest process. Below, by phase: tasks,
seconds of all tasks together, batches of other tasks' files that they read (a file for each block or partition of the
phase before), and bytes of the files that they wrote, where they say so. Then the slopes of log
against log over the sizes: 1 is linear, 0 is flat. They are given without the first size, too: the corpus alone has few
near duplicates, so its step to twice the size brings more of their work than of documents. And the output grows faster
than its rows, since replaced words compress worse than the corpus. Sizes take turns, `--repeats` rounds, and the
one of least CPU seconds counts. Kernels are compiled before.
"""

import argparse
import itertools
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq

SIZES = (1, 2, 4, 8, 16)
NEAR, NEW = 0.01, 0.6
PIECES = re.compile(r"\w+|\W+")


def corpusmill(*line: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "corpusmill", *line], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def finished(process: subprocess.Popen) -> None:
    output = process.communicate()[0]
    if process.returncode:
        raise SystemExit(f"{shlex.join(process.args)} ended with {process.returncode}\n{output.decode()}")


def perturb(text: str, key: int, vocabulary: np.ndarray) -> str:
    """The text with some of its words replaced by words of the vocabulary, all drawn from the key."""
    generator = np.random.Generator(np.random.PCG64(key))
    pieces = PIECES.findall(text)
    words = np.flatnonzero([piece[0].isalnum() or piece[0] == "_" for piece in pieces])
    rate = NEAR if generator.random() < 0.5 else NEW
    chosen = words[generator.random(len(words)) < rate]
    for place, word in zip(chosen.tolist(), generator.choice(vocabulary, len(chosen)).tolist(), strict=True):
        pieces[place] = word
    return "".join(pieces)


def make_copies(corpus: Path, folder: Path, copies: int, seed: int) -> list[Path]:
    """Ingests the corpus and its perturbed copies, each a dataset; those that are there are left as they are."""
    from corpusmill.dataproc.randomness import random_keys

    datasets = [folder / f"copy-{number}" for number in range(copies)]
    ready = [(dataset / "_manifest.json").exists() for dataset in datasets]
    if not ready[0]:
        inputs = [str(path) for path in sorted(corpus.glob("*.jsonl.zst"))]
        finished(corpusmill("ingest", *inputs, "--source", "copy-0", "--kind", "docs", "--output", str(datasets[0])))
    if all(ready):
        return datasets
    original = pa.concat_tables(
        [pq.read_table(path, columns=["id", "text"]) for path in sorted(datasets[0].glob("*.parquet"))]
    )
    ids, texts = original["id"].combine_chunks(), original["text"].to_pylist()
    vocabulary = np.array(sorted({word for text in texts[::50] for word in re.findall(r"\w+", text)}))
    for number in range(1, copies):
        if ready[number]:
            continue
        keys = random_keys(seed, f"growth {number}", ids).tolist()
        changed = [perturb(text, key, vocabulary) for text, key in zip(texts, keys, strict=True)]
        raw = folder / f"raw-{number}.parquet"
        pq.write_table(
            pa.table({"id": [f"{identifier}~{number}" for identifier in ids.to_pylist()], "text": changed}), raw
        )
        line = [str(raw), "--source", f"copy-{number}", "--kind", "docs", "--output", str(datasets[number])]
        finished(corpusmill("ingest", *line))
        raw.unlink()
    return datasets


def disk_bytes(folder: Path, output_too: bool) -> int:
    """Bytes of the files below a folder, those of Parquet only if asked for."""
    total = 0
    for path in folder.rglob("*"):
        try:
            if path.is_file() and (output_too or ".parquet" not in path.name):
                total += path.stat().st_size
        except FileNotFoundError:  # renamed or removed since it was listed
            continue
    return total


def watch(process: subprocess.Popen, output: Path, most: dict[str, int]) -> None:
    """Keeps the most that was seen of `tree` and `process` (resident bytes) and `work` (bytes of work files)."""
    root = psutil.Process(process.pid)
    for turn in itertools.count():
        if process.poll() is not None:
            return
        try:
            resident = [process.memory_info().rss for process in (root, *root.children(recursive=True))]
            most["tree"] = max(most["tree"], sum(resident))
            most["process"] = max(most["process"], *resident)
        except psutil.Error:
            pass
        if turn % 10 == 0:
            most["work"] = max(most["work"], disk_bytes(output, output_too=False))
        time.sleep(0.02)


def phases(output: Path) -> dict[str, dict[str, float]]:
    """{phase: tasks, seconds, reads, bytes}, by the markers of its tasks."""
    by_phase: dict[str, dict[str, float]] = {}
    for folder in sorted(path for path in (output / "_state").iterdir() if path.is_dir()):
        markers = [json.loads(path.read_text()) for path in folder.glob("*.json")]
        if markers:
            by_phase[folder.name] = {
                "tasks": len(markers),
                "seconds": sum(marker["seconds"] for marker in markers),
                "bytes": sum(marker["result"].get("bytes", 0) for marker in markers),
                "reads": 0,
            }
    blocks, keys, chosen = (int(by_phase[name]["tasks"]) for name in ("sign", "pairs", "survivors"))
    by_phase["pairs"]["reads"] = 2 * blocks * keys
    by_phase["route"]["reads"] = keys
    by_phase["survivors"]["reads"] = chosen * (blocks + keys)
    by_phase["apply"]["reads"] = blocks * chosen
    return by_phase


def measure(datasets: list[Path], output: Path, flags: list[str]) -> dict[str, Any]:
    shutil.rmtree(output, ignore_errors=True)
    most = {"tree": 0, "process": 0, "work": 0}
    started, before = time.monotonic(), os.times()
    process = corpusmill("dedup", *map(str, datasets), "--output", str(output), *flags)
    watcher = threading.Thread(target=watch, args=(process, output, most))
    watcher.start()
    finished(process)
    seconds, after = time.monotonic() - started, os.times()
    cpu = after.children_user - before.children_user + after.children_system - before.children_system
    watcher.join()
    kept = sum(pq.ParquetFile(path).metadata.num_rows for path in output.glob("*.parquet"))
    by_phase = phases(output)
    reads = sum(phase["reads"] for phase in by_phase.values())
    measured = {
        "seconds": seconds,
        "cpu": cpu,
        "kept": kept,
        "end": disk_bytes(output, output_too=True),
        "reads": reads,
    }
    return measured | {"phases": by_phase} | most


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", help="folder of *.jsonl.zst")
    parser.add_argument("--output", required=True, help="folder for the copies, which are kept, and the results")
    parser.add_argument("--flags", default="", help="more flags for `corpusmill dedup`")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    folder = Path(arguments.output)
    folder.mkdir(parents=True, exist_ok=True)
    datasets = make_copies(Path(arguments.corpus), folder, max(arguments.sizes), arguments.seed)
    warm = "from corpusmill.pipelines import kernels; kernels.configure(); kernels.compile_if_needed(print)"
    subprocess.run([sys.executable, "-c", warm], check=True)
    flags = ["--workers", str(arguments.workers), *shlex.split(arguments.flags)]
    columns = ["seconds", "cpu", "work", "end", "tree", "process", "reads"]
    heads = (
        "times",
        "documents",
        "kept",
        "MB in",
        "s",
        "CPU s",
        "MB/CPU s",
        "work MB",
        "end MB",
        "tree MB",
        "one MB",
        "reads",
    )
    widths = (6, 10, 10, 8, 8, 8, 9, 9, 8, 8, 7, 9)
    print(" ".join(f"{head:>{width}}" for head, width in zip(heads, widths, strict=True)))
    measured: dict[int, list[dict[str, Any]]] = {size: [] for size in arguments.sizes}
    for _ in range(arguments.repeats):
        for size in arguments.sizes:
            measured[size].append(measure(datasets[:size], folder / "unique", flags))
    points = []
    for size, rounds in measured.items():
        manifests = [json.loads((dataset / "_manifest.json").read_text()) for dataset in datasets[:size]]
        parts = [part for manifest in manifests for part in manifest["parts"]]
        rows, text = sum(part["rows"] for part in parts), sum(part["arrow_bytes"] for part in parts)
        fastest = min(rounds, key=lambda one: one["cpu"])
        points.append([fastest[name] for name in columns])
        row = (f"{size}", f"{rows:,}", f"{fastest['kept']:,}", f"{text / 1e6:,.0f}", f"{fastest['seconds']:.2f}")
        row += (f"{fastest['cpu']:.2f}", f"{text / 1e6 / fastest['cpu']:.1f}")
        row += tuple(f"{fastest[name] / 1e6:,.0f}" for name in ("work", "end", "tree", "process"))
        row += (f"{fastest['reads']:,}",)
        print(" ".join(f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True)), flush=True)
        for name, phase in fastest["phases"].items():
            spent = f"{phase['tasks']:,} tasks, {phase['seconds']:.2f} s, {phase['reads']:,} reads"
            print(f"{'':>17} {name:<10} {spent}, {phase['bytes'] / 1e6:,.1f} MB written", flush=True)
    for first in range(len(points) - 1 if len(points) < 3 else 2):
        slopes = np.polyfit(np.log(arguments.sizes[first:]), np.log(np.array(points[first:])), 1)[0]
        exponents = ", ".join(f"{name} {slope:.2f}" for name, slope in zip(columns, slopes, strict=True))
        print(f"exponents from {arguments.sizes[first]} times on: {exponents}")


if __name__ == "__main__":
    main()
