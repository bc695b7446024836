"""Measures decontamination: speed, memory of the index, planted and natural overlaps, beside datatrove's n-gram filter.

    python benchmarks/decontaminate.py DATASET [--datatrove /tmp/datatrove/bin/python] [--megabytes 200]

The evaluation set is made of the corpus itself: 60 words from the middle of one document in 100, so that every item is
known to stand in one document, and what else is found is natural overlap. A second set has the same words, each with a
letter added, and stands nowhere: a clean corpus. Parquet is read beforehand; time is processor time of one core.

With `--datatrove`, a Python that has datatrove and spaCy, its `NGramsDecontFilter` runs over the first documents of the
same corpus in the same minute, with an index in its format of the same items, made by the filter's own functions (its
indexer asks for lighteval), and n-grams of the same length. The two sets of contaminated documents are compared, once
as they are and once with numbers written as 0 for ours as well, which is what datatrove does before it looks (beside
taking diacritics off), and what made all of the difference when this was written.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

ITEM_WORDS = 60
EVERY = 100

DATATROVE = """
import json, sys, time
import numpy as np
from datatrove.data import Document
from datatrove.pipeline.decont.n_grams import NGramsDecontConfig, NGramsDecontFilter
from datatrove.utils.text import ngrams, simplify_text
folder, ngram = sys.argv[1], int(sys.argv[2])
items = json.load(open(folder + "/items.json"))
config = NGramsDecontConfig(n_grams=ngram)
step = NGramsDecontFilter(folder + "/index", config=config)
hashes = set()
for text in items:
    tokens = step.tokenizer.word_tokenize(simplify_text(text, config.norm_config))
    hashes.update(step.hash_func(" ".join(each)) for each in ngrams(tokens, ngram))
np.array(sorted(hashes), dtype=config.hash_config.np_descr).tofile(folder + "/index/set.index.hashes")
documents = [Document(text=each["text"], id=each["id"]) for each in map(json.loads, open(folder + "/documents.jsonl"))]
step.filter(Document(text="warm up the tokenizer", id="-"))
size = sum(len(each.text.encode()) for each in documents)
started = time.process_time()
found = [each.id for each in documents if step.filter(each) is not True]
seconds = time.process_time() - started
print(json.dumps({"seconds": seconds, "bytes": size, "found": found, "ngrams": len(hashes)}))
"""


def read_corpus(dataset: str, most: int) -> pa.Table:
    tables, size = [], 0
    for path in sorted(Path(dataset).glob("part-*.parquet")):
        table = pq.read_table(path, columns=["id", "text", "source", "kind", "language", "url", "meta"])
        tables.append(table)
        size += pc.sum(pc.binary_length(table["text"])).as_py() or 0
        if size >= most:
            break
    return pa.concat_tables(tables).combine_chunks()


def middle(text: str) -> str:
    words = text.split()
    first = max(0, (len(words) - ITEM_WORDS) // 2)
    return " ".join(words[first : first + ITEM_WORDS])


def altered(text: str) -> str:
    return " ".join(f"{word}q" for word in text.split() if word.isascii() and word.isalnum())


def seconds_of(work) -> float:
    times = []
    for _ in range(3):
        started = time.process_time()
        work()
        times.append(time.process_time() - started)
    return min(times)


def main() -> None:
    from corpusmill.dataproc.contamination.decontaminate import Decontamination, decontaminate
    from corpusmill.dataproc.contamination.index import ARRAYS, build_index
    from corpusmill.dataproc.contamination.items import EvaluationSet
    from corpusmill.dataproc.contamination.matching import find_ngrams

    parser = argparse.ArgumentParser()
    parser.add_argument("dataset")
    parser.add_argument("--datatrove", help="a Python that has datatrove")
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--datatrove-megabytes", type=float, default=4)
    parser.add_argument("--ngram", type=int, default=13)
    given = parser.parse_args()

    corpus = read_corpus(given.dataset, given.megabytes * 1_000_000)
    size = pc.sum(pc.binary_length(corpus["text"])).as_py()
    texts = corpus["text"].to_pylist()
    chosen = range(0, len(texts), EVERY)
    items = [middle(texts[row]) for row in chosen]
    ids = pa.array([str(row) for row in chosen])
    batches = corpus.to_batches(max_chunksize=4096)
    print(f"{len(texts):,} documents, {size / 1e6:.1f} MB, {len(items):,} items")

    whole = [altered(texts[row]) for row in range(0, len(texts), 10)]
    sets = {
        "60 words of 1 document in 100": EvaluationSet("natural", ids, pa.array(items, pa.large_string())),
        "the same, altered: a clean corpus": EvaluationSet(
            "clean", ids, pa.array(map(altered, items), pa.large_string())
        ),
        "1 document in 10, altered": EvaluationSet(
            "large", pa.array(map(str, range(len(whole)))), pa.array(whole, pa.large_string())
        ),
    }
    settings = Decontamination(action="remove")
    indexes = {}
    for name, group in sets.items():
        build_index([group], ngram=given.ngram)
        started = time.process_time()
        index = indexes[name] = build_index([group], ngram=given.ngram)
        built = time.process_time() - started
        memory = sum(getattr(index, array).nbytes for array in ARRAYS)
        find_ngrams(batches[0].column("text"), index)
        matching = seconds_of(lambda index=index: [find_ngrams(batch.column("text"), index) for batch in batches])
        judging = seconds_of(lambda index=index: [decontaminate(batch, index, settings) for batch in batches])
        done = [decontaminate(batch, index, settings) for batch in batches]
        hits = np.unique(np.concatenate([part.items for part in done]))
        hit = sum(part.contaminated for part in done)
        print(
            f"{name}: {index.ngrams:,} n-grams, built in {built:.2f} s, "
            f"{memory / max(index.ngrams, 1):.0f} bytes each; "
            f"matching {size / matching / 1e6:,.0f} MB/s, with hits and removal {size / judging / 1e6:,.0f} MB/s; "
            f"{hit:,} documents hold {len(hits):,} of {int(index.is_looked_for().sum()):,} items that are looked for"
        )
    if given.datatrove:
        compare(given, corpus, indexes["60 words of 1 document in 100"], items)


def compare(given: argparse.Namespace, corpus: pa.Table, index, items: list[str]) -> None:
    """Speed and agreement on a sample of the ASCII documents: its tokenizer here is the English one."""
    from corpusmill.dataproc.contamination.decontaminate import Decontamination, decontaminate
    from corpusmill.dataproc.contamination.index import build_index
    from corpusmill.dataproc.contamination.items import EvaluationSet
    from corpusmill.dataproc.contamination.matching import find_ngrams

    sizes = pc.binary_length(corpus["text"]).to_numpy()
    is_ascii = pc.equal(pc.utf8_length(corpus["text"]), pc.binary_length(corpus["text"])).to_numpy(zero_copy_only=False)
    step = max(1, int(sizes[is_ascii].sum() / (given.datatrove_megabytes * 1e6)))
    chosen = np.flatnonzero(is_ascii)[step // 2 :: step]
    rows = len(chosen)
    piece = corpus.take(pa.array(chosen))
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "index").mkdir()
        (Path(folder) / "items.json").write_text(json.dumps(items))
        with (Path(folder) / "documents.jsonl").open("w") as file:
            for row in piece.select(["id", "text"]).to_pylist():
                file.write(json.dumps(row) + "\n")
        command = [given.datatrove, "-c", DATATROVE, folder, str(given.ngram)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            sys.exit(done.stderr)
        theirs = json.loads(done.stdout.splitlines()[-1])
    settings = Decontamination(action="remove")
    batches = piece.combine_chunks().to_batches(max_chunksize=4096)
    seconds = seconds_of(lambda: [decontaminate(batch, index, settings) for batch in batches])
    ours: dict[str, bool] = {}
    for batch in batches:
        done = decontaminate(batch, index, settings)
        ours.update(dict.fromkeys(done.rejected.column("id").to_pylist(), True))
    theirs_hit = set(theirs["found"])
    speeds = theirs["bytes"] / seconds / 1e6, theirs["bytes"] / theirs["seconds"] / 1e6
    print(
        f"datatrove on {theirs['bytes'] / 1e6:.1f} MB: {speeds[1]:.2f} MB/s, ours {speeds[0]:,.0f} MB/s: "
        f"{speeds[0] / speeds[1]:,.0f} times; documents found by both {len(theirs_hit & ours.keys())}, "
        f"by ours alone {len(ours.keys() - theirs_hit)}, "
        f"by datatrove alone {len(theirs_hit - ours.keys())} of {rows:,}"
    )
    numbers = re.compile(r"[0-9]+([.,][0-9]+)*")
    zeros = pa.array([numbers.sub("0", text) for text in items], pa.large_string())
    as_zero = build_index([EvaluationSet("zeros", index.item_ids, zeros)], ngram=given.ngram)
    plain = pa.array([numbers.sub("0", text) for text in piece["text"].to_pylist()], pa.large_string())
    by_zero = set(piece["id"].take(pa.array(np.unique(find_ngrams(plain, as_zero).rows))).to_pylist())
    print(
        f"  with numbers written as 0 for ours, too: both {len(theirs_hit & by_zero)}, "
        f"ours alone {len(by_zero - theirs_hit)}, "
        f"datatrove alone {len(theirs_hit - by_zero)}"
    )
    texts = dict(zip(piece["id"].to_pylist(), piece["text"].to_pylist(), strict=True))
    for name, alone in (("ours", ours.keys() - theirs_hit), ("datatrove", theirs_hit - ours.keys())):
        for document in sorted(alone)[:5]:
            print(f"  {name} alone: {document}: {' '.join(texts[document].split())[:100]!r}")


if __name__ == "__main__":
    main()
