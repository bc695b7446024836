"""Measures packing on a corpus' own document lengths: speed, fill, and what is cut, next to concatenation and to trl.

    python benchmarks/packing.py /tmp/road/shards [--peers-python /tmp/peers/bin/python]
    python benchmarks/packing.py lengths.npy --documents 1000000 --lengths 4096 32768

Lengths come from the segments of a shard set (all segments of a document added up) or from an .npy of whole numbers.
They are drawn again, with replacement and by a seeded generator, until there are `--documents` of them, so that every
window is full. A window is what is packed together; its last sequences are the only ones with padding to speak of.

Columns: tokens/s of placing documents (`pack`), and of placing and copying their tokens to sequences (`pack`, `fill`),
the median of `--repeats`; then the measures of `dataproc.sequences.packing.report`, over all windows. "whole cut" are
cut documents that would have fitted a sequence; "lost" is the share of tokens whose sequence lacks earlier tokens of
their document. "concat" joins all documents of a window and cuts every L tokens, as most tools do.

With `--peers-python`, a Python that has trl and datasets, the same documents of one window go through
`trl.pack_dataset` by "bfd_split", the published best-fit-decreasing over a segment tree in plain Python, and by
"wrapped", its concatenation. It places and copies in one call, so it is held against `pack` and `fill` together; but
its concatenation copies nothing: the sequences are views of the tokens that were joined already.

Memory: 8 bytes a token of the largest window (twice 2.4 GB for a million documents of 590 tokens).
"""

import argparse
import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa

VOCABULARY = 128_000
BAR_TOKENS_PER_SECOND = 20e6
BAR_FILL = 0.999


def document_lengths(place: str) -> np.ndarray:
    """Tokens of each document, int64 (N,), of a shard set or from an .npy."""
    if place.endswith(".npy"):
        return np.load(place).astype(np.int64)
    from corpusmill.dataproc.sequences.shards import list_shards, open_shard

    names, lengths = [], []
    for path in list_shards(place):
        for chunk in open_shard(path)[1]["segments"].chunks:
            names.append(chunk.flatten().field("document"))
            lengths.append(chunk.flatten().field("length"))
    if not names:
        raise SystemExit(f"{place} holds no shards")
    segments = pa.table({"document": pa.chunked_array(names), "length": pa.chunked_array(lengths)})
    return segments.group_by("document").aggregate([("length", "sum")])["length_sum"].to_numpy().astype(np.int64)


def token_lists(lengths: np.ndarray) -> pa.LargeListArray:
    """Documents of these lengths, of tokens that mean nothing."""
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    values = np.arange(offsets[-1], dtype=np.int32)
    values %= VOCABULARY
    return pa.LargeListArray.from_arrays(pa.array(offsets), pa.array(values))


def seconds_of(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def measure(lengths: np.ndarray, window: int, capacity: int, policy: str, repeats: int) -> dict[str, float]:
    """Packs all windows `repeats` times; seconds are medians, measures are sums over windows."""
    from corpusmill.dataproc.sequences.packing import fill, pack, report

    placing, filling = [0.0] * repeats, [0.0] * repeats
    totals = dict.fromkeys(("tokens", "padding", "space", "documents", "cut", "cut_needlessly", "lost"), 0.0)
    for first in range(0, len(lengths), window):
        here = lengths[first : first + window]
        documents = token_lists(here)
        for repeat in range(repeats):
            started = time.perf_counter()
            placement = pack(here, capacity, policy)
            placing[repeat] += time.perf_counter() - started
            filling[repeat] += seconds_of(lambda p=placement, d=documents: fill(p, d, 0))
        result = report(placement)
        for name in ("tokens", "padding", "documents", "cut", "cut_needlessly"):
            totals[name] += getattr(result, name)
        totals["space"] += result.tokens + result.padding
        totals["lost"] += result.lost_context * result.tokens
    placed, filled = statistics.median(placing), statistics.median(filling)
    return totals | {"placed": placed, "both": placed + filled, "fill": totals["tokens"] / totals["space"]}


def trl_contestant(lengths: np.ndarray, capacity: int, strategy: str) -> dict[str, float]:
    """One window through trl, in the Python that has it."""
    from datasets import Dataset, disable_progress_bars
    from trl import pack_dataset

    disable_progress_bars()
    dataset = Dataset(pa.table({"input_ids": token_lists(lengths)}))
    options = {"batch_size": len(lengths), "writer_batch_size": len(lengths), "load_from_cache_file": False}
    started = time.perf_counter()
    packed = pack_dataset(dataset, capacity, strategy, options)
    seconds = time.perf_counter() - started
    rows = len(packed)
    return {"seconds": seconds, "tokens": float(lengths.sum()), "fill": float(lengths.sum()) / (rows * capacity)}


def against_trl(python: str, lengths: np.ndarray, capacities: list[int], repeats: int) -> None:
    """Prints our speed and trl's on one window, alternating."""
    print(f"\nagainst trl, one window of {len(lengths):,} documents, placed and copied")
    print(f"{'L':>8} {'policy':<10} {'ours M/s':>9} {'trl M/s':>9} {'times':>7} {'fill':>9} {'trl fill':>9}")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "lengths.npy"
        np.save(path, lengths)
        for capacity in capacities:
            for policy, strategy in (("best-fit", "bfd_split"), ("concat", "wrapped")):
                ours, theirs = [], []
                for _ in range(repeats):
                    ours.append(measure(lengths, len(lengths), capacity, policy, 1))
                    line = [python, __file__, str(path), "--contestant", strategy, "--lengths", str(capacity)]
                    done = subprocess.run(line, capture_output=True, text=True)
                    if done.returncode:
                        raise SystemExit(done.stderr)
                    theirs.append(json.loads(done.stdout.splitlines()[-1]))
                our_rate = ours[0]["tokens"] / statistics.median(our["both"] for our in ours)
                their_rate = theirs[0]["tokens"] / statistics.median(their["seconds"] for their in theirs)
                print(
                    f"{capacity:>8,} {policy:<10} {our_rate / 1e6:>9,.0f} {their_rate / 1e6:>9,.1f} "
                    f"{our_rate / their_rate:>7.1f} {ours[0]['fill']:>9.4%} {theirs[0]['fill']:>9.4%}",
                    flush=True,
                )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lengths_from", help="a shard set, or an .npy of document lengths")
    parser.add_argument("--documents", type=int, default=1_000_000, help="how many to draw, at the least")
    parser.add_argument("--windows", type=int, nargs="+", default=[10_000, 100_000, 0], help="0: all documents")
    parser.add_argument("--lengths", type=int, nargs="+", default=[4096, 32768, 131072])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--peers-python", help="a Python with trl and datasets")
    parser.add_argument("--contestant", choices=["bfd_split", "wrapped"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    lengths = document_lengths(arguments.lengths_from)
    if arguments.contestant:
        print(json.dumps(trl_contestant(lengths, arguments.lengths[0], arguments.contestant)))
        return
    # the benchmark's own draw: nothing that the product makes depends on it
    generator = np.random.default_rng(arguments.seed)
    whole_windows = max([1, *arguments.windows])
    count = -(-max(arguments.documents, len(lengths)) // whole_windows) * whole_windows
    drawn = lengths[generator.integers(len(lengths), size=count)]
    print(
        f"{len(lengths):,} documents, {lengths.sum() / 1e6:,.1f} M tokens; drawn: {count:,} documents, "
        f"{drawn.sum() / 1e6:,.1f} M tokens, median {np.median(drawn):,.0f}, longest {drawn.max():,}"
    )
    from corpusmill.dataproc.sequences.packing import fill, pack

    fill(pack(lengths[:10], 16), token_lists(lengths[:10]), 0)  # compiles
    print(
        f"{'L':>8} {'window':>9} {'policy':<9} {'pack M/s':>9} {'+fill M/s':>9} {'fill':>9} {'padding':>11} "
        f"{'cut':>9} {'whole cut':>9} {'cut %':>7} {'lost %':>7}"
    )
    slowest, barred_fill, whole_cut = float("inf"), None, 0
    for capacity in arguments.lengths:
        for window in arguments.windows:
            for policy in ("best-fit", "concat"):
                run = measure(drawn, window or count, capacity, policy, arguments.repeats)
                tokens = run["tokens"] / 1e6
                print(
                    f"{capacity:>8,} {window or count:>9,} {policy:<9} {tokens / run['placed']:>9,.0f} "
                    f"{tokens / run['both']:>9,.0f} {run['fill']:>9.4%} {run['padding']:>11,.0f} "
                    f"{run['cut']:>9,.0f} {run['cut_needlessly']:>9,.0f} {run['cut'] / run['documents']:>7.2%} "
                    f"{run['lost'] / run['tokens']:>7.2%}",
                    flush=True,
                )
                if policy == "best-fit":
                    slowest = min(slowest, run["tokens"] / run["both"])
                    whole_cut += int(run["cut_needlessly"])
                    if capacity == 4096 and window == 100_000:
                        barred_fill = run["fill"]
    print(
        f"\nslowest best-fit, placed and copied: {slowest / 1e6:,.0f} M tokens/s "
        f"(bar {BAR_TOKENS_PER_SECOND / 1e6:.0f})"
    )
    if barred_fill is not None:
        print(f"fill at 4,096, windows of 100,000: {barred_fill:.4%} (bar {BAR_FILL:.1%})")
    print(f"documents of at most L tokens that best-fit cut: {whole_cut} (bar 0)")
    if arguments.peers_python:
        window = min(count, 100_000)
        against_trl(arguments.peers_python, drawn[:window], arguments.lengths, arguments.repeats)


if __name__ == "__main__":
    main()
