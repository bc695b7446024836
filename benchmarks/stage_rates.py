"""Measures what each stage costs, one worker, on text given by path: the rates behind `--dry-run`.

    python benchmarks/stage_rates.py '/data/corpus/*.jsonl.zst' --output /tmp/rates

Prints a line a stage: MB of text taken in, MB/s of wall time without start-up, bytes out and on disk for each byte in,
and the peak resident memory of the process tree. Start-up (imports, an engine) is left out by taking the times of the
tasks themselves from their markers. Kernels are compiled before.
"""

import argparse
import json
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil

TRAIN_FLAGS = ["--steps", "3", "--batch-sequences", "1", "--micro-batch", "1"]
ROAD = {
    "ingest": lambda a, out: ["ingest", *a.inputs, "--source", "bench", "--kind", "docs"],
    "filter": lambda a, out: ["filter", f"{out}/ingest", "--rules", "gopher-quality,gopher-repetition,fineweb"],
    "dedup": lambda a, out: ["dedup", f"{out}/ingest"],
    "tokenizer": lambda a, out: ["tokenizer", "train", f"{out}/dedup", "--vocab-size", "32000", "--special", "compact"],
    "pack": lambda a, out: ["pack", f"{out}/dedup", "--tokenizer", f"{out}/tokenizer", "--sequence-length", "4096"],
    "train": lambda a, out: ["train", f"{out}/pack", "--preset", "laptop", *TRAIN_FLAGS],
}


def peak_memory(process: subprocess.Popen, peak: list[int]) -> None:
    """Keeps the largest sum of resident bytes over the process tree in `peak[0]`."""
    root = psutil.Process(process.pid)
    while process.poll() is None:
        try:
            tree = [root, *root.children(recursive=True)]
            peak[0] = max(peak[0], sum(process.memory_info().rss for process in tree))
        except psutil.Error:
            pass
        time.sleep(0.05)


def disk_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and "_state" not in path.parts)


def task_seconds(folder: Path) -> float:
    return sum(json.loads(path.read_text()).get("seconds", 0) for path in folder.glob("_state/*/*.json"))


def text_bytes(manifest: dict) -> int:
    """Bytes of a dataset's rows, or of a shard set's tokens."""
    return sum(part.get("arrow_bytes", part.get("tokens", 0) * 4) for part in manifest["parts"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("inputs", nargs="+", help="raw text, as for `corpusmill ingest`")
    parser.add_argument("--output", required=True, help="folder to make (removed first)")
    arguments = parser.parse_args()
    out = Path(arguments.output)
    shutil.rmtree(out, ignore_errors=True)
    warm = "from corpusmill.pipelines import kernels; kernels.configure(); kernels.compile_if_needed(print)"
    subprocess.run([sys.executable, "-c", warm], check=True)
    taken = 0
    print(f"{'stage':<10} {'MB in':>8} {'MB/s':>8} {'out/in':>7} {'disk/in':>8} {'peak MB':>8}")
    for stage, command in ROAD.items():
        folder = out / stage
        line = [sys.executable, "-m", "corpusmill", *command(arguments, out), "--output", str(folder), "--workers", "1"]
        process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        peak = [0]
        watcher = threading.Thread(target=peak_memory, args=(process, peak))
        watcher.start()
        if process.wait() not in (0, 3):
            raise SystemExit(f"{' '.join(line)} ended with {process.returncode}")
        watcher.join()
        manifest = json.loads((folder / "_manifest.json").read_text())
        came_out = text_bytes(manifest)
        if stage == "ingest":
            taken = came_out
        elif stage == "train":
            taken = manifest["counts"]["tokens"] * 4
        seconds = task_seconds(folder)
        print(
            f"{stage:<10} {taken / 1e6:>8.1f} {taken / 1e6 / seconds:>8.2f} {came_out / taken:>7.2f} "
            f"{disk_bytes(folder) / taken:>8.2f} {peak[0] / 1e6:>8.0f}",
            flush=True,
        )
        if stage in ("ingest", "dedup"):
            taken = came_out


if __name__ == "__main__":
    main()
