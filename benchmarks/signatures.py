"""Text to MinHash signatures on one core: ours and those of six others, on the same documents.

    python benchmarks/signatures.py /data/corpus/pairs /data/corpus --peers-python /tmp/peers/bin/python \\
        --daft-python /tmp/daft/bin/python --text-dedup-python /tmp/text-dedup/bin/python

The first folder holds docs.parquet, whose column `id` says which documents of the second (*.jsonl.zst with id and text)
there are. `--peers-python` is a Python with datatrove 0.10 (its English words are spaCy's), rensa, datasketch, xxhash
and pyarrow. Every contestant is a process of its own on one core, with its text in memory; imports, compilation and
loading of word splitters come before its time. They take turns, `--repeats` rounds, and the fastest round of each
counts; datatrove and `update`, which take minutes, have one round. All take all documents, because long ones cost some
of them more a byte; `--every 8` gives those two every eighth, for a quick look.

    corpusmill   text to signatures of 128 slots and to the keys of their bands
    datatrove    MinhashDedupSignature by its defaults (14 x 8 hashes): text to its sorted signature files
    rensa        RMinHash, 128 slots
    datasketch   MinHash.generator, 128 slots of affine32, with xxh32 in the place of SHA-1: its fastest documented way;
                 over our words also `sha1`, the same by its own hash, and `update`, as its README begins: a call for
                 each shingle

rensa and datasketch take shingles that are made in Python, 5-grams of words joined by a space, which is much of their
time. So each runs twice: `split` takes str.split for words, the fastest there is, which finds other and fewer shingles
(next to none in Chinese); `words` finds our words by a regular expression, so that like is held against like.

    daft         `minhash` of the text in lower case, whose tokens are parted by spaces; start-up apart
    gaoya        inserts into its index, its only way to a signature, which include its bands
    text-dedup   `embed_func`, a call for each document

The last three come from benchmarks/dedup_peers.py, which says how their environments are made.

With `--profile` what bounds ours is measured: words alone, shingles, signatures, keys.
"""

import argparse
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from dedup_peers import SIGNATURES

PERMUTATIONS = 128
NGRAM = 5
BATCH = 1000
BARS = {"datatrove": 150, "rensa": 5, "datasketch": 80}
KANA_AND_HAN = (
    "\u3005-\u3007\u3021-\u3029\u3041-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f"
    "\U00020000-\U000323af"
)


def ground_truth(pairs: Path, corpus: Path) -> pa.Table:
    """The documents of docs.parquet, (id, text), in the order of the corpus' files and lines."""
    import zstandard

    wanted = set(pq.read_table(pairs / "docs.parquet", columns=["id"])["id"].to_pylist())
    ids, texts = [], []
    for path in sorted(corpus.glob("*.jsonl.zst")):
        with path.open("rb") as file:
            plain = zstandard.ZstdDecompressor(max_window_size=1 << 31).stream_reader(file)
            for line in io.TextIOWrapper(plain, "utf-8", newline="\n"):
                record = json.loads(line)
                if record["id"] in wanted:
                    ids.append(record["id"])
                    texts.append(record["text"])
    if len(ids) != len(wanted):
        raise SystemExit(f"{corpus} holds {len(ids)} of the {len(wanted)} documents that {pairs} lists")
    return pa.table({"id": ids, "text": pa.array(texts, pa.large_string())})


def python_shingles(way: str) -> Callable[[str], list[str]]:
    """Text to its 5-grams of words, as users of the Python libraries make them."""
    import re

    find_words = re.compile(rf"[{KANA_AND_HAN}]|[^\W{KANA_AND_HAN}]+").findall
    words: Callable[[str], list[str]] = str.split if way == "split" else find_words

    def shingles(text: str) -> list[str]:
        all_words = words(text.lower())
        if len(all_words) <= NGRAM:
            return [" ".join(all_words)] if all_words else []
        return [" ".join(gram) for gram in zip(*(all_words[first:] for first in range(NGRAM)), strict=False)]

    return shingles


def run_corpusmill(texts: list[str], way: str) -> Iterator[None]:
    from corpusmill.dataproc.dedup.banding import choose_bands
    from corpusmill.dataproc.dedup.bands import band_keys
    from corpusmill.dataproc.dedup.minhash import MinHashSettings, signatures

    settings, banding = MinHashSettings(permutations=PERMUTATIONS, ngram=NGRAM), choose_bands(0.8, PERMUTATIONS)
    batches = [pa.array(texts[first : first + BATCH], pa.large_string()) for first in range(0, len(texts), BATCH)]
    band_keys(signatures(batches[0][:10], settings), *banding)
    yield
    for batch in batches:
        band_keys(signatures(batch, settings), *banding)


def run_datatrove(texts: list[str], way: str) -> Iterator[None]:
    from datatrove.data import Document
    from datatrove.pipeline.dedup import MinhashDedupSignature
    from loguru import logger

    logger.remove()
    with tempfile.TemporaryDirectory() as folder:
        step = MinhashDedupSignature(folder)
        step.get_signature(step.get_shingles("loads the word splitter and draws the parameters"))
        documents = [Document(text=text, id=str(number)) for number, text in enumerate(texts)]
        yield
        step.run(documents, 0, 1)


def run_rensa(texts: list[str], way: str) -> Iterator[None]:
    from rensa import RMinHash

    shingles = python_shingles(way)
    yield
    for text in texts:
        sketch = RMinHash(num_perm=PERMUTATIONS, seed=1)
        sketch.update(shingles(text))
        sketch.digest()


def run_datasketch(texts: list[str], way: str) -> Iterator[None]:
    from datasketch import MinHash
    from xxhash import xxh32_intdigest

    shingles = python_shingles(way)
    yield
    if way == "update":
        for text in texts:
            sketch = MinHash(num_perm=PERMUTATIONS)
            for shingle in shingles(text):
                sketch.update(shingle.encode())
            sketch.digest()
        return
    if way == "sha1":
        encoded = ([shingle.encode() for shingle in shingles(text)] for text in texts)
        for sketch in MinHash.generator(encoded, num_perm=PERMUTATIONS):
            sketch.digest()
        return
    for sketch in MinHash.generator(map(shingles, texts), num_perm=PERMUTATIONS, hashfunc=xxh32_intdigest):
        sketch.digest()


RUNS = {
    **SIGNATURES,
    "corpusmill": run_corpusmill,
    "datatrove": run_datatrove,
    "rensa": run_rensa,
    "datasketch": run_datasketch,
}


def contest(name: str, path: str, every: int) -> None:
    """One round of one contestant, in this process: prints the bytes of text, documents and seconds as JSON."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    contestant, _, way = name.partition(" ")
    texts = pq.read_table(path, columns=["text"])["text"].to_pylist()[::every]
    steps = RUNS[contestant](texts, way)
    next(steps)
    started = time.perf_counter()
    next(steps, None)
    seconds = time.perf_counter() - started
    print(json.dumps({"bytes": sum(len(text.encode()) for text in texts), "seconds": seconds}))


def one_round(python: str, name: str, path: str, every: int) -> float:
    """MB/s of a round in a fresh process."""
    line = [python, __file__, path, path, "--contestant", name, "--every", str(every)]
    done = subprocess.run(line, capture_output=True, text=True, env={**os.environ, "RAYON_NUM_THREADS": "1"})
    if done.returncode:
        raise SystemExit(f"{name}: {done.stderr}")
    result = json.loads(done.stdout.splitlines()[-1])
    return result["bytes"] / 1e6 / result["seconds"]


def profile(table: pa.Table) -> None:
    """Prints what each part of ours takes, the least of five times."""
    import numba
    import numpy as np

    from corpusmill.dataproc.dedup.banding import choose_bands
    from corpusmill.dataproc.dedup.bands import band_keys
    from corpusmill.dataproc.dedup.jaccard import shingle_sets
    from corpusmill.dataproc.dedup.minhash import MinHashSettings, signatures
    from corpusmill.dataproc.kernels.buffers import text_buffers
    from corpusmill.dataproc.text.unicode_tables import load_tables
    from corpusmill.dataproc.text.words import identifier_word_hashes

    texts = table["text"].combine_chunks()
    texts = texts.chunk(0) if isinstance(texts, pa.ChunkedArray) else texts
    (offsets, data), tables = text_buffers(texts), load_tables()
    out = np.empty(int(np.diff(offsets).max()) + 1, np.uint64)
    banding = choose_bands(0.8, PERMUTATIONS)

    @numba.njit(nogil=True)
    def words(offsets, data, classes, lower, out):
        count = 0
        for document in range(offsets.shape[0] - 1):
            count += identifier_word_hashes(data, offsets[document], offsets[document + 1], classes, lower, out)
        return count

    signed = signatures(texts, MinHashSettings())
    parts: dict[str, Callable[[], object]] = {
        "words": lambda: words(offsets, data, tables.classes, tables.lower, out),
        "words, shingles, 1 slot": lambda: signatures(texts, MinHashSettings(permutations=1)),
        "signatures of 128 slots": lambda: signatures(texts, MinHashSettings()),
        "keys of bands": lambda: band_keys(signed, *banding),
        "128 slots, 5 characters": lambda: signatures(texts, MinHashSettings(shingle="character")),
        "sets for exact verification": lambda: shingle_sets(texts, MinHashSettings()),
    }
    for name, part in parts.items():
        part()
        seconds = []
        for _ in range(5):
            started = time.perf_counter()
            part()
            seconds.append(time.perf_counter() - started)
        print(f"{name:<28} {min(seconds):6.3f} s {(offsets[-1] - offsets[0]) / 1e6 / min(seconds):7,.0f} MB/s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pairs", help="folder of docs.parquet")
    parser.add_argument("corpus", help="folder of *.jsonl.zst")
    parser.add_argument("--peers-python", help="a Python with datatrove, rensa, datasketch")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--every", type=int, default=1, help="the slowest two take every so many-th document")
    parser.add_argument("--daft-python", help="a Python with daft and gaoya")
    parser.add_argument("--text-dedup-python", help="a Python with text-dedup")
    parser.add_argument("--profile", action="store_true", help="what bounds ours")
    parser.add_argument("--contestant", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.contestant:
        contest(arguments.contestant, arguments.pairs, arguments.every)
        return
    table = ground_truth(Path(arguments.pairs), Path(arguments.corpus))
    print(f"{len(table):,} documents, {sum(len(text.as_py().encode()) for text in table['text']) / 1e6:.1f} MB of text")
    if arguments.profile:
        profile(table)
    if not (arguments.peers_python or arguments.daft_python or arguments.text_dedup_python):
        return
    names = ["datatrove", "rensa split", "rensa words", "datasketch split", "datasketch words", "datasketch sha1"]
    names.append("datasketch update")
    pythons = dict.fromkeys(names, arguments.peers_python)
    if arguments.daft_python:
        pythons |= dict.fromkeys(["daft", "gaoya"], arguments.daft_python)
    if arguments.text_dedup_python:
        pythons["text-dedup"] = arguments.text_dedup_python
    pythons = {name: python for name, python in pythons.items() if python}
    rates: dict[str, list[float]] = {name: [] for name in ("corpusmill", *pythons)}
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "documents.parquet")
        pq.write_table(table, path)
        for turn in range(arguments.repeats):
            rates["corpusmill"].append(one_round(sys.executable, "corpusmill", path, 1))
            for name, python in pythons.items():
                slow = name in ("datatrove", "datasketch update", "text-dedup")
                if turn == 0 or not slow:
                    every = arguments.every if slow else 1
                    rates[name].append(one_round(python, name, path, every))
    ours = max(rates["corpusmill"])
    print(f"{'one core':<18} {'MB/s':>8} {'rounds':>24} {'ours is':>9} {'bar':>6}")
    for name, rounds in rates.items():
        best = max(rounds)
        bar = BARS.get(name.split()[0])
        listed = " ".join(f"{rate:.2f}" for rate in rounds)
        print(f"{name:<18} {best:>8.2f} {listed:>24} {ours / best:>8.1f}x {f'{bar}x' if bar else '':>6}")


if __name__ == "__main__":
    main()
