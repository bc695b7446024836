"""Encodes documents with a tokenizer folder, next to gigatoken, tiktoken and `tokenizers`: MB/s by kind of text.

    python benchmarks/tokenizer_encoding.py documents tokenizer --peers /tmp/peers/bin/python [--kinds all code]

The text is a dataset's column `text`. Kinds of text: all of it; English prose, code and documentation by the column
`kind`; Chinese and Japanese by their script. Each contestant is a process of its own for each kind, with one thread; it
holds the texts as it takes them fastest (ours as Arrow, peers as a list of strings) and has loaded its tokenizer, and
ours its compiled kernels, which is told as `load`. Then it encodes everything twice: `cold` is the first pass of the
fresh process, `warm` the second. Both are CPU seconds, so that other work on the machine counts less; the best of
`--repeats` processes is told. Results are arrays: Arrow lists, awkward arrays, and of the other two lists of integers.

`ours, no warm table` is the same without the folder's `warm.arrow`. `--write-warm N` first counts the documents and
writes that file with N pretokens, as training does; with `--held-out` from every second document, and then the others
are encoded. tiktoken and `tokenizers` are slow, so they get a sample of documents of `--sample` MB.

Every contestant's ids are held against ours, document by document. Documents that spell a special token are told apart:
`tokenizers` and gigatoken make a control token of it, and for us it is text.

Two cores: all documents in halves by two threads, and by two processes, against one thread, by the clock.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq

BARS = {"tokenizers": 50.0, "tiktoken": 8.0, "gigatoken": 1.0}
HAN = "\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff"
ONE_REGEX = "|".join(
    [
        r"\p{N}{1,3}",
        rf"[[{HAN}]&&[\p{{L}}\p{{M}}]]+",
        rf"[[{HAN}]&&[\p{{P}}\p{{S}}]]+",
        f"[{HAN}]",
        r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+",
        rf"[^\r\n\p{{L}}\p{{P}}\p{{S}}\p{{N}}{HAN}]?[\p{{L}}\p{{M}}&&[^{HAN}]]+",
        rf" ?[\p{{P}}\p{{S}}&&[^{HAN}]]+[\r\n]*",
        rf"[^\s\p{{L}}\p{{M}}\p{{N}}\p{{P}}\p{{S}}]+(?![\p{{L}}\p{{M}}&&[^{HAN}]])",  # or it would be dropped
        r"\s*[\r\n]+",
        rf"\s+(?![^\s\p{{N}}{HAN}])",
        r"\s+",
    ]
)
"""DeepSeek-V3's three splits as one, for tiktoken: numbers and Han are boundaries, and Han is cut, too."""

Encode = Callable[[Any], Any]
Rows = tuple[np.ndarray, np.ndarray]
"""(ids of all documents, how many each has)."""


def read_texts(path: str) -> pa.Array:
    with pa.memory_map(path) as source:
        return pa.ipc.open_file(source).read_all()["text"].combine_chunks()


def ours(folder: str, warm: bool) -> tuple[Callable[[pa.Array], Any], Encode, Callable[[Any], Rows]]:
    from corpusmill.tokenizer.encoder import Tokenizer

    tokenizer = Tokenizer.load(folder)
    if not warm:
        parts = tokenizer.vocabulary, tokenizer.special, tokenizer.pattern, tokenizer.fingerprint
        tokenizer = Tokenizer(*parts)
    tokenizer.encode(pa.array(["compiled or loaded"]))
    return (
        lambda texts: texts,
        tokenizer.encode,
        lambda rows: (rows.values.to_numpy(), np.diff(rows.offsets.to_numpy())),
    )


def by_gigatoken(folder: str) -> tuple[Callable[[pa.Array], Any], Encode, Callable[[Any], Rows]]:
    import awkward
    import gigatoken

    tokenizer = gigatoken.Tokenizer(f"{folder}/tokenizer.json")
    return (
        lambda texts: texts.to_pylist(),
        lambda texts: tokenizer.encode_batch(texts, parallel=False),
        lambda rows: (awkward.to_numpy(awkward.flatten(rows)), awkward.to_numpy(awkward.num(rows))),
    )


def flat(rows: list[list[int]]) -> Rows:
    lengths = np.array([len(row) for row in rows])
    return np.fromiter((token for row in rows for token in row), np.int64, int(lengths.sum())), lengths


def by_tiktoken(folder: str) -> tuple[Callable[[pa.Array], Any], Encode, Callable[[Any], Rows]]:
    import tiktoken
    from tiktoken.load import load_tiktoken_bpe

    ranks = load_tiktoken_bpe(f"{folder}/tokenizer.tiktoken")
    encoding = tiktoken.Encoding("ours", pat_str=ONE_REGEX, mergeable_ranks=ranks, special_tokens={})
    return lambda texts: texts.to_pylist(), lambda texts: [encoding.encode_ordinary(text) for text in texts], flat


def by_tokenizers(folder: str) -> tuple[Callable[[pa.Array], Any], Encode, Callable[[Any], Rows]]:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(f"{folder}/tokenizer.json")
    return (
        lambda texts: texts.to_pylist(),
        lambda texts: tokenizer.encode_batch(texts, add_special_tokens=False),
        lambda rows: flat([row.ids for row in rows]),
    )


CONTESTANTS = {
    "ours": lambda folder: ours(folder, True),
    "ours, no warm table": lambda folder: ours(folder, False),
    "gigatoken": by_gigatoken,
    "tiktoken": by_tiktoken,
    "tokenizers": by_tokenizers,
}
SAMPLED = ("tiktoken", "tokenizers")


def contend(name: str, folder: str, texts_path: str, ids_path: str) -> dict[str, float]:
    """In a process of its own: loads, encodes twice, writes the ids."""
    started = time.process_time()
    take, encode, rows_of = CONTESTANTS[name](folder)
    loaded = time.process_time()
    texts = take(read_texts(texts_path))
    before = time.process_time()
    rows = encode(texts)
    cold = time.process_time()
    again = encode(texts)
    warm = time.process_time()
    ids, lengths = rows_of(rows)
    assert np.array_equal(rows_of(again)[0], ids)
    np.savez(ids_path, ids=ids.astype(np.int32), lengths=lengths.astype(np.int64))
    return {"load": loaded - started, "cold": cold - before, "warm": warm - cold}


def two_cores(folder: str, texts_path: str) -> dict[str, float]:
    """Seconds by the clock of one thread, and of two threads on the halves, each after a pass to warm up."""
    _, encode, _ = ours(folder, True)
    texts = read_texts(texts_path)
    halves = [texts.take(pa.array(np.arange(first, len(texts), 2))) for first in (0, 1)]

    def both() -> None:
        threads = [threading.Thread(target=encode, args=(half,)) for half in halves]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def one() -> None:
        for half in halves:
            encode(half)

    speeds = {}
    for name, work in (("one", one), ("two", both)):
        work()
        best = best_cpu = float("inf")
        for _ in range(5):
            started, cpu = time.perf_counter(), time.process_time()
            work()
            best, best_cpu = min(best, time.perf_counter() - started), min(best_cpu, time.process_time() - cpu)
        speeds[name], speeds[f"{name} cpu"] = best, best_cpu
    return speeds


def one_of_two(folder: str, texts_path: str) -> dict[str, float]:
    """In one of two processes: when its passes over the texts began and ended."""
    _, encode, _ = ours(folder, True)
    texts = read_texts(texts_path)
    encode(texts)
    print("ready", flush=True)
    sys.stdin.readline()
    started = time.perf_counter()
    for _ in range(5):
        encode(texts)
    return {"seconds": (time.perf_counter() - started) / 5}


def kind_of(kind: str | None, text: str) -> str | None:
    """English prose, code, docs, Chinese, Japanese, or none of these."""
    raw = text.encode()
    high = np.frombuffer(raw, np.uint8)
    kana = 3 * sum(raw.count(lead) for lead in (b"\xe3\x81", b"\xe3\x82", b"\xe3\x83")) / max(1, len(raw))
    han = 3 * float(((high >= 0xE4) & (high <= 0xE9)).mean()) if len(raw) else 0.0
    if kana > 0.1:
        return "Japanese"
    if han > 0.3:
        return "Chinese"
    if kind in ("book", "web"):
        return "English prose" if len(raw) and float((high < 0x80).mean()) > 0.97 else None
    return kind if kind in ("code", "docs") else None


def environment() -> dict[str, str]:
    return {
        **os.environ,
        "RAYON_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(Path(__file__).parents[1] / "src"),
    }


def child(python: str, *arguments: str) -> dict[str, Any]:
    """What a process of this file prints."""
    line = [python, __file__, "-", "-", "--child", *arguments]
    done = subprocess.run(line, stdout=subprocess.PIPE, text=True, env=environment())
    if done.returncode:
        raise SystemExit(f"{arguments} ended with {done.returncode}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def write_texts(path: Path, texts: list[str]) -> float:
    """Writes texts for the children; MB of them."""
    array = pa.array(texts, pa.large_string())
    with pa.ipc.new_file(str(path), pa.schema([("text", pa.large_string())])) as writer:
        writer.write_table(pa.table({"text": array}))
    return float(sum(len(text.encode()) for text in texts)) / 1e6


def sample_of(texts: list[str], megabytes: float) -> list[int]:
    """Every k-th document, some `megabytes` in all."""
    total = sum(len(text.encode()) for text in texts) / 1e6
    return list(range(0, len(texts), max(1, round(total / megabytes))))


def differing(expected: Rows, actual: Rows, rows: list[int], spelled: list[bool]) -> str:
    """How a contestant's documents compare with ours."""
    starts, theirs = np.concatenate([[0], np.cumsum(expected[1])]), np.concatenate([[0], np.cumsum(actual[1])])
    plain = special = 0
    for place, row in enumerate(rows):
        ours_row = expected[0][starts[row] : starts[row + 1]]
        if not np.array_equal(ours_row, actual[0][theirs[place] : theirs[place + 1]]):
            special += spelled[row]
            plain += not spelled[row]
    verdict = f"{len(rows) - plain - special:,} of {len(rows):,} equal"
    return verdict + (f", {special} spell a special token" if special else "") + (f", {plain} DIFFER" if plain else "")


def write_warm(folder: str, texts: list[str], limit: int) -> None:
    from corpusmill.tokenizer.counting.counts import count_pretokens
    from corpusmill.tokenizer.encoder import Tokenizer
    from corpusmill.tokenizer.warm import WARM
    from corpusmill.tokenizer.warming import write_warm_table

    (Path(folder) / WARM).unlink(missing_ok=True)
    tokenizer = Tokenizer.load(folder)
    started = time.process_time()
    counts = count_pretokens(pa.array(texts, pa.large_string()), tokenizer.pattern)
    counted = time.process_time()
    warm = write_warm_table(folder, tokenizer, counts, limit)
    print(
        f"warm table: {warm.pretokens:,} pretokens, {warm.memory_bytes / 1e6:.1f} MB, written in "
        f"{time.process_time() - counted:.1f} s after {counted - started:.1f} s of counting"
    )


def measure_kind(kind: str, texts: list[str], arguments: argparse.Namespace, temporary: Path) -> None:
    from corpusmill.tokenizer.formats.files import read_tokenizer

    folder = arguments.tokenizer
    specials = [token.text for token in read_tokenizer(folder).special.tokens]
    spelled = [any(text in document for text in specials) if "<" in document else False for document in texts]
    whole, part = temporary / "whole.arrow", temporary / "part.arrow"
    rows = sample_of(texts, arguments.sample)
    sizes = {"whole": write_texts(whole, texts), "part": write_texts(part, [texts[row] for row in rows])}
    print(f"\n{kind}: {len(texts):,} documents, {sizes['whole']:.1f} MB")
    print(f"{'':<22} {'load s':>7} {'cold s':>8} {'warm s':>8} {'cold MB/s':>10} {'warm MB/s':>10}  ids", flush=True)
    expected: Rows | None = None
    rates: dict[str, tuple[float, float]] = {}
    for name in CONTESTANTS:
        is_ours = name.startswith("ours")
        python = sys.executable if is_ours else arguments.peers
        if not python or name in arguments.without:
            continue
        sampled = name in SAMPLED
        path, size = (part, sizes["part"]) if sampled else (whole, sizes["whole"])
        ids_path = temporary / "ids.npz"
        results = [
            child(python, name, folder, str(path), str(ids_path)) for _ in range(1 if sampled else arguments.repeats)
        ]
        best = {key: min(result[key] for result in results) for key in ("load", "cold", "warm")}
        with np.load(ids_path) as file:
            actual = file["ids"], file["lengths"]
        expected = expected or actual
        compared = differing(expected, actual, rows if sampled else list(range(len(texts))), spelled)
        rates[name] = size / best["cold"], size / best["warm"]
        print(
            f"{name:<22} {best['load']:7.2f} {best['cold']:8.3f} {best['warm']:8.3f} "
            f"{rates[name][0]:10.1f} {rates[name][1]:10.1f}  {compared}",
            flush=True,
        )
    for name, bar in BARS.items():
        if name in rates:
            cold, warm = (us / them for us, them in zip(rates["ours"], rates[name], strict=True))
            print(f"  {cold:.2f} times {name} cold, {warm:.2f} times warm (bar {bar:g})")


def measure_cores(folder: str, texts: list[str], temporary: Path) -> None:
    whole = temporary / "whole.arrow"
    size = write_texts(whole, texts)
    threads = child(sys.executable, "two cores", folder, str(whole), "-")
    print(f"\nall, two cores (warm): one thread {size / threads['one']:.0f} MB/s by the clock")
    by_cpu = 2 * threads["one cpu"] / threads["two cpu"]
    print(
        f"  two threads: {threads['one'] / threads['two']:.2f} times by the clock, "
        f"{by_cpu:.2f} by CPU seconds (bar 1.8)"
    )
    alone = processes(folder, [texts], temporary)
    both = processes(folder, [texts[0::2], texts[1::2]], temporary)
    print(f"  two processes: {alone / both:.2f} times by the clock (bar 1.8)")


def processes(folder: str, parts: list[list[str]], temporary: Path) -> float:
    """Seconds that a pass takes in the slower one of processes that start together."""
    running = []
    for number, part in enumerate(parts):
        path = temporary / f"part-{number}.arrow"
        write_texts(path, part)
        line = [sys.executable, __file__, "-", "-", "--child", "one of two", folder, str(path), "-"]
        running.append(
            subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment())
        )
    for process in running:
        assert process.stdout and process.stdout.readline() == "ready\n"
    for process in running:
        assert process.stdin
        process.stdin.write("\n")
        process.stdin.flush()
    return max(json.loads(process.communicate()[0].splitlines()[-1])["seconds"] for process in running)


def run_child(name: str, folder: str, texts_path: str, ids_path: str) -> dict[str, float]:
    if name == "two cores":
        return two_cores(folder, texts_path)
    if name == "one of two":
        return one_of_two(folder, texts_path)
    return contend(name, folder, texts_path, ids_path)


KINDS = ("all", "English prose", "code", "docs", "Chinese", "Japanese")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("documents", help="a folder of Parquet files with columns `text` and `kind`")
    parser.add_argument("tokenizer", help="a tokenizer folder with DeepSeek-V3's pattern")
    parser.add_argument("--peers", help="a Python with gigatoken, tiktoken and tokenizers; without it only ours")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--without", nargs="+", choices=list(CONTESTANTS), default=[])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--sample", type=float, default=3.0, help="MB for tiktoken and tokenizers")
    parser.add_argument("--write-warm", type=int, metavar="N", help="write warm.arrow into the folder first")
    parser.add_argument("--held-out", action="store_true", help="count every second document, encode the others")
    parser.add_argument("--no-cores", action="store_true", help="leave out the measurement of two cores")
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(run_child(*arguments.child)))
        return
    paths = sorted(path for path in Path(arguments.documents).rglob("*.parquet") if not path.name.startswith("_"))
    table = pa.concat_tables([pq.read_table(path, columns=["text", "kind"]) for path in paths])
    documents = list(zip(table["kind"].to_pylist(), table["text"].to_pylist(), strict=True))
    if arguments.write_warm is not None:
        counted = documents[0::2] if arguments.held_out else documents
        write_warm(arguments.tokenizer, [text for _, text in counted], arguments.write_warm)
    if arguments.held_out:
        documents = documents[1::2]
    named = [(kind_of(kind, text), text) for kind, text in documents]
    with tempfile.TemporaryDirectory() as folder:
        for kind in arguments.kinds:
            texts = [text for name, text in named if kind in ("all", name)]
            if texts:
                measure_kind(kind, texts, arguments, Path(folder))
        if not arguments.no_cores:
            measure_cores(arguments.tokenizer, [text for _, text in documents], Path(folder))


if __name__ == "__main__":
    main()
