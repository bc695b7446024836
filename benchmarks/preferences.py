"""Which of two near duplicates should stay: what the text that goes says that the one that stays does not.

    python benchmarks/preferences.py /data/corpus/pairs /data/corpus [--threshold 0.8]

The folders are those of benchmarks/signatures.py; the pairs folder holds pairs.parquet (id_a, id_b), too. Of each pair
at the threshold or over, by our words, the one that a preference would keep is compared with the other: the share of
the other's shingles that it lacks ("lost"), the share of pairs in which that is over a tenth, and how many different
shingles go for each 1,000 that stay. Also how often the longer text repeats itself more than the shorter one: the share
of its shingles that are repetitions, which is what generated and appended text looks like.
"""

import argparse
from itertools import pairwise
from pathlib import Path

from corpusmill.pipelines import kernels

kernels.configure()

import numpy as np  # noqa: E402 - numba reads its cache's place when it is imported
import pyarrow.parquet as pq  # noqa: E402
from signatures import ground_truth  # noqa: E402

from corpusmill.dataproc.dedup.jaccard import shingle_sets  # noqa: E402
from corpusmill.dataproc.dedup.minhash import MinHashSettings  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pairs", type=Path)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--threshold", type=float, default=0.8)
    arguments = parser.parse_args()
    table = ground_truth(arguments.pairs, arguments.corpus)
    row_of = {identifier: row for row, identifier in enumerate(table["id"].to_pylist())}
    texts = table["text"].combine_chunks()
    offsets, hashes = shingle_sets(texts, MinHashSettings())
    lengths = np.array([len(text) for text in texts.to_pylist()])
    words = np.array([len(text.split()) for text in texts.to_pylist()])
    sets = [hashes[start:stop] for start, stop in pairwise(offsets)]
    pairs = pq.read_table(arguments.pairs / "pairs.parquet", columns=["id_a", "id_b"]).to_pydict()
    ends = np.array([[row_of[a], row_of[b]] for a, b in zip(pairs["id_a"], pairs["id_b"], strict=True)])
    common = np.array([len(np.intersect1d(sets[a], sets[b], assume_unique=True)) for a, b in ends])
    sizes = np.diff(offsets)[ends]
    near = common >= arguments.threshold * (sizes.sum(axis=1) - common)
    near &= common < sizes.max(axis=1)  # of equal sets either may go
    ends, common, sizes = ends[near], common[near], sizes[near]
    print(f"{len(ends):,} pairs at {arguments.threshold} or over that are not equal")
    keys = {"longest": -lengths, "shortest": lengths, "id": np.arange(len(lengths))}
    print(f"{'stays':<12}{'lost, mean':>12}{'over a tenth':>14}{'lost of 1,000':>15}")
    for name, key in keys.items():
        goes = (key[ends[:, 0]] <= key[ends[:, 1]]).astype(int)
        gone, stays = sizes[np.arange(len(ends)), goes], sizes[np.arange(len(ends)), 1 - goes]
        lost = gone - common
        row = (np.mean(lost / gone), np.mean(lost / gone > 0.1), 1000 * lost.sum() / stays.sum())
        print(f"{name:<12}{row[0]:>12.4f}{row[1]:>14.4f}{row[2]:>15.2f}")
    repeated = 1 - np.diff(offsets) / np.maximum(1, words - 4)
    longer = np.where(lengths[ends[:, 0]] >= lengths[ends[:, 1]], 0, 1)
    own = repeated[ends[np.arange(len(ends)), longer]] > repeated[ends[np.arange(len(ends)), 1 - longer]] + 0.05
    print(f"the longer one repeats itself more, by 5 % of its shingles, in {own.mean():.2%} of the pairs")


if __name__ == "__main__":
    main()
