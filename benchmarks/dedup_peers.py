"""Other people's near-duplicate removal, as each project documents it, for benchmarks/signatures.py and dedup.py.

    python benchmarks/dedup_peers.py daft PARTS KEPT       (a Python with daft 0.7)
    python benchmarks/dedup_peers.py gaoya PARTS KEPT      (gaoya 0.2)
    python benchmarks/dedup_peers.py text-dedup PARTS KEPT (text-dedup 0.4)

PARTS is a folder of Parquet files with id and text; KEPT gets one of the ids that are left. Printed as JSON: seconds of
importing and starting (`start`), and of the work. The environments exclude each other (daft and gaoya go together;
text-dedup needs its own; datatrove pins xxhash < 4), so each runs in a Python that the caller names:

    python3.11 -m venv /tmp/daft && /tmp/daft/bin/pip install daft==0.7.26 gaoya==0.2.2 pyarrow numpy xxhash
    python3.11 -m venv /tmp/text-dedup && /tmp/text-dedup/bin/pip install text-dedup==0.4.0
    python3.11 -m venv /tmp/datatrove && /tmp/datatrove/bin/pip install 'datatrove[processing,io]==0.10.1' 'xxhash<4'

    daft         `minhash` over the lower-cased text (its tokens are parted by spaces); buckets and connected components
                 by NumPy and a union-find, since the joins of its tutorial took minutes; what is left by a join of its
    gaoya        MinHashStringIndex, inserted and queried in parallel; who matches one that came before goes
    text-dedup   its command `python -m text_dedup.minhash` with two processes

All with 128 slots in 18 bands of 6 (14 x 9 for text-dedup, by its own optimiser at 0.8), word 5-grams, on as many
threads as `WORKERS`. None of them verifies a pair; gaoya compares signatures with the threshold.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

WORKERS = 2
PERMUTATIONS, BANDS, ROWS, NGRAM, THRESHOLD = 128, 18, 6, 5, 0.8


def roots(left: list[int], right: list[int], count: int) -> list[int]:
    """The first document of each one's component."""
    parent = list(range(count))

    def find(node: int) -> int:
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    for a, b in zip(left, right, strict=True):
        first, second = sorted((find(a), find(b)))
        parent[second] = first
    return [find(node) for node in range(count)]


def daft_signatures(texts: list[str], way: str) -> Iterator[None]:
    """One collected column of signatures."""
    import daft
    from daft.functions import minhash

    column = daft.from_pydict({"text": texts}).collect()
    daft.from_pydict({"text": ["a b c d e f"]}).select(minhash(daft.col("text"), num_hashes=8, ngram_size=5)).collect()
    yield
    text = daft.col("text").lower() if way != "raw" else daft.col("text")
    column.select(minhash(text, num_hashes=PERMUTATIONS, ngram_size=NGRAM, hash_function="xxhash")).collect()


def gaoya_signatures(texts: list[str], way: str) -> Iterator[None]:
    """Signatures by way of its index, which is what it offers: the inserts are part of the time."""
    index = _gaoya_index()
    yield
    for number, text in enumerate(texts):
        index.insert_document(number, text)


def text_dedup_signatures(texts: list[str], way: str) -> Iterator[None]:
    """`embed_func` by its defaults but for xxh3, its fastest, a call for each document."""
    import numpy as np
    from text_dedup.minhash import RNG, embed_func
    from text_dedup.utils.hashfunc import xxh3_32hash

    ranges = [(first, first + 9) for first in range(0, 126, 9)]
    most, prime = np.uint32((1 << 32) - 1), np.uint32((1 << 32) - 5)
    permutations = tuple(RNG.randint(low, prime, size=PERMUTATIONS, dtype=np.uint32) for low in (1, 0))
    choices = {
        "num_perm": PERMUTATIONS,
        "ngram_size": NGRAM,
        "min_length": 0,
        "hashranges": ranges,
        "permutations": permutations,
        "hash_func": xxh3_32hash,
        "dtype": np.uint32,
        "max_hash": most,
        "modulo_prime": prime,
    }
    yield
    for number, text in enumerate(texts):
        embed_func(text, number, **choices)


SIGNATURES: dict[str, Callable[[list[str], str], Iterator[None]]] = {
    "daft": daft_signatures,
    "gaoya": gaoya_signatures,
    "text-dedup": text_dedup_signatures,
}


def _gaoya_index():
    from gaoya.minhash import MinHashStringIndex

    return MinHashStringIndex(
        hash_size=32,
        jaccard_threshold=THRESHOLD,
        num_bands=BANDS,
        band_size=ROWS,
        analyzer="word",
        lowercase=True,
        ngram_range=(NGRAM, NGRAM),
        id_container="vec",
    )


def _write(ids: list[str], kept: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    kept.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"id": ids}), kept / "kept.parquet")


def run_daft(parts: Path, kept: Path) -> None:
    """Reads, signs, finds who shares a band, and writes the documents that are left, text and all."""
    import daft
    import numpy as np
    from daft import col
    from daft.functions import minhash

    documents = daft.read_parquet(f"{parts}/*.parquet").select("id", "text")
    signed = documents.select(
        col("id"),
        minhash(col("text").lower(), num_hashes=PERMUTATIONS, ngram_size=NGRAM, hash_function="xxhash").alias("slots"),
    ).to_arrow()
    slots = signed["slots"].combine_chunks()
    slots = slots.values if hasattr(slots, "values") else slots.flatten()
    slots = slots.to_numpy(zero_copy_only=False).reshape(-1, PERMUTATIONS)[:, : BANDS * ROWS]
    bands = np.ascontiguousarray(slots.astype(np.uint32)).reshape(-1, ROWS).view(f"V{4 * ROWS}").reshape(-1)
    edges: list[np.ndarray] = []
    for band in range(BANDS):
        _, first, which = np.unique(bands[band::BANDS], return_index=True, return_inverse=True)
        edges.append(np.stack([first[which], np.arange(len(signed))]))
    pairs = np.concatenate(edges, axis=1)
    pairs = pairs[:, pairs[0] != pairs[1]]
    root = roots(pairs[0].tolist(), pairs[1].tolist(), len(signed))
    left = [identifier for row, identifier in enumerate(signed["id"].to_pylist()) if root[row] == row]
    keep = daft.from_pydict({"id": left})
    documents.join(keep, on="id").write_parquet(f"{kept}")


def run_gaoya(parts: Path, kept: Path) -> None:
    """Inserts all documents, asks for each, and keeps who matches none before it that was kept."""
    import pyarrow.parquet as pq

    table = pq.read_table(parts, columns=["id", "text"])
    ids, texts = table["id"].to_pylist(), table["text"].to_pylist()
    index = _gaoya_index()
    index.par_bulk_insert_docs(list(range(len(ids))), texts)
    gone: set[int] = set()
    for row, alike in enumerate(index.par_bulk_query(texts)):
        if any(other < row and other not in gone for other in alike):
            gone.add(row)
    left = [row for row in range(len(ids)) if row not in gone]
    kept.mkdir(parents=True, exist_ok=True)
    pq.write_table(table.take(left), kept / "kept.parquet")


def run_text_dedup(parts: Path, kept: Path) -> None:
    """Its command, and the ids of what it saved."""
    from datasets import load_from_disk

    with tempfile.TemporaryDirectory() as folder:
        choices = {
            "path": "parquet", "data_files": f"{parts}/*.parquet", "split": "train", "cache_dir": f"{folder}/cache",
            "output": f"{folder}/out", "column": "text", "ngram": NGRAM, "num_perm": PERMUTATIONS,
            "threshold": THRESHOLD, "min_length": 0, "num_proc": WORKERS, "hash_func": "xxh3", "hash_bits": 32,
        }  # fmt: skip
        line = [sys.executable, "-m", "text_dedup.minhash"]
        for name, value in choices.items():
            line += [f"--{name}", str(value)]
        done = subprocess.run(line, capture_output=True, text=True, env=os.environ | {"HF_DATASETS_OFFLINE": "1"})
        if done.returncode:
            raise SystemExit(done.stderr[-4000:])
        _write(list(load_from_disk(f"{folder}/out")["id"]), kept)


RUNS = {"daft": run_daft, "gaoya": run_gaoya, "text-dedup": run_text_dedup}


def main() -> None:
    name, parts, kept = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    os.environ |= {"RAYON_NUM_THREADS": str(WORKERS), "DAFT_PROGRESS_BAR": "0"}
    started = time.perf_counter()
    {"daft": lambda: __import__("daft"), "gaoya": lambda: __import__("gaoya"), "text-dedup": lambda: None}[name]()
    ready = time.perf_counter()
    RUNS[name](parts, kept)
    print(json.dumps({"start": ready - started, "work": time.perf_counter() - ready}))


if __name__ == "__main__":
    main()
