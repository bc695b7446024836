"""Measures the memory of ingest and filter on an input of 200 MB and on one of 20 GB: it must be the same.

    python benchmarks/filter_memory.py /data/corpus --output /tmp/memory [--copies 1,132] [--flags='--rules c4']

CORPUS is a folder of *.jsonl.zst (id, text). A size is so many copies of it, as links to the same files in a folder
each, so that the input takes no room; the output does (a third of the text). Each size is ingested and filtered by the
command line with one worker and with two. Printed: wall seconds, MB/s of text, the most resident memory of the process
tree and of its largest process, sampled every 20 ms. Kernels are compiled before. Ids repeat; neither stage
minds.
"""

import argparse
import itertools
import json
import shlex
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil

from corpusmill.pipelines import kernels


def watch(process: subprocess.Popen, most: dict[str, int]) -> None:
    """Keeps the most resident bytes that were seen of the process's whole tree and of one process in it."""
    root = psutil.Process(process.pid)
    while process.poll() is None:
        try:
            resident = [process.memory_info().rss for process in (root, *root.children(recursive=True))]
            most["tree"], most["process"] = max(most["tree"], sum(resident)), max(most["process"], *resident)
        except psutil.Error:
            pass
        time.sleep(0.02)


def measured(*line: str) -> dict[str, float]:
    process = subprocess.Popen(
        [sys.executable, "-m", "corpusmill", *line], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    most = {"tree": 0, "process": 0}
    watcher = threading.Thread(target=watch, args=(process, most))
    started = time.monotonic()
    watcher.start()
    output = process.communicate()[0]
    seconds = time.monotonic() - started
    watcher.join()
    if process.returncode:
        raise SystemExit(f"{shlex.join(line)} ended with {process.returncode}\n{output.decode()}")
    return {"seconds": seconds} | most


def linked_copies(corpus: Path, folder: Path, copies: int) -> Path:
    """A folder in which each copy of the corpus is a folder of links."""
    shutil.rmtree(folder, ignore_errors=True)
    for number, path in itertools.product(range(copies), sorted(corpus.glob("*.jsonl.zst"))):
        below = folder / f"copy-{number:04d}"
        below.mkdir(parents=True, exist_ok=True)
        (below / path.name).symlink_to(path.resolve())
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path, help="folder of *.jsonl.zst")
    parser.add_argument("--output", type=Path, required=True, help="a folder to work in")
    parser.add_argument("--copies", default="1,132")
    parser.add_argument("--workers", default="1,2")
    parser.add_argument("--flags", default="", help="more flags of filter")
    arguments = parser.parse_args()
    kernels.compile_if_needed(print)
    for copies in map(int, arguments.copies.split(",")):
        raw = linked_copies(arguments.corpus, arguments.output / "raw", copies)
        for workers in arguments.workers.split(","):
            documents, clean = arguments.output / "documents", arguments.output / "clean"
            for folder in (documents, clean):
                shutil.rmtree(folder, ignore_errors=True)
            same = ("--workers", workers)
            ingest = measured("ingest", str(raw), "--kind", "docs", "--output", str(documents), *same)
            manifest = json.loads((documents / "_manifest.json").read_text())
            size = sum(part["arrow_bytes"] for part in manifest["parts"])
            flags = shlex.split(arguments.flags)
            results = {
                "ingest": ingest,
                "filter": measured("filter", str(documents), "--output", str(clean), *same, *flags),
            }
            for stage, result in results.items():
                print(
                    f"{stage:>7} of {size / 1e9:6.2f} GB, {workers} workers: {result['seconds']:6.1f} s, "
                    f"{size / 1e6 / result['seconds']:6.1f} MB/s; most memory {result['tree'] / 1e6:5.0f} MB, "
                    f"of one process {result['process'] / 1e6:5.0f} MB",
                    flush=True,
                )


if __name__ == "__main__":
    main()
