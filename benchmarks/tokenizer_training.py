"""Trains one vocabulary from raw text, next to `tokenizers` and rustbpe: CPU seconds, peak memory, and the merges.

    python benchmarks/tokenizer_training.py documents --peers /tmp/peers/bin/python [--vocab-size 128000]

The text is a dataset's column `text`, which each contestant holds in memory (ours as Arrow, peers as a list of
strings) before the clock starts. The pattern is DeepSeek-V3's, the special tokens are its first three. rustbpe takes
one regular expression, so it gets the three splits as one; it has no special tokens, and learns as many merges.

A contestant is a process of its own with one thread (RAYON_NUM_THREADS=1). `CPU s` is processor time, so that other
work on the machine counts less; the best of `--repeats` is told. Ours is told in its two steps, counting and learning.
Its kernels are compiled and loaded before the clock starts. `memory` is the process's peak, `before` what it held
already with the text.

Ours runs again with the corpus counted ten times over: learning may not take longer or hold more, since all it sees is
the table of counts. `tokenizers`' merges are held against ours row by row, its ids too.

Memory: the text twice at most, and what the peers take: some 10 times the text.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

BAR_TOKENIZERS, BAR_RUSTBPE = 10.0, 3.0


def texts_of(folder: str) -> list[pa.Array]:
    """The texts of a dataset, part by part."""
    paths = sorted(path for path in Path(folder).rglob("*.parquet") if not path.name.startswith("_"))
    chunks = [chunk for path in paths for chunk in pq.read_table(path, columns=["text"])["text"].chunks]
    if not chunks:
        raise SystemExit(f"{folder} holds no documents")
    return [chunk.cast(pa.large_string()) for chunk in chunks]


def peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def ours(texts: list[pa.Array], task: dict[str, Any], times: int) -> dict[str, Any]:
    """Counts the text `times` times over, and learns."""
    from corpusmill.tokenizer.counting.counter import Counter
    from corpusmill.tokenizer.counting.counts import count_pretokens, counts_of
    from corpusmill.tokenizer.learning.bpe import train_merges
    from corpusmill.tokenizer.vocabulary import byte_characters

    train_merges(count_pretokens(texts[0][:100]), 1000, task["special_tokens"])  # compiles
    before, started = peak_bytes(), time.process_time()
    counter = Counter()
    for _ in range(times):
        for chunk in texts:
            counter.add_texts(chunk)
    table = counts_of(counter.rows())
    counted, counting_peak = time.process_time(), peak_bytes()
    del counter
    vocabulary = train_merges(table, task["vocab_size"], task["special_tokens"])
    learned = time.process_time()
    characters = np.array(byte_characters())
    first = vocabulary.specials
    spelled = [token.decode() for token in vocabulary.tokens[:first].to_pylist()]
    spelled += ["".join(characters[list(token)]) for token in vocabulary.tokens[first:].to_pylist()]
    return {
        "seconds": learned - started,
        "counting": counted - started,
        "learning": learned - counted,
        "before": before,
        "counting_peak": counting_peak,
        "peak": peak_bytes(),
        "unique": len(table),
        "tokens": spelled,
        "merges": [[spelled[left], spelled[right]] for left, right, _ in vocabulary.merges.tolist()],
    }


def by_tokenizers(texts: list[pa.Array], task: dict[str, Any]) -> dict[str, Any]:
    """`tokenizers` as its users train it."""
    from tokenizers import Regex, Tokenizer
    from tokenizers.models import BPE
    from tokenizers.pre_tokenizers import ByteLevel, Sequence, Split
    from tokenizers.trainers import BpeTrainer

    strings = [text for chunk in texts for text in chunk.to_pylist()]
    tokenizer = Tokenizer(BPE())
    splits = [Split(Regex(regex), "isolated") for regex in task["splits"]]
    tokenizer.pre_tokenizer = Sequence([*splits, ByteLevel(add_prefix_space=False, use_regex=False)])
    trainer = BpeTrainer(
        vocab_size=task["vocab_size"],
        special_tokens=task["special_tokens"],
        initial_alphabet=ByteLevel.alphabet(),
        show_progress=False,
    )
    before, started = peak_bytes(), time.process_time()
    tokenizer.train_from_iterator(strings, trainer)
    seconds = time.process_time() - started
    model = json.loads(tokenizer.to_str())["model"]
    return {
        "seconds": seconds,
        "before": before,
        "peak": peak_bytes(),
        "tokens": sorted(model["vocab"], key=model["vocab"].__getitem__),
        "merges": model["merges"],
    }


def by_rustbpe(texts: list[pa.Array], task: dict[str, Any]) -> dict[str, Any]:
    """rustbpe, asked for as many merges."""
    import rustbpe
    from tokenizer_encoding import ONE_REGEX  # beside this file, where tiktoken needs it, too

    strings = [text for chunk in texts for text in chunk.to_pylist()]
    tokenizer = rustbpe.Tokenizer()
    size = task["vocab_size"] - len(task["special_tokens"])
    before, started = peak_bytes(), time.process_time()
    tokenizer.train_from_iterator(iter(strings), size, pattern=ONE_REGEX)
    seconds = time.process_time() - started
    tokens = [list(token) for token, _ in tokenizer.get_mergeable_ranks()]
    return {"seconds": seconds, "before": before, "peak": peak_bytes(), "tokens": tokens, "merges": []}


CONTESTANTS = {
    "ours": lambda texts, task: ours(texts, task, 1),
    "ours, corpus ten times": lambda texts, task: ours(texts, task, 10),
    "tokenizers": by_tokenizers,
    "rustbpe": by_rustbpe,
}


def run(python: str, arguments: list[str], repeats: int) -> dict[str, Any]:
    """The fastest of some runs of a contestant in its own process."""
    environment = {**os.environ, "RAYON_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    environment["PYTHONPATH"] = str(Path(__file__).parents[1] / "src")
    results = []
    for _ in range(repeats):
        done = subprocess.run([python, __file__, *arguments], stdout=subprocess.PIPE, text=True, env=environment)
        if done.returncode:
            raise SystemExit(f"{arguments} ended with {done.returncode}")
        results.append(json.loads(done.stdout))
    return min(results, key=lambda result: float(result["seconds"]))


def show(name: str, result: dict[str, Any], text_bytes: int) -> None:
    steps = f"{result['counting']:9.2f} {result['learning']:9.2f}" if "learning" in result else f"{'':9} {'':9}"
    print(
        f"{name:<24} {result['seconds']:8.2f} {steps} {text_bytes / result['seconds'] / 1e6:8.1f} "
        f"{result['before'] / 1e6:9,.0f} {result['peak'] / 1e6:9,.0f}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("documents", help="a folder of Parquet files with a column `text`")
    parser.add_argument("--vocab-size", type=int, default=128_000)
    parser.add_argument("--repeats", type=int, default=3, help="of ours and rustbpe; tokenizers runs once")
    parser.add_argument("--peers", help="a Python with tokenizers and rustbpe; without it only ours is measured")
    parser.add_argument("--contestant", choices=list(CONTESTANTS), help=argparse.SUPPRESS)
    parser.add_argument("--task", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.contestant:
        task = json.loads(Path(arguments.task).read_text())
        print(json.dumps(CONTESTANTS[arguments.contestant](texts_of(arguments.documents), task)))
        return
    from corpusmill.tokenizer.patterns import DEEPSEEK_V3
    from corpusmill.tokenizer.special import layout_named

    text_bytes = sum(pc.sum(pc.binary_length(chunk)).as_py() or 0 for chunk in texts_of(arguments.documents))
    task = {
        "vocab_size": arguments.vocab_size,
        "special_tokens": list(layout_named("deepseek-v3").first),
        "splits": list(DEEPSEEK_V3.splits),
    }
    print(f"{text_bytes / 1e6:,.1f} MB of text, {arguments.vocab_size:,} ids, one thread each")
    print(
        f"{'':<24} {'CPU s':>8} {'counting':>9} {'learning':>9} {'MB/s':>8} {'before MB':>9} {'memory MB':>9}",
        flush=True,
    )
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "task.json"
        path.write_text(json.dumps(task))
        for name in CONTESTANTS:
            python = sys.executable if name.startswith("ours") else arguments.peers
            if python:
                line = [arguments.documents, "--contestant", name, "--task", str(path)]
                results[name] = run(python, line, 1 if name == "tokenizers" else arguments.repeats)
                show(name, results[name], text_bytes * (10 if name.endswith("ten times") else 1))
    us, ten = results["ours"], results["ours, corpus ten times"]
    print(f"\n{us['unique']:,} unique pretokens, {len(us['merges']):,} merges")
    print(
        f"learning, corpus ten times: {ten['learning'] / us['learning']:.2f} times as long (bar: 1, give or take noise)"
    )
    print(f"its merges are the same: {'yes' if ten['merges'] == us['merges'] else 'NO'}")
    if arguments.peers:
        for name, bar in (("tokenizers", BAR_TOKENIZERS), ("rustbpe", BAR_RUSTBPE)):
            print(f"{name} takes {results[name]['seconds'] / us['seconds']:.1f} times our CPU seconds (bar {bar:.0f})")
        same = us["merges"] == results["tokenizers"]["merges"] and us["tokens"] == results["tokenizers"]["tokens"]
        print(f"merges and ids equal to tokenizers', row by row: {'yes' if same else 'NO'}")


if __name__ == "__main__":
    main()
