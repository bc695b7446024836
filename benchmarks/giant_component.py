"""Who stays of one giant component: seconds a pair, and the memory that the task holds, from small to large.

    python benchmarks/giant_component.py [--members 100000 300000 1000000] [--pairs 10] [--shingles 100] [--output DIR]

`benchmarks/components.py --giant` measures how such a component is found; this, how its survivors are chosen: the task
`survivors` of `corpusmill dedup` over one partition with one component in it. Its documents are windows of one long
text, each shifted by a 20th of its length, so that a document is like two before and two behind it (0.90 and 0.82) and
like nobody else: as a component, one chain through all of them, whose ids are in no order. To the chain come pairs
drawn at random, `--pairs` a document in all, which are compared and left alone.

Each size runs in a process of its own. Printed: CPU seconds, microseconds a pair, the most memory held that the system
cannot drop (what a worker is judged by; mapped files apart), and a digest of the removals. The smallest size runs again
with all shingles in a file, whose removals must be the same bytes. Disk: 24 bytes a shingle at the most.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import xxhash

BLOCK = 50_000
TEXT = pa.large_string()


def window_sets(first: int, stop: int, shingles: int) -> pa.LargeListArray:
    """The sets of documents `first` to `stop` of the chain."""
    starts = np.arange(first, stop, dtype=np.uint64) * np.uint64(shingles // 20)
    hashes = (starts[:, None] + np.arange(shingles, dtype=np.uint64)) << np.uint64(20)
    offsets = np.arange(stop - first + 1, dtype=np.int64) * shingles
    return pa.LargeListArray.from_arrays(pa.array(offsets), pa.array(hashes.reshape(-1)))


def member_batches(members: int, shingles: int, names: np.ndarray) -> Iterator[pa.RecordBatch]:
    """The members of the component as phase `members` writes them, a block at a time."""
    for first in range(0, members, BLOCK):
        stop = min(first + BLOCK, members)
        count = stop - first
        same = {name: pa.array(["books"] * count, TEXT) for name in ("kind", "language", "source", "url")}
        columns = {
            "id": pa.array([f"document-{name:09d}" for name in names[first:stop].tolist()], TEXT),
            **same,
            "length": pa.array(np.full(count, 2400)),
            "address": pa.array(np.arange(first, stop, dtype=np.uint64)),
            "label": pa.array(np.zeros(count, np.uint64)),
            "shingles": window_sets(first, stop, shingles),
            "match": pa.nulls(count, pa.string()),
            "match_similarity": pa.nulls(count, pa.float64()),
            "match_exact": pa.nulls(count, pa.bool_()),
        }
        yield pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns))


def make(folder: Path, members: int, pairs: int, shingles: int) -> None:
    """Writes what the phases before leave."""
    from corpusmill.dataproc.dedup.shuffle import write_partitions
    from corpusmill.pipelines.stages.dedup.work.layout import write_ipc

    # the benchmark's own draw: nothing that the product makes depends on it
    draw = np.random.default_rng(0)
    work = folder / "_work"
    layout = pa.table({"path": ["one"], "rows": [members], "block": [0], "protected": [False]})
    write_ipc(str(work / "layout.arrow"), layout)
    names = draw.permutation(members)
    write_partitions(str(work / "members/block-00000.arrow"), member_batches(members, shingles, names))
    chain = np.arange(members - 1, dtype=np.uint64)
    ends = draw.integers(0, members, (2, members * pairs - len(chain)), np.uint64)
    left, right = np.concatenate([chain, ends[0]]), np.concatenate([chain + np.uint64(1), ends[1]])
    batch = pa.RecordBatch.from_arrays([pa.array(left), pa.array(right)], names=["left", "right"])
    write_partitions(str(work / "routed/partition-0000.arrow"), [batch])


def choose(folder: Path, mapped: bool) -> dict[str, float | str]:
    """Runs the task: CPU seconds, most bytes held, and a digest of the removals."""
    from corpusmill.dataproc.dedup.shingle_store import store_sets
    from corpusmill.dataproc.dedup.shuffle import read_partition
    from corpusmill.dataproc.operating_system import held_bytes
    from corpusmill.pipelines import kernels
    from corpusmill.pipelines.engine.task import Call
    from corpusmill.pipelines.engine.worker import TaskContext
    from corpusmill.pipelines.stages.dedup.arguments import DedupWork

    kernels.configure()
    from corpusmill.dataproc.dedup import warmup
    from corpusmill.pipelines.stages.dedup.work import surviving

    warmup.compile_kernels()
    if mapped:
        surviving.store_sets = partial(store_sets, held_bytes=0)
    work = DedupWork(
        method=("minhash",), normalise=(), threshold=0.8, permutations=128, shingle="word", ngram=5, seed=0, bands=18,
        rows=6, partitions=1, partition=0, verify="exact", prefer=("length:desc",), pair_files=1, chosen=1,
    )  # fmt: skip
    call = Call(ticket=0, function="", arguments=work, folder=str(folder), phase="survivors", task="partition-0000")
    most, over = [held_bytes(os.getpid())], threading.Event()

    def watch() -> None:
        while not over.wait(0.05):
            most.append(held_bytes(os.getpid()))

    watcher = threading.Thread(target=watch)
    watcher.start()
    before, started = resource.getrusage(resource.RUSAGE_SELF), time.monotonic()
    done = surviving.choose_partition(TaskContext(call))
    after, seconds = resource.getrusage(resource.RUSAGE_SELF), time.monotonic() - started
    over.set()
    watcher.join()
    removals = read_partition(str(folder / "_work/removals/partition-0000.arrow"), 0)
    return {
        "cpu": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "wall": seconds,
        "held": max(most) - most[0],
        "removed": removals.num_rows,
        "compared": done["compared"],
        "digest": xxhash.xxh3_64_hexdigest(removals.serialize()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--members", type=int, nargs="+", default=[100_000, 300_000, 1_000_000])
    parser.add_argument("--pairs", type=int, default=10, help="a document")
    parser.add_argument("--shingles", type=int, default=100, help="of a document")
    parser.add_argument("--output", help="where files go; else a temporary folder")
    parser.add_argument("--run", help=argparse.SUPPRESS)
    parser.add_argument("--mapped", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run:
        print(json.dumps(choose(Path(arguments.run), arguments.mapped)))
        return
    heads = ("members", "pairs", "shingles MB", "wall s", "CPU s", "us a pair", "held MB", "bytes a member", "removed")
    print(" ".join(f"{head:>14}" for head in heads))
    digests = []
    for place, members in enumerate([min(arguments.members), *sorted(arguments.members)]):
        with tempfile.TemporaryDirectory(dir=arguments.output) as folder:
            make(Path(folder), members, arguments.pairs, arguments.shingles)
            line = [sys.executable, __file__, "--run", folder, *(["--mapped"] if place == 0 else [])]
            result = json.loads(subprocess.run(line, check=True, capture_output=True, text=True).stdout)
        pairs = members * arguments.pairs
        cells = [f"{members:,}", f"{pairs:,}", f"{members * arguments.shingles * 8 / 1e6:,.0f}"]
        cells += [f"{result['wall']:.1f}", f"{result['cpu']:.1f}", f"{result['cpu'] / pairs * 1e6:.2f}"]
        cells += [f"{result['held'] / 1e6:,.0f}", f"{result['held'] / members:,.0f}", f"{result['removed']:,}"]
        print(" ".join(f"{cell:>14}" for cell in cells) + (" all in a file" if place == 0 else ""), flush=True)
        digests.append(result["digest"])
    if digests[0] != digests[1]:
        raise SystemExit("removals differ with the shingles in a file")
    print("the same removals with the shingles in memory and in a file")


if __name__ == "__main__":
    main()
