"""Measures finding repeated text: speed, memory and share found; and, on a slice, a suffix array for the same bytes.

    python benchmarks/substring.py DATASET [--workers 1] [--slice-megabytes 32] [--peers-python /tmp/peers/bin/python]

First the stage `spans --action report` as a whole (three reads of the dataset, two shuffles, one write of it), by
substrings of 100 and 200 bytes, by paragraphs and by lines: MB/s of text, peak resident memory of the process, and what
share of the bytes is repeated. Each run is a process of its own; kernels are compiled before.

Then, with `--peers-python`, a Python that has pydivsufsort, the first megabytes of the dataset are done twice, in turns
of `--repeats`, each on one core: by our kernels in memory, and by suffix array and longest common prefixes
(`divsufsort`, `kasai`, then NumPy). Both give the repeated bytes by the same definition (a window is repeated when the
first one of the same bytes does not overlap it), and the two masks must be equal. Memory there is the peak of a
process that holds the slice, less what it held before.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

RUNS = (
    {"unit": "substring", "length": 200},
    {"unit": "substring", "length": 100},
    {"unit": "paragraph"},
    {"unit": "line"},
)

SUFFIX_ARRAY = """
import resource, sys, time
import numpy as np
from pydivsufsort import divsufsort, kasai
folder, length = sys.argv[1], int(sys.argv[2])
data, offsets = np.load(folder + "/data.npy"), np.load(folder + "/offsets.npy")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
started = time.perf_counter()
stops = offsets[1:] + np.arange(1, len(offsets))
text = np.full(len(data) + len(offsets) - 1, 255, np.uint8)  # no byte of UTF-8
inside = np.ones(len(text), bool)
inside[stops - 1] = False
text[inside] = data
order = divsufsort(text)
common = kasai(text, order)
linked = common[:-1] >= length
member = np.zeros(len(text), bool)
member[1:] |= linked
member[:-1] |= linked
group = np.cumsum(np.append(True, ~linked))[member] - 1
places = order[member].astype(np.int64)
del order, common, linked, member
whole = stops[np.searchsorted(stops, places, "right")] - 1 - places >= length
group, places = group[whole], places[whole]
first = np.full(group.max(initial=-1) + 1, len(text), np.int64)
np.minimum.at(first, group, places)
first = first[group]
repeated = places[(places != first) & (places >= first + length)]  # nearer than that only in the same document
change = np.zeros(len(text) + 1, np.int32)
np.add.at(change, repeated, 1)
np.add.at(change, repeated + length, -1)
mask = (np.cumsum(change[:-1]) > 0)[inside]
seconds = time.perf_counter() - started
np.save(folder + "/suffixes.npy", mask)
print(seconds, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


def run_stage(dataset: str, folder: str, workers: int, settings: str) -> None:
    """One run of the stage in this process; prints what came of it as JSON."""
    from corpusmill.pipelines.engine.executor import make_executor
    from corpusmill.pipelines.engine.stage import Session
    from corpusmill.pipelines.engine.stage import run_stage as run
    from corpusmill.pipelines.settings import validate
    from corpusmill.pipelines.stages.spans.plan import SpansStage

    stage = SpansStage(validate(SpansStage.Settings, {"datasets": [dataset], **json.loads(settings)}, "benchmark"))
    with Session(make_executor=lambda: make_executor("local", workers=workers)) as session:
        session.executor(kernels=("road", "spans"))
        started = time.perf_counter()
        done = run(stage, folder, session)
        seconds = time.perf_counter() - started
    peaks = [resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    print(json.dumps({"seconds": seconds, "megabytes": max(peaks) / 1024, "facts": done.manifest["facts"]}))


def run_kernels(folder: str, length: int) -> None:
    """The slice by our kernels, in one process and one partition; prints seconds and megabytes."""
    import pyarrow as pa

    from corpusmill.dataproc.dedup.repeats import REPEATS, joined_repeats
    from corpusmill.dataproc.dedup.substring import Resolver
    from corpusmill.dataproc.dedup.windows import contexts, keys_to_tell, shared_keys, twice_at_most, window_runs

    data, offsets = np.load(f"{folder}/data.npy"), np.load(f"{folder}/offsets.npy")

    def mask_of(offsets: np.ndarray) -> np.ndarray:
        buffers = [None, pa.py_buffer(offsets), pa.py_buffer(data)]
        texts = pa.LargeStringArray.from_buffers(len(offsets) - 1, *buffers[1:])
        batch = pa.record_batch({"id": pa.array(np.arange(len(texts)).astype(str)), "text": texts})
        shared = shared_keys([twice_at_most(keys_to_tell(window_runs(texts, length), length))])[0]
        resolver = Resolver(length)
        repeats = [
            resolver.add(0, contexts(batch.slice(row, 4096), offsets[row : row + 4096], shared, length, 1)[0])
            for row in range(0, len(texts), 4096)
        ]
        spans = joined_repeats(pa.Table.from_batches(repeats, REPEATS), length)
        change = np.zeros(len(data) + 1, np.int32)
        np.add.at(change, spans["start"].to_numpy(), 1)
        np.add.at(change, spans["end"].to_numpy(), -1)
        return np.cumsum(change[:-1]) > 0

    mask_of(offsets[:50])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.perf_counter()
    mask = mask_of(offsets)
    seconds = time.perf_counter() - started
    np.save(f"{folder}/ours.npy", mask)
    print(seconds, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)


def write_slice(dataset: str, size: int, folder: str) -> None:
    """The first documents of a dataset as data.npy and offsets.npy."""
    from corpusmill.dataproc.datasets import read_batches
    from corpusmill.dataproc.kernels.buffers import text_buffers

    pieces, lengths, total = [], [], 0
    for path in sorted(Path(dataset).glob("part-*.parquet")):
        for batch in read_batches(str(path), ["text"]):
            offsets, data = text_buffers(batch.column("text"))
            if total < size:
                last = int(np.searchsorted(offsets - offsets[0], size - total, "right")) - 1
                pieces.append(data[offsets[0] : offsets[last]])
                lengths.append(np.diff(offsets[: last + 1]))
                total += int(offsets[last] - offsets[0])
                total = size if last < len(offsets) - 1 else total
    np.save(f"{folder}/data.npy", np.concatenate(pieces))
    np.save(f"{folder}/offsets.npy", np.concatenate([[0], np.cumsum(np.concatenate(lengths))]).astype(np.int64))


def call(*command: str) -> str:
    """The last line of what a process prints."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--slice-megabytes", type=int, default=32)
    parser.add_argument("--peers-python")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    itself = [sys.executable, __file__]
    print("| unit | seconds | MB/s | peak MB | repeated bytes | spans |")
    print("|---|---|---|---|---|---|")
    for settings in RUNS:
        with tempfile.TemporaryDirectory() as folder:
            arguments = [options.dataset, f"{folder}/out", str(options.workers), json.dumps(settings)]
            done = json.loads(call(*itself, "--stage", *arguments))
        facts, name = done["facts"], f"{settings['unit']} {settings.get('length', '')}"
        speed = facts["bytes_in"] / done["seconds"] / 1e6
        print(
            f"| {name} | {done['seconds']:.1f} | {speed:.1f} | {done['megabytes']:.0f}"
            f" | {facts['bytes_repeated'] / facts['bytes_in']:.2%} | {facts['spans']:,} |"
        )
    if not options.peers_python:
        return
    with tempfile.TemporaryDirectory() as folder:
        write_slice(options.dataset, options.slice_megabytes * 10**6, folder)
        size = len(np.load(f"{folder}/data.npy")) / 1e6
        print(
            f"\n{size:.1f} MB in memory, one core\n\n| N | ours MB/s | suffix array MB/s | ratio | ours MB | its MB |"
        )
        print("|---|---|---|---|---|---|")
        for length in (100, 200):
            commands = [[*itself, "--kernels"], ["env", "OMP_NUM_THREADS=1", options.peers_python, "-c", SUFFIX_ARRAY]]
            timings: list[list[list[float]]] = [[], []]
            for _ in range(options.repeats):
                for runs, command in zip(timings, commands, strict=True):
                    runs.append([float(value) for value in call(*command, folder, str(length)).split()])
            if not np.array_equal(np.load(f"{folder}/ours.npy"), np.load(f"{folder}/suffixes.npy")):
                raise SystemExit(f"the repeated bytes differ for N = {length}")
            (ours, our_memory), (theirs, their_memory) = (
                [statistics.median(column) for column in zip(*runs, strict=True)] for runs in timings
            )
            print(
                f"| {length} | {size / ours:.1f} | {size / theirs:.1f} | {theirs / ours:.1f}"
                f" | {our_memory:.0f} | {their_memory:.0f} |"
            )
        print("the repeated bytes are the same")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--stage"]:
        run_stage(sys.argv[2], sys.argv[3], int(sys.argv[4]), sys.argv[5])
    elif sys.argv[1:2] == ["--kernels"]:
        run_kernels(sys.argv[2], int(sys.argv[3]))
    else:
        main()
