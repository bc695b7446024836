"""Measures a de-duplication index on real text: adding, asking, and whether a new dataset costs more as it grows.

    python benchmarks/index.py '/data/corpus/*.jsonl.zst' --new '@[0-9a-f]{8}/' --probe fastapi --work /tmp/index-bench

Each input of JSON lines becomes a dataset, without the documents whose ids match `--new`: those are the new crawl, a
dataset of its own. (In our corpus the pattern means older states of repositories that are there in a newer one.
Datasets stay in the work folder for the next run.)

First the dataset `--probe` is added to an index of 0, 1, 2, … other datasets, asked for and retracted again, so
that its cost is seen beside the index's growth: "add" must stay flat, "query" grows by a search in each further
dataset. Then all old datasets are in the index and the new crawl is asked for; contestants alternate with that:
de-duplicating it with all the old ones as `--protect`, which is what there is without an index.

    documents/s, MB/s   of the dataset that is added or asked for; wall time, best of three, kernels compiled before
    bytes a document    of the files in the index
"""

import argparse
import glob
import re
import shutil
import time
from pathlib import Path
from typing import Any

import orjson
import zstandard

from corpusmill.pipelines import kernels

kernels.configure()

from corpusmill.pipelines.datasets import list_parts  # noqa: E402 - numba reads its cache's place when it is imported
from corpusmill.pipelines.engine.executor import make_executor  # noqa: E402
from corpusmill.pipelines.engine.stage import Session, run_stage  # noqa: E402
from corpusmill.pipelines.registry import stage_type  # noqa: E402
from corpusmill.pipelines.settings import validate  # noqa: E402
from corpusmill.pipelines.stages.index.changes import add_dataset, retract_dataset  # noqa: E402
from corpusmill.pipelines.stages.index.plan import QuerySettings, QueryStage  # noqa: E402


def run(kind: str, folder: Path, session: Session, **values: Any) -> dict[str, Any]:
    made_of = QueryStage if kind == "query" else stage_type(kind)
    stage = made_of(validate(QuerySettings if kind == "query" else made_of.Settings, values))
    return dict(run_stage(stage, str(folder), session).manifest)


def make_datasets(patterns: list[str], new: str, work: Path, session: Session) -> dict[str, str]:
    """{name: folder} of a dataset for each input file, and of the new crawl under the name "new"."""
    paths = sorted(Path(path) for pattern in patterns for path in glob.glob(pattern))  # noqa: PTH207 - may be absolute
    names = [path.name.split(".")[0] for path in paths]
    folders = {name: str(work / "datasets" / name) for name in [*names, "new"]}
    if (work / "datasets").exists():
        return folders
    raw, is_new = work / "raw", re.compile(new)
    raw.mkdir(parents=True)
    with (raw / "new.jsonl").open("w", newline="\n") as crawled:
        for name, path in zip(names, paths, strict=True):
            with (
                zstandard.open(path, "rt", encoding="utf-8", newline="\n") as lines,
                (raw / f"{name}.jsonl").open("w", newline="\n") as old,
            ):
                for line in lines:
                    (crawled if is_new.search(orjson.loads(line)["id"]) else old).write(line)
    for name, folder in folders.items():
        run("ingest", Path(folder), session, inputs=[str(raw / f"{name}.jsonl")])
    return folders


def size(dataset: str) -> tuple[int, int]:
    """(documents, bytes of text and ids)"""
    parts = list_parts([dataset], str)
    return sum(part.rows for part in parts), sum(part.arrow_bytes for part in parts)


def timed(work: Any, *arguments: Any, **more: Any) -> tuple[float, Any]:
    started = time.perf_counter()
    result = work(*arguments, **more)
    return time.perf_counter() - started, result


def ask(index: str, datasets: list[str], folder: Path, session: Session) -> tuple[float, dict[str, Any]]:
    shutil.rmtree(folder, ignore_errors=True)
    return timed(run, "query", folder, session, index=index, datasets=datasets)


def growth(datasets: dict[str, str], probe: str, work: Path, session: Session) -> None:
    """The probe's cost beside the number of documents in the index."""
    index, documents = str(work / "growing"), 0
    count, total = size(datasets[probe])
    print(f"probe {probe}: {count:,} documents, {total / 1e6:.1f} MB")
    print(f"{'datasets':>8} {'documents':>10} {'add s':>7} {'add MB/s':>9} {'query s':>8} {'query docs/s':>12} matched")
    others = [name for name in datasets if name not in (probe, "new")]
    for number, name in enumerate([None, *others]):
        if name:
            add_dataset(index, datasets[name], session)
            documents += size(datasets[name])[0]
        if number:
            asked, manifest = ask(index, [datasets[probe]], work / "matches", session)
            query = f"{asked:8.2f} {count / asked:12,.0f} {manifest['counts']['duplicates']:,}"
        else:
            query = ""
        added = []
        for _ in range(3):
            added.append(timed(add_dataset, index, datasets[probe], session)[0])
            retract_dataset(index, datasets[probe])
        best = min(added)
        print(f"{number:8} {documents:10,} {best:7.2f} {total / best / 1e6:9.1f} {query}")


def new_crawl(datasets: dict[str, str], work: Path, session: Session) -> None:
    """All old datasets in the index, and the new one asked for; without an index: all of them together."""
    index, others, new = str(work / "all-old"), [name for name in datasets if name != "new"], "new"
    documents = bytes_of_text = 0
    started = time.perf_counter()
    entries = [add_dataset(index, datasets[name], session).entry for name in others]
    seconds = time.perf_counter() - started
    for name in others:
        documents, bytes_of_text = documents + size(datasets[name])[0], bytes_of_text + size(datasets[name])[1]
    stored = sum(entry.bytes for entry in entries)
    print(f"\nadd {len(others)} datasets: {documents:,} documents, {bytes_of_text / 1e6:.1f} MB in {seconds:.2f} s:")
    print(f"  {documents / seconds:,.0f} documents/s, {bytes_of_text / seconds / 1e6:.1f} MB/s")
    print(f"  {stored / documents:.0f} bytes a document, {stored / bytes_of_text:.2f} bytes a byte of text")
    count, total = size(datasets[new])
    index_seconds, joint_seconds = [], []
    for _ in range(3):
        asked, manifest = ask(index, [datasets[new]], work / "matches", session)
        index_seconds.append(asked)
        shutil.rmtree(work / "joint", ignore_errors=True)
        together, joint = timed(
            run,
            "dedup",
            work / "joint",
            session,
            datasets=[datasets[new]],
            protect=[datasets[name] for name in others],
        )
        joint_seconds.append(together)
    asked, together = min(index_seconds), min(joint_seconds)
    print(f"query {new}: {count:,} documents, {total / 1e6:.1f} MB in {asked:.2f} s:")
    print(
        f"  {count / asked:,.0f} documents/s, {total / asked / 1e6:.1f} MB/s; "
        f"{manifest['counts']['duplicates']:,} matched"
    )
    print(
        f"de-duplicate it against all others without an index: {together:.2f} s, {together / asked:.1f} times as long"
    )
    print(f"  ({joint['counts']['duplicates']:,} removed, those among the new documents included)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("inputs", nargs="+", help="raw text, as for `corpusmill ingest`; a dataset each")
    parser.add_argument("--new", required=True, help="regular expression for the ids of the new crawl", metavar="REGEX")
    parser.add_argument("--probe", required=True, help="name of the input whose adding is timed")
    parser.add_argument("--work", required=True, help="folder for datasets and indexes")
    parser.add_argument("--workers", type=int, default=1)
    arguments = parser.parse_args()
    work = Path(arguments.work)
    for name in ("growing", "all-old", "matches", "joint"):
        shutil.rmtree(work / name, ignore_errors=True)
    with Session(make_executor=lambda: make_executor("local", workers=arguments.workers)) as session:
        session.executor(kernels=("road", "spans"))
        datasets = make_datasets(arguments.inputs, arguments.new, work, session)
        growth(datasets, arguments.probe, work, session)
        new_crawl(datasets, work, session)


if __name__ == "__main__":
    main()
