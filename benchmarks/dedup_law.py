"""The law of removals on what breaks clusters: long chains, templates, mirrors; each removal judged by Python's sets.

    python benchmarks/dedup_law.py [--documents 100000] [--corpora chain templates mirrors] [--cluster-bytes 2GiB]

Three corpora of so many documents each are ingested, de-duplicated by default settings, and judged:

    chain      a window of 100 words that moves on by 5 through one long text: neighbours at 0.90, and the twentieth
               after it has nothing in common. One component of all of them
    templates  pages of 12 templates, 80 words of the template and 20 to 40 of their own: 0.48 to 0.7 within a template
    mirrors    a tenth are originals of 100 words, the others copies of one: as they are, with another case, or with one
               to four words changed (0.90 to 0.66)

Printed for each: documents, removed, seconds; and removals that break the law, the bar being 0: whose survivor is not
kept, whose similarity to it by Python's sets of 5-grams of `\\w+` is under the threshold, or is not the one that
`_duplicates/` states. Words are of ASCII letters, so these are ours, too. Of the chain, pairs of neighbours at 0.8 or
over that were both kept are counted as well; the law allows them only where they were not compared.
"""

import argparse
import json
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pyarrow.parquet as pq

LENGTH, STEP, NGRAM, THRESHOLD = 100, 5, 5, 0.8


def words_of(draw: random.Random, count: int) -> list[str]:
    return ["".join(draw.choices("abcdefghijklmnoprstuvw", k=draw.randint(2, 9))) for _ in range(count)]


def chain(documents: int, draw: random.Random) -> Iterator[str]:
    """Windows of one text."""
    text = words_of(draw, documents * STEP + LENGTH)
    return (" ".join(text[place : place + LENGTH]) for place in range(0, documents * STEP, STEP))


def templates(documents: int, draw: random.Random) -> Iterator[str]:
    """Pages that share most of their words with many others."""
    shared = [words_of(draw, 80) for _ in range(12)]
    for number in range(documents):
        own = words_of(draw, 20 + number % 21)
        page = shared[number % 12]
        yield " ".join([*page[:40], *own, *page[40:]])


def mirrors(documents: int, draw: random.Random) -> Iterator[str]:
    """Originals and their copies, near and exact."""
    originals = [words_of(draw, LENGTH) for _ in range(max(1, documents // 10))]
    for number in range(documents):
        text = list(originals[number % len(originals)])
        for _ in range(draw.choice((0, 0, 1, 2, 4)) if number >= len(originals) else 0):
            text[draw.randrange(LENGTH)] = "".join(draw.choices("xyz", k=8))
        line = " ".join(text)
        yield line.upper() if number % 7 == 6 else line


CORPORA = {"chain": chain, "templates": templates, "mirrors": mirrors}


def corpusmill(*line: str) -> float:
    """Wall seconds of a command."""
    started = time.monotonic()
    done = subprocess.run([sys.executable, "-m", "corpusmill", *line], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)
    return time.monotonic() - started


def shingles(text: str) -> frozenset[tuple[str, ...]]:
    words = re.findall(r"\w+", text.lower())
    return frozenset(tuple(words[place : place + NGRAM]) for place in range(max(1, len(words) - NGRAM + 1)))


def similarity(one: str, other: str) -> float:
    a, b = shingles(one), shingles(other)
    return len(a & b) / len(a | b)


def judged(texts: list[str], output: Path) -> tuple[int, int]:
    """(removed, removals that break the law)."""
    kept = {name for path in output.glob("*.parquet") for name in pq.read_table(path, columns=["id"])["id"].to_pylist()}
    removed = broken = 0
    for path in (output / "_duplicates").glob("*"):
        for row in pq.read_table(path).to_pylist():
            removed += 1
            exact = similarity(texts[int(row["id"])], texts[int(row["survivor"])])
            is_told = abs(exact - row["similarity"]) < 1e-9
            broken += row["survivor"] not in kept or row["id"] in kept or exact < THRESHOLD or not is_told
    if removed + len(kept) != len(texts):
        raise SystemExit(f"{len(texts)} documents came in, {removed} were removed and {len(kept)} kept")
    return removed, broken


def kept_neighbours(texts: list[str], output: Path) -> int:
    """Pairs of consecutive kept documents of the chain that are at the threshold or over."""
    kept = sorted(
        int(name) for path in output.glob("*.parquet") for name in pq.read_table(path, columns=["id"])["id"].to_pylist()
    )
    return sum(similarity(texts[one], texts[other]) >= THRESHOLD for one, other in pairwise(kept) if other - one <= 3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=100_000)
    parser.add_argument("--corpora", nargs="+", choices=CORPORA, default=list(CORPORA))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--cluster-bytes", default="2GiB", help="less than 60 bytes a pair clusters by way of files")
    parser.add_argument("--output", help="folder for what is made; a temporary one otherwise")
    arguments = parser.parse_args()
    workers = ["--workers", str(arguments.workers)]
    with tempfile.TemporaryDirectory(prefix="dedup-law-", dir=arguments.output) as name:
        folder, failed = Path(name), False
        for kind in arguments.corpora:
            texts = list(CORPORA[kind](arguments.documents, random.Random(kind)))
            raw = folder / f"{kind}.jsonl"
            raw.write_text("\n".join(json.dumps({"id": str(n), "text": text}) for n, text in enumerate(texts)))
            documents, output = folder / f"{kind}-documents", folder / kind
            corpusmill("ingest", str(raw), "--source", kind, "--kind", "docs", "--output", str(documents), *workers)
            line = ["dedup", str(documents), "--output", str(output), "--cluster-bytes", arguments.cluster_bytes]
            seconds = corpusmill(*line, *workers)
            removed, broken = judged(texts, output)
            failed |= broken > 0
            facts = json.loads((output / "_manifest.json").read_text())["facts"]
            more = f", kept neighbours at 0.8: {kept_neighbours(texts, output)}" if kind == "chain" else ""
            print(
                f"{kind}: {len(texts):,} documents, {removed:,} removed in {seconds:.1f} s, "
                f"{facts['verified_pairs']:,} pairs, {facts['compared_pairs']:,} compared; "
                f"removals that break the law: {broken}{more}",
                flush=True,
            )
    raise SystemExit(1 if failed else 0)


if __name__ == "__main__":
    main()
