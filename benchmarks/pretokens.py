"""Cuts documents into pretokens by each preset pattern, next to `tokenizers`: MB/s, and documents cut elsewhere.

    python benchmarks/pretokens.py documents [--patterns gpt2 o200k] [--every 20]

The text is a dataset's column `text`. Ours walks all of it; `tokenizers`, by `pre_tokenize_str` of the pattern's own
section of `tokenizer.json`, and the comparison of cuts take every `--every`-th document (1: all). One thread, CPU
seconds, compiled kernels; the Python that compares is outside of both. Fails where a document is cut elsewhere.
"""

import argparse
import json
import os
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from corpusmill.tokenizer.patterns import PATTERNS, pre_tokenizer_json
from corpusmill.tokenizer.pretokens import pretoken_blocks, read_text


def texts_of(folder: str) -> pa.Array:
    """The texts of a dataset as one array."""
    paths = sorted(path for path in Path(folder).rglob("part-*.parquet"))
    chunks = [chunk for path in paths for chunk in pq.read_table(path, columns=["text"])["text"].chunks]
    if not chunks:
        raise SystemExit(f"{folder} holds no documents")
    return pa.concat_arrays([chunk.cast(pa.large_string()) for chunk in chunks])


def walked(texts: pa.Array, pattern: str) -> tuple[float, np.ndarray]:
    """(CPU seconds, ends of all pretokens from the first byte of the first document)."""
    offsets, data = read_text(texts)
    started, blocks = time.thread_time(), []
    for _, ends in pretoken_blocks(offsets, data, pattern):
        blocks.append(ends.copy())
    seconds = time.thread_time() - started
    return seconds, np.concatenate([np.zeros(0, np.int64), *blocks]) - offsets[0]


def by_tokenizers(texts: list[str], pattern: str) -> tuple[float, list[list[int]]]:
    """(CPU seconds, characters of each pretoken of each document)."""
    import tokenizers

    nothing = {"version": "1.0", "added_tokens": [], "model": {"type": "BPE", "vocab": {}, "merges": []}}
    section = {"pre_tokenizer": pre_tokenizer_json(PATTERNS[pattern])}
    cutter = tokenizers.Tokenizer.from_str(json.dumps(nothing | section)).pre_tokenizer
    started = time.process_time()
    cuts = [cutter.pre_tokenize_str(text) for text in texts]
    seconds = time.process_time() - started
    # ByteLevel writes one character for each byte.
    return seconds, [[len(piece) for piece, _ in pieces] for pieces in cuts]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("documents", help="a folder of Parquet parts with a column `text`")
    parser.add_argument("--patterns", nargs="+", choices=list(PATTERNS), default=list(PATTERNS))
    parser.add_argument("--every", type=int, default=20)
    arguments = parser.parse_args()
    os.environ["RAYON_NUM_THREADS"] = "1"
    texts = texts_of(arguments.documents)
    some = texts.take(pa.array(np.arange(0, len(texts), arguments.every)))
    strings, lengths = some.to_pylist(), np.diff(read_text(some)[0])
    megabytes = np.diff(read_text(texts)[0][[0, -1]])[0] / 1e6
    print(f"{len(texts):,} documents, {megabytes:,.1f} MB; {len(some):,} of them held against tokenizers")
    differing = 0
    for pattern in arguments.patterns:
        walked(texts.slice(0, 1), pattern)  # compiles
        seconds, _ = walked(texts, pattern)
        peer_seconds, cuts = by_tokenizers(strings, pattern)
        _, ends = walked(some, pattern)
        expected = np.cumsum([length for pieces in cuts for length in pieces])
        wrong = set(np.setxor1d(ends, expected).tolist())
        borders = np.cumsum(lengths)
        documents = len(np.unique(np.searchsorted(borders, np.array(sorted(wrong), np.int64)))) if wrong else 0
        ours, peer = megabytes / seconds, lengths.sum() / 1e6 / peer_seconds
        print(f"{pattern:<12} {ours:8,.0f} MB/s  tokenizers {peer:5.1f}  {ours / peer:6.1f} times  {documents} differ")
        differing += documents
    raise SystemExit(1 if differing else 0)


if __name__ == "__main__":
    main()
