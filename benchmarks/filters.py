"""Filters on one core: statistics and decisions of four presets, ours and datatrove's, on the same English documents.

    python benchmarks/filters.py /data/corpus --datatrove /tmp/peers/bin/python

The folder holds *.jsonl.zst (id, text, meta with kind and lang); `--datatrove` is a Python with datatrove 0.10, spaCy
and pyarrow. The filters are gopher-quality, gopher-repetition, c4 and fineweb together, of ours

    in memory      every statistic, all decisions, and C4's rewriting of what is kept, from Arrow to Arrow
    statistics     the one pass alone, for comparison
    with Parquet   the task of `corpusmill filter`: parts read, and kept, rejected, ledger, statistics and rewrites
                   written

and of datatrove its four filters by their defaults, on an even sample of `--sample` MB, since it takes minutes:

    each filter    every filter on every document, the sum of the four, which is what our one pass decides
    as a pipeline  one after the other, a document that a filter drops not going on to the next; they share word splits

All is processor time of one process; imports, compilation and the loading of spaCy come before it. Ours are the fastest
of `--repeats` rounds.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from corpus_documents import english_prose, megabytes, read_corpus

PRESETS = ("gopher-quality", "gopher-repetition", "c4", "fineweb")
BATCH = 1000
RATIO_BAR, RATE_AIM = 200, 40.0


def fastest(repeats: int, work: Callable[[], object]) -> float:
    """Processor seconds of the fastest of so many rounds, after one that does not count."""
    seconds = []
    for _ in range(repeats + 1):
        started = time.process_time()
        work()
        seconds.append(time.process_time() - started)
    return min(seconds[1:])


def ours(documents: pa.Table, folder: Path, repeats: int) -> tuple[dict[str, float], dict[str, int]]:
    """(MB/s by way, counts of the last run)."""
    from corpusmill.dataproc.datasets import ONE_PART_A_FILE, PartWriter
    from corpusmill.dataproc.measures.statistics import measure
    from corpusmill.pipelines.engine.task import Call
    from corpusmill.pipelines.engine.worker import TaskContext
    from corpusmill.pipelines.stages.filter.plan import FilterStage
    from corpusmill.pipelines.stages.filter.work.filtering import filter_part
    from corpusmill.pipelines.stages.filter.work.judging import judge, judge_from

    pa.set_cpu_count(1)
    batches = documents.to_batches(max_chunksize=BATCH)
    size = megabytes(documents)
    stage = FilterStage.__new__(FilterStage)
    stage.settings = FilterStage.Settings(datasets=("english",), rules=PRESETS)
    work = stage.work()
    by = judge_from(work)
    with PartWriter(str(folder / "english"), "00000", documents.schema, part_bytes=ONE_PART_A_FILE) as writer:
        for batch in batches:
            writer.write(batch)
    path = str(folder / "english" / writer.parts[0]["path"])
    result: dict[str, int] = {}

    def task() -> None:
        call = Call(
            ticket=0,
            function="",
            arguments=replace(work, path=path),
            folder=str(folder / "filtered"),
            phase="measure",
            task="00000",
        )
        result.update(filter_part(TaskContext(call)))

    ways = {
        "statistics": lambda: [measure(batch.column("text"), batch.column("language")) for batch in batches],
        "in memory": lambda: [judge(batch, by) for batch in batches],
        "with Parquet": task,
    }
    rates = {name: size / fastest(repeats, work) for name, work in ways.items()}
    return rates, {name: result[name] for name in ("documents_in", "kept", "rejected")}


def run_datatrove(sample: str) -> None:
    """In a Python that has it: prints {"each": {filter: seconds}, "pipeline": seconds, "kept": documents} as JSON."""
    from datatrove.data import Document
    from datatrove.pipeline.filters import (
        C4QualityFilter,
        FineWebQualityFilter,
        GopherQualityFilter,
        GopherRepetitionFilter,
    )
    from datatrove.utils.text import split_into_sentences, split_into_words

    texts = pq.read_table(sample, columns=["text"])["text"].to_pylist()
    filters = [GopherRepetitionFilter(), GopherQualityFilter(), C4QualityFilter(), FineWebQualityFilter()]
    split_into_words("Warm up.", "eng")
    split_into_sentences("Warm up.", "eng")

    def keeps(datatrove_filter, document: Document) -> bool:
        try:
            return datatrove_filter.filter(document) is True
        except ZeroDivisionError:  # a document without a word
            return False

    seconds = {}
    for datatrove_filter in filters:
        started = time.process_time()
        for number, text in enumerate(texts):
            keeps(datatrove_filter, Document(text=text, id=str(number)))
        seconds[type(datatrove_filter).__name__] = time.process_time() - started
    started, kept = time.process_time(), 0
    for number, text in enumerate(texts):
        document = Document(text=text, id=str(number))
        kept += all(keeps(datatrove_filter, document) for datatrove_filter in filters)
    print(json.dumps({"each": seconds, "pipeline": time.process_time() - started, "kept": kept}))


def even_sample(documents: pa.Table, size: float) -> pa.Table:
    """Every so-manieth document, for about `size` MB."""
    step = max(round(megabytes(documents) / size), 1)
    return documents.take(pa.array(range(step // 2, documents.num_rows, step)))


def main() -> None:
    if sys.argv[1:2] == ["--run-datatrove"]:
        return run_datatrove(sys.argv[2])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path, help="folder of *.jsonl.zst")
    parser.add_argument("--datatrove", help="a Python with datatrove, spaCy and pyarrow")
    parser.add_argument("--sample", type=float, default=3.0, help="MB that datatrove is given")
    parser.add_argument("--repeats", type=int, default=3, help="rounds of ours")
    options = parser.parse_args()

    english = english_prose(read_corpus(options.corpus))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rates, counts = ours(english, folder, options.repeats)
        print(f"ours, {', '.join(PRESETS)}: {english.num_rows:,} documents, {megabytes(english):.1f} MB")
        print(f"  {counts['kept']:,} kept, {counts['rejected']:,} rejected")
        for way, rate in rates.items():
            print(f"  {way:<14} {rate:8.1f} MB/s")
        if options.datatrove:
            sample = even_sample(english, options.sample)
            pq.write_table(sample, folder / "sample.parquet")
            command = [options.datatrove, str(Path(__file__)), "--run-datatrove", str(folder / "sample.parquet")]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                raise SystemExit(f"datatrove ended with {done.returncode}\n{done.stderr}")
            theirs = json.loads(done.stdout.splitlines()[-1])
            size, total = megabytes(sample), sum(theirs["each"].values())
            print(f"datatrove, the same filters: {sample.num_rows:,} documents, {size:.2f} MB")
            for filter_name, seconds in theirs["each"].items():
                print(f"  {filter_name:<24} {size / seconds:8.3f} MB/s")
            peers = {"each filter": size / total, "as a pipeline": size / theirs["pipeline"]}
            for way, rate in peers.items():
                print(f"  {way:<24} {rate:8.3f} MB/s")
            for way, rate in peers.items():
                ratios = ", ".join(f"{name} {mine / rate:,.0f} times" for name, mine in rates.items())
                print(f"ours against datatrove's {way}: {ratios} (bar {RATIO_BAR})")
    print(f"with Parquet {rates['with Parquet']:.1f} MB/s (aim {RATE_AIM:.0f})")


if __name__ == "__main__":
    main()
