"""De-duplication end to end with two workers, ours and four others, on documents whose duplicates are known.

    python benchmarks/dedup.py /data/corpus/pairs /data/corpus /data/score/near_duplicates.py \\
        --peers-python /tmp/peers/bin/python --daft-python /tmp/daft/bin/python \\
        --text-dedup-python /tmp/text-dedup/bin/python [--base-source /work/base/src] [--times 4]

The folders are those of benchmarks/signatures.py, and the pairs folder holds pairs.parquet too (id_a, id_b, jaccard,
every pair from 0.5 on); the scorer is a script that takes the pairs folder and a folder of kept documents and prints
`recall>=0.8 …  recall>=0.9 …  unjustified@0.8 …`. The documents are ingested once, in two halves. Both read these same
Parquet parts and write what is left as Parquet:

    corpusmill   `dedup --workers 2` as it comes (and again with `--verify signatures`), a process from start to end
    datatrove    MinhashDedupSignature, Buckets, Cluster, Filter by their defaults (5-grams, 14 x 8, spaCy's English
                 words), each in a LocalPipelineExecutor of two workers, one process from start to end as well

    daft, gaoya, text-dedup   as benchmarks/dedup_peers.py says, with the seconds of starting apart

`--base-source` is the `src` folder of another working copy of ours (git worktree), which runs the same line: what the
law costs. `--times` repeats the documents so often, each copy with a word of its own behind every 12th one, and their
own ids, for the marginal rate: seconds that n times the documents take more, a MB. Wall seconds say little on a machine
that others use; CPU seconds of all processes stand beside them.

Kernels are compiled before, and spaCy needs no download. What a step takes: of ours the seconds from the first start to
the last end of a phase's tasks, by their markers; of datatrove the call of its executor. Rounds take turns, `--repeats`
of ours to one of datatrove's, and the fastest of each counts. Quality is the scorer's: recall is the share of pairs of
which at least one document was removed, precision the share of removed documents with a partner in that band or
above, both by the exact Jaccard similarity of word 5-grams.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from signatures import ground_truth

WORKERS = 2
BANDS = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
OURS = "corpusmill"
BARS = {"recall>=0.8": 0.995, "recall>=0.9": 0.9995, "unjustified@0.8": 0.02}


class Spent(NamedTuple):
    """Seconds of a command: on the clock, and of all its processes."""

    wall: float
    cpu: float


def timed(line: list[str], source: str | None = None) -> tuple[Spent, str]:
    """Runs a command to its end: what it spent, and its output."""
    before, started = os.times(), time.monotonic()
    environment = os.environ | ({"PYTHONPATH": source} if source else {})
    done = subprocess.run(line, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise SystemExit(f"{' '.join(line)} ended with {done.returncode}\n{done.stdout[-4000:]}{done.stderr[-4000:]}")
    after = os.times()
    cpu = after.children_user - before.children_user + after.children_system - before.children_system
    return Spent(time.monotonic() - started, cpu), done.stdout


def corpusmill(*line: str, source: str | None = None) -> Spent:
    """What a command of ours spent."""
    return timed([sys.executable, "-m", "corpusmill", *line], source)[0]


def repeated(table: pa.Table, times: int) -> pa.Table:
    """The documents so often; each copy has ids of its own and, behind every 12th word, a word of its own."""
    copies = [table]
    for copy in range(1, times):
        texts = [
            " ".join(word if place % 12 else f"{word} c{copy}" for place, word in enumerate(text.split(" ")))
            for text in table["text"].to_pylist()
        ]
        ids = [f"{identifier}~{copy}" for identifier in table["id"].to_pylist()]
        copies.append(pa.table({"id": ids, "text": pa.array(texts, pa.large_string())}))
    return pa.concat_tables(copies)


def prepare(pairs: Path, corpus: Path, folder: Path, times: int = 1) -> list[Path]:
    """Ingests the documents as two datasets of a part each; `folder`/parts holds the same two files for others."""
    table = repeated(ground_truth(pairs, corpus), times)
    half = len(table) // 2
    datasets = []
    (folder / "parts").mkdir()
    for number, piece in enumerate((table.slice(0, half), table.slice(half))):
        raw, dataset = folder / f"raw-{number}.parquet", folder / f"documents-{number}"
        pq.write_table(piece, raw)
        corpusmill(
            "ingest", str(raw), "--source", "truth", "--kind", "docs", "--output", str(dataset), "--workers", "1"
        )
        for place, part in enumerate(sorted(dataset.glob("*.parquet"))):
            shutil.copy(part, folder / "parts" / f"part-{number}-{place}.parquet")
        datasets.append(dataset)
    return datasets


def phase_seconds(output: Path) -> dict[str, float]:
    """Seconds of each phase from its first task's start to its last one's end, in the order of the ends."""
    spans = []
    for folder in (output / "_state").iterdir():
        markers = [json.loads(path.read_text()) for path in folder.glob("*.json")] if folder.is_dir() else []
        if markers:
            ends = max(marker["finished"] for marker in markers)
            spans.append((ends, ends - min(m["finished"] - m["seconds"] for m in markers), folder.name))
    return {name: seconds for _, seconds, name in sorted(spans)}


def run_datatrove(folder: str) -> None:
    """In a Python that has it: the four steps over `folder`/parts; prints the seconds of each as JSON."""
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.dedup import (
        MinhashDedupBuckets,
        MinhashDedupCluster,
        MinhashDedupFilter,
        MinhashDedupSignature,
    )
    from datatrove.pipeline.dedup.minhash import MinhashConfig
    from datatrove.pipeline.readers import ParquetReader
    from datatrove.pipeline.writers import ParquetWriter

    config = MinhashConfig()
    tasks = len(list(Path(folder, "parts").iterdir()))
    work = f"{folder}/datatrove"
    reader = ParquetReader(f"{folder}/parts", text_key="text", id_key="id")
    steps = {
        "signatures": ([reader, MinhashDedupSignature(f"{work}/signatures", config=config)], tasks),
        "buckets": ([MinhashDedupBuckets(f"{work}/signatures", f"{work}/buckets", config=config)], config.num_buckets),
        "cluster": ([MinhashDedupCluster(f"{work}/buckets", f"{work}/remove", config=config)], 1),
        "filter": ([reader, MinhashDedupFilter(f"{work}/remove"), ParquetWriter(f"{work}/kept")], tasks),
    }
    seconds = {}
    for name, (pipeline, count) in steps.items():
        started = time.monotonic()
        LocalPipelineExecutor(pipeline, tasks=count, workers=WORKERS, logging_dir=f"{work}/logs/{name}").run()
        seconds[name] = time.monotonic() - started
    print(json.dumps(seconds))


def quality(scorer: Path, pairs: Path, kept: Path) -> dict[str, float]:
    """What the scorer says, and precision by band, by name."""
    done = subprocess.run(
        [sys.executable, str(scorer), str(pairs), str(kept)], capture_output=True, text=True, check=True
    )
    scores = {name: float(value) for name, value in re.findall(r"(\w+(?:>=|@)[\d.]+) ([\d.]+)", done.stdout)}
    scores |= {
        f"recall {band}": float(value) for band, value in re.findall(r"jaccard (\S+): .*caught ([\d.]+)", done.stdout)
    }
    covered = set(pq.read_table(pairs / "docs.parquet", columns=["id"])["id"].to_pylist())
    left = {
        document
        for path in kept.glob("*.parquet")
        for document in pq.read_table(path, columns=["id"])["id"].to_pylist()
    }
    best: dict[str, float] = {}
    for a, b, jaccard in zip(*pq.read_table(pairs / "pairs.parquet").select(["id_a", "id_b", "jaccard"]), strict=True):
        for document in (a.as_py(), b.as_py()):
            best[document] = max(best.get(document, 0.0), jaccard.as_py())
    removed = [best.get(document, 0.0) for document in covered - left]
    scores["removed"] = len(removed)
    for low in BANDS:
        scores[f"precision>={low}"] = sum(similarity >= low for similarity in removed) / max(1, len(removed))
    return scores


def unjustified_by_our_words(datasets: list[str], output: Path, threshold: float) -> tuple[int, int]:
    """(removed, those of them that are as similar as that to no document of their cluster), by our own words.

    The scorer's words are other ones (those of Python's `re`, where an underscore is a letter and a mark is none), so
    what was verified exactly is judged by both.
    """
    import numpy as np

    from corpusmill.dataproc.dedup.jaccard import set_similarity, shingle_sets
    from corpusmill.dataproc.dedup.minhash import MinHashSettings

    documents = pa.concat_tables([pq.read_table(dataset, columns=["id", "text"]) for dataset in datasets]).to_pydict()
    row_of = {document: row for row, document in enumerate(documents["id"])}
    duplicates = pq.read_table(output / "_duplicates", columns=["id", "survivor", "cluster"]).to_pydict()
    clusters: dict[int, set[int]] = {}
    for removed, survivor, cluster in zip(*duplicates.values(), strict=True):
        clusters.setdefault(cluster, set()).update((row_of[removed], row_of[survivor]))
    offsets, hashes = shingle_sets(pa.array(documents["text"], pa.large_string()), MinHashSettings())
    best = np.zeros(len(row_of))
    for members in map(np.array, map(sorted, clusters.values())):
        a, b = (members[index] for index in np.triu_indices(len(members), 1))
        similar = set_similarity(offsets, hashes, a, b)
        np.maximum.at(best, a, similar)
        np.maximum.at(best, b, similar)
    alike = best[[row_of[duplicate] for duplicate in duplicates["id"]]]
    return len(alike), int((alike < threshold).sum())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pairs", help="folder of docs.parquet and pairs.parquet")
    parser.add_argument("corpus", nargs="?", help="folder of *.jsonl.zst")
    parser.add_argument("scorer", nargs="?", help="the script that scores a folder of kept documents")
    parser.add_argument("--peers-python", help="a Python with datatrove")
    parser.add_argument("--daft-python", help="a Python with daft and gaoya")
    parser.add_argument("--text-dedup-python", help="a Python with text-dedup")
    parser.add_argument("--base-source", help="the src folder of another working copy")
    parser.add_argument("--times", type=int, default=1, help="also with so many times the documents")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--datatrove", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.datatrove:
        run_datatrove(arguments.pairs)
        return
    if not arguments.corpus or not arguments.scorer:
        parser.error("give the corpus and the scorer as well")
    pairs = Path(arguments.pairs)
    warm = "from corpusmill.pipelines import kernels; kernels.configure(); kernels.compile_if_needed(print)"
    subprocess.run([sys.executable, "-c", warm], check=True)
    spent: dict[int, dict[str, list[Spent]]] = {}
    for times in sorted({1, arguments.times}):
        with tempfile.TemporaryDirectory(prefix="dedup-") as name:
            folder = Path(name)
            datasets = [str(path) for path in prepare(pairs, Path(arguments.corpus), folder, times)]
            spent[times] = contest(arguments, folder, datasets)
            if times == 1:
                report_quality(arguments, folder, datasets, list(spent[times]))
    report_speed(spent)


def contest(arguments: argparse.Namespace, folder: Path, datasets: list[str]) -> dict[str, list[Spent]]:
    """Every contestant's rounds over the documents of a folder."""
    spent: dict[str, list[Spent]] = {}
    ways: dict[str, tuple[list[str], str | None]] = {
        OURS: ([], None),
        "by signatures": (["--verify", "signatures"], None),
    }
    if arguments.base_source:
        ways["base"] = ([], arguments.base_source)
    for _ in range(arguments.repeats):
        for way, (flags, source) in ways.items():
            line = [*datasets, "--output", str(folder / way), "--workers", str(WORKERS), "--overwrite", *flags]
            spent.setdefault(way, []).append(corpusmill("dedup", *line, source=source))
    if arguments.peers_python:
        spent["datatrove"] = [timed([arguments.peers_python, __file__, str(folder), "--datatrove"])[0]]
    peers = {"daft": arguments.daft_python, "gaoya": arguments.daft_python, "text-dedup": arguments.text_dedup_python}
    for peer, python in peers.items():
        if python:
            line = [
                python,
                str(Path(__file__).with_name("dedup_peers.py")),
                peer,
                f"{folder}/parts",
                f"{folder}/{peer}",
            ]
            rounds = [timed(line) for _ in range(arguments.repeats if peer == "daft" else 1)]
            spent[peer] = [one for one, _ in rounds]
            print(f"{peer}: {rounds[-1][1].strip().splitlines()[-1]}", flush=True)
    return spent


def report_quality(arguments: argparse.Namespace, folder: Path, datasets: list[str], contestants: list[str]) -> None:
    """Phases and proofs of ours, and everybody's scores."""
    phases = ", ".join(f"{phase} {seconds:.2f}" for phase, seconds in phase_seconds(folder / OURS).items())
    print(f"corpusmill, seconds by phase: {phases}")
    removed, alone = unjustified_by_our_words(datasets, folder / OURS, 0.8)
    print(f"removed without any of its cluster at 0.8 by our words: {alone} of {removed} (bar 0)")
    kept = {who: folder / "datatrove" / "kept" if who == "datatrove" else folder / who for who in contestants}
    scores = {who: quality(Path(arguments.scorer), Path(arguments.pairs), where) for who, where in kept.items()}
    print(f"\n{'':<18}" + "".join(f"{who:>16}" for who in scores) + f"{'bar':>9}")
    for measure in next(iter(scores.values())):
        row = "".join(f"{score[measure]:>16,.4f}" for score in scores.values())
        print(f"{measure:<18}{row}{BARS.get(measure, ''):>9}")


def report_speed(spent: dict[int, dict[str, list[Spent]]]) -> None:
    """Least seconds of each contestant, and how many times as long as ours it takes."""
    for times, contestants in spent.items():
        ours = Spent(*(min(values) for values in zip(*contestants[OURS], strict=True)))
        print(f"\n{times} times the documents{'wall s':>10}{'CPU s':>10}{'of ours: wall':>16}{'CPU':>8}")
        for who, rounds in contestants.items():
            wall, cpu = (min(values) for values in zip(*rounds, strict=True))
            print(f"{who:<24}{wall:>9.2f}{cpu:>10.2f}{wall / ours.wall:>16.2f}{cpu / ours.cpu:>8.2f}")
    if len(spent) > 1:
        (few, first), (many, last) = spent.items()
        for who in first:
            more = [min(values) for values in zip(*last[who], strict=True)]
            less = [min(values) for values in zip(*first[who], strict=True)]
            wall, cpu = ((a - b) / (many - few) for a, b in zip(more, less, strict=True))
            print(f"{who}: once more the documents takes {wall:.2f} s, {cpu:.2f} CPU s")


if __name__ == "__main__":
    main()
