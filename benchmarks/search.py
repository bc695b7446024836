"""What a search index costs: build, size, queries and traces, beside grep (and ripgrep, if it is there) over the text.

    python benchmarks/search.py make shared/corpus/*.jsonl.zst --work /tmp/search --bytes 1000000000
    python benchmarks/search.py ask --work /tmp/search

`make` ingests the inputs and indexes them as they are; then it makes a dataset of `--bytes` of text, in which every
copy of a document beyond the first has its words (what stands between blanks) in another order, and indexes that. So no
copy repeats more than a few words of another, which makes the larger index worse than real text of that size would: a
permuted text has no phrases.

`ask` is a process of its own, so that its memory is that of queries. A cold query opens the index anew after the kernel
was told to drop its files' pages (posix_fadvise; no rights are needed for that). Times are wall clock, with CPU beside.
"""

import argparse
import os
import random
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import pyarrow as pa

from corpusmill.dataproc.datasets import PartWriter, read_batches
from corpusmill.dataproc.documents import SCHEMA
from corpusmill.pipelines import kernels
from corpusmill.pipelines.datasets import list_parts
from corpusmill.pipelines.engine import state

kernels.configure()

WORDS = ("git commit", "the quick brown fox", "def __init__(self", "我们可以看到", "Unterverzeichnis", "суффикс", "e",
         "commutative ring", "no such text stands anywhere in here")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    make = commands.add_parser("make")
    make.add_argument("inputs", nargs="+")
    make.add_argument("--bytes", type=int, default=1_000_000_000)
    make.add_argument("--segment-bytes", default="256MiB")
    ask = commands.add_parser("ask")
    ask.add_argument("--index", default="index-grown")
    for command in (make, ask):
        command.add_argument("--work", type=Path, required=True)
    arguments = parser.parse_args()
    if arguments.command == "make":
        make_indexes(arguments)
    else:
        ask_index(arguments.work, arguments.work / arguments.index)


def corpusmill(*arguments: str | Path) -> float:
    """Runs a command; gives the CPU seconds that it and its workers took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "corpusmill", *map(str, arguments)], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def make_indexes(arguments: argparse.Namespace) -> None:
    work: Path = arguments.work
    shutil.rmtree(work, ignore_errors=True)
    corpusmill("ingest", *arguments.inputs, "--output", work / "corpus", "--workers", "1")
    grow(work / "corpus", work / "grown", arguments.bytes)
    for name in ("corpus", "grown"):
        dump_text(work / name, work / f"{name}.txt")
        index = work / ("index" if name == "corpus" else "index-grown")
        started = time.perf_counter()
        options = ["--workers", "1", "--segment-bytes", arguments.segment_bytes]
        cpu = corpusmill("search", "build", work / name, "--output", index, *options)
        seconds = time.perf_counter() - started
        facts = state.require_manifest(str(index))["facts"]
        text, size = facts["text_bytes"], facts["index_bytes"]
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        print(
            f"{name}: {text / 1e6:,.0f} MB of text, index {size / 1e6:,.0f} MB ({size / text:.3f}), "
            f"{facts['segments']} segments; built at {text / 1e6 / seconds:.1f} MB/s wall, "
            f"{text / 1e6 / cpu:.1f} MB/s of CPU; most memory of a child {peak:,.0f} MiB",
            flush=True,
        )


def grow(dataset: Path, output: Path, wanted: int) -> None:
    """A dataset of so many bytes of text: copies of documents with their words in another order."""
    done, copy, parts = 0, 0, list_parts([str(dataset)], str)
    with PartWriter(str(output), "part-00000", SCHEMA) as writer:
        while done < wanted:
            for part in parts:
                for batch in read_batches(part.path):
                    rows = [permuted(row, copy) for row in batch.to_pylist()]
                    writer.write(pa.RecordBatch.from_pylist(rows, schema=SCHEMA))
                    done += sum(len(row["text"].encode()) for row in rows)
                    if done >= wanted:
                        break
                if done >= wanted:
                    break
            copy += 1
    manifest = state.require_manifest(str(dataset)) | {"parts": writer.parts}
    rows = sum(part["rows"] for part in writer.parts)
    manifest["counts"] = {"documents_in": rows, "kept": rows, "quarantined": 0}
    (output / state.MANIFEST).write_bytes(state.to_json(manifest))


def permuted(row: dict[str, Any], copy: int) -> dict[str, Any]:
    """The document itself for copy 0, else one with another id and order of words."""
    if not copy:
        return row
    words = row["text"].split(" ")
    random.Random(f"{copy} {row['id']}").shuffle(words)
    return row | {"id": f"{row['id']} ({copy})", "text": " ".join(words)}


def dump_text(dataset: Path, path: Path) -> None:
    """The text of a dataset in one file, for grep."""
    with path.open("wb") as file:
        for part in list_parts([str(dataset)], str):
            for batch in read_batches(part.path, ["text"]):
                for text in batch.column("text"):
                    file.write(text.as_py().encode() + b"\n")


def drop_pages(paths: Sequence[Path]) -> None:
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def timed(work: Callable[[], Any]) -> tuple[Any, float, float]:
    """(result, milliseconds of wall clock, milliseconds of CPU)."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    return result, (time.perf_counter() - wall) * 1e3, (time.process_time() - cpu) * 1e3


def resident() -> float:
    """The process's most memory until now, MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def ask_index(work: Path, folder: Path) -> None:
    from corpusmill.dataproc.search.index import Query
    from corpusmill.dataproc.search.tracing import trace_passage
    from corpusmill.pipelines.inspect.search import open_indexes

    kernels.compile_if_needed(print, ["corpusmill.dataproc.search.warmup"])
    files = sorted(folder.glob("*.fm"))
    index = open_indexes([str(folder)])[0].index
    passages = some_passages(work / "corpus.txt")
    print(f"with libraries: {resident():.0f} MiB")
    index.count(Query("git"))  # kernels come out of their cache once a process
    loaded = resident()
    print(f"with kernels: {loaded:.0f} MiB")
    for ignore_case in (False, True):
        cold, warm = [], []
        for text in WORDS:
            drop_pages(files)
            query = Query(text, ignore_case)
            count, wall, cpu = timed(lambda query=query: index.count(query))
            cold.append(wall)
            warm.append(timed(lambda query=query: index.count(query))[1])
            print(f"  count {text!r} ignore_case={ignore_case}: {count.occurrences:,}, cold {wall:.1f} ms "
                  f"({cpu:.1f} CPU), again {warm[-1]:.1f}")  # fmt: skip
        print(f"count, ignore_case={ignore_case}: cold median {median(cold):.1f} ms, most {max(cold):.1f}; "
              f"again median {median(warm):.1f}, most {max(warm):.1f}")  # fmt: skip
    drop_pages(files)
    _, wall, _ = timed(lambda: index.find(Query("git commit"), 10))
    _, again, _ = timed(lambda: index.find(Query("git commit"), 10))
    print(f"find -n 10: cold {wall:.1f} ms, again {again:.1f}")
    drop_pages(files)
    _, wall, _ = timed(lambda: index.contexts(Query("git commit"), 5, 80))
    print(f"context -n 5: cold {wall:.1f} ms; memory of queries {resident() - loaded:.0f} MiB above that with kernels")
    for name, passage in passages.items():
        drop_pages(files)
        trace, wall, cpu = timed(lambda passage=passage: trace_passage(index, passage, 6, 3))
        _, again, cpu_again = timed(lambda passage=passage: trace_passage(index, passage, 6, 3))
        print(f"trace of {name}, {trace.words} words, {trace.covered} of them in {len(trace.stretches)} stretches: "
              f"cold {wall:.0f} ms ({cpu:.0f} CPU), again {again:.0f} ({cpu_again:.0f} CPU)")  # fmt: skip
    print(f"memory of traces {resident() - loaded:.0f} MiB above that with kernels, {resident():.0f} in all")
    text_file = work / ("corpus.txt" if folder.name == "index" else "grown.txt")
    for tool in ("grep", "rg"):
        if shutil.which(tool):
            command = ["env", "LC_ALL=C", tool, "-c", "-F", "--", "git commit", str(text_file)]
            subprocess.run(command, capture_output=True)
            _, wall, _ = timed(lambda command=command: subprocess.run(command, capture_output=True))
            print(f"{tool} -c -F 'git commit', all in memory: {wall:.0f} ms")


def some_passages(path: Path) -> dict[str, str]:
    """Passages of 500 words: out of one place, of 25 places, and one with the words of the first in another order."""
    size = path.stat().st_size
    draw = random.Random(1)

    def words_at(count: int) -> list[str]:
        with path.open("rb") as file:  # not the whole of it: memory is measured here
            file.seek(draw.randrange(size - 100_000))
            return file.read(100_000).decode("utf-8", "ignore").split()[1 : count + 1]

    one = words_at(500)
    many = [word for _ in range(25) for word in words_at(20)][:500]
    return {
        "one place": " ".join(one),
        "25 places": " ".join(many),
        "permuted words": " ".join(draw.sample(one, len(one))),
    }


if __name__ == "__main__":
    main()
