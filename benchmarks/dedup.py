"""De-duplication end to end with two workers, ours and datatrove's four steps, on documents whose duplicates are known.

    python benchmarks/dedup.py /data/corpus/pairs /data/corpus /data/score/near_duplicates.py \\
        --peers-python /tmp/peers/bin/python

The folders are those of benchmarks/signatures.py, and the pairs folder holds pairs.parquet too (id_a, id_b, jaccard,
every pair from 0.5 on); the scorer is a script that takes the pairs folder and a folder of kept documents and prints
`recall>=0.8 …  recall>=0.9 …  unjustified@0.8 …`. The documents are ingested once, in two halves. Both read these same
Parquet parts and write what is left as Parquet:

    corpusmill   `dedup --workers 2` as it comes (and again with `--verify signatures`), a process from start to end
    datatrove    MinhashDedupSignature, Buckets, Cluster, Filter by their defaults (5-grams, 14 x 8, spaCy's English
                 words), each in a LocalPipelineExecutor of two workers, one process from start to end as well

Kernels are compiled before, and spaCy needs no download. What a step takes: of ours the seconds from the first start to
the last end of a phase's tasks, by their markers; of datatrove the call of its executor. Rounds take turns, `--repeats`
of ours to one of datatrove's, and the fastest of each counts. Quality is the scorer's: recall is the share of pairs of
which at least one document was removed, precision the share of removed documents with a partner in that band or
above, both by the exact Jaccard similarity of word 5-grams.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow.parquet as pq
from signatures import ground_truth

WORKERS = 2
BANDS = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
BARS = {"times": 50, "recall>=0.8": 0.995, "recall>=0.9": 0.9995}


def corpusmill(*line: str) -> float:
    """Wall seconds of a command."""
    started = time.monotonic()
    done = subprocess.run([sys.executable, "-m", "corpusmill", *line], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"corpusmill {' '.join(line)} ended with {done.returncode}\n{done.stdout}{done.stderr}")
    return time.monotonic() - started


def prepare(pairs: Path, corpus: Path, folder: Path) -> list[Path]:
    """Ingests the documents as two datasets of a part each; `folder`/parts holds the same two files for others."""
    table = ground_truth(pairs, corpus)
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
    import pyarrow as pa

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
    with tempfile.TemporaryDirectory(prefix="dedup-") as name:
        folder = Path(name)
        datasets = [str(path) for path in prepare(pairs, Path(arguments.corpus), folder)]
        ways = {"exact": [], "signatures": ["--verify", "signatures"]}
        walls: dict[str, list[float]] = {way: [] for way in ways}
        kept = {f"corpusmill, {way}": folder / way for way in ways}
        for _ in range(arguments.repeats):
            for way, flags in ways.items():
                line = [*datasets, "--output", str(folder / way), "--workers", str(WORKERS), "--overwrite", *flags]
                walls[way].append(corpusmill("dedup", *line))
        for way, seconds in walls.items():
            phases = ", ".join(f"{phase} {spent:.2f}" for phase, spent in phase_seconds(folder / way).items())
            rounds = ", ".join(f"{second:.2f}" for second in seconds)
            print(f"corpusmill, verified by {way}: {min(seconds):.2f} s (rounds {rounds}; {phases})")
        removed, alone = unjustified_by_our_words(datasets, folder / "exact", 0.8)
        print(f"verified exactly, removed without any of its cluster at 0.8 by our words: {alone} of {removed} (bar 0)")
        if arguments.peers_python:
            line = [arguments.peers_python, __file__, str(folder), "--datatrove"]
            started = time.monotonic()
            done = subprocess.run(line, capture_output=True, text=True)
            total = time.monotonic() - started
            if done.returncode:
                raise SystemExit(done.stderr[-4000:])
            steps = json.loads(done.stdout.splitlines()[-1])
            print(f"datatrove: {total:.1f} s ({', '.join(f'{step} {spent:.1f}' for step, spent in steps.items())})")
            kept["datatrove"] = folder / "datatrove" / "kept"
            print(
                f"end to end: {total / min(walls['signatures']):.0f} times as fast as datatrove (bar {BARS['times']})"
            )
            print(f"verified exactly: {total / min(walls['exact']):.0f} times")
        scores = {who: quality(Path(arguments.scorer), pairs, where) for who, where in kept.items()}
        print(f"\n{'':<18}" + "".join(f"{who:>24}" for who in scores) + f"{'bar':>9}")
        for measure in next(iter(scores.values())):
            row = "".join(f"{score[measure]:>24,.4f}" for score in scores.values())
            print(f"{measure:<18}{row}{BARS.get(measure, ''):>9}")


if __name__ == "__main__":
    main()
