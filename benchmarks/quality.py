"""Quality by a classifier, side by side: training against the library fastText, scoring against datatrove's filter.

    python benchmarks/quality.py DATASET --datatrove /tmp/datatrove/bin/python --output /tmp/quality

DATASET is a folder of documents, as ingest makes it; documents of `--positive` kinds are told from all others. A tenth
is held back, by the same draw for everybody. All timings are CPU seconds of one process that does one thing.

    training     ours, and `fasttext.train_supervised` with one thread and one seed on the same lines in the same
                 order, some times each: how often it ended, how many different models came out, the area under ROC on
                 what was held back. The library's NaN and its differing models come from memory that it does not fill
                 (dataproc/quality)
    scoring      the model that we trained, over all texts in memory: our kernel; the library's predict on lists;
                 datatrove's FastTextClassifierFilter, document by document (newline_replacement=" ", since its default
                 glues words of two lines together); and our stage's task with Parquet read and written. Scores are
                 compared
"""

import argparse
import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

FASTTEXT_SETTINGS = {"lr": 0.1, "dim": 100, "ws": 5, "epoch": 5, "wordNgrams": 1, "minCount": 1, "verbose": 0}


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """(what the work gives, CPU seconds)."""
    started = time.process_time()
    return work(), time.process_time() - started


def read_documents(folder: str) -> Any:
    """A table of id, text and kind."""
    import pyarrow as pa

    from corpusmill.dataproc.datasets import read_batches

    manifest = json.loads((Path(folder) / "_manifest.json").read_text())
    parts = [str(Path(folder) / part["path"]) for part in manifest["parts"]]
    return pa.Table.from_batches(batch for part in parts for batch in read_batches(part, ["id", "text", "kind"]))


def train_fasttext(lines: str, output: str, runs: int) -> None:
    """In a process of its own: trains some times; prints seconds and digest of each run, and leaves the last model."""
    import fasttext

    for _ in range(runs):
        started = time.process_time()
        try:
            model = fasttext.train_supervised(lines, thread=1, seed=42, **FASTTEXT_SETTINGS)
        except RuntimeError as error:
            print(json.dumps({"error": str(error), "seconds": time.process_time() - started}))
            continue
        seconds = time.process_time() - started
        model.save_model(output)
        digest = hashlib.md5(Path(output).read_bytes()).hexdigest()[:8]
        print(json.dumps({"digest": digest, "seconds": seconds}))


def score_datatrove(parts: list[str], model: str, output: str) -> None:
    """In datatrove's interpreter: its filter over all documents, which are made before the clock runs."""
    import pyarrow.parquet as pq
    from datatrove.data import Document
    from datatrove.pipeline.filters import FastTextClassifierFilter

    texts = [text for part in parts for text in pq.read_table(part, columns=["text"])["text"].to_pylist()]
    documents = [Document(text=text, id=str(row)) for row, text in enumerate(texts)]
    judge = FastTextClassifierFilter(model, keep_labels=("hq", 0.5), newline_replacement=" ")
    judge.filter(Document(text="once", id=""))
    started = time.process_time()
    for document in documents:
        judge.filter(document)
    seconds = time.process_time() - started
    np.save(output, np.array([document.metadata.get("__label__hq", 0.0) for document in documents]))
    print(json.dumps({"seconds": seconds}))


def child(python: str, *arguments: str) -> list[dict[str, Any]]:
    """The JSON lines that this file prints when it is called so."""
    done = subprocess.run([python, __file__, *arguments], capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def area(scores: np.ndarray, is_positive: np.ndarray) -> float:
    from corpusmill.dataproc.quality.metrics import Steps, area_under_roc

    return area_under_roc(Steps.of(scores, is_positive)) or 0.0


def measure_training(table: Any, is_positive: np.ndarray, folder: Path, runs: int) -> str:
    """Prints how both train; gives the path of our model."""
    import pyarrow as pa

    from corpusmill.dataproc.quality.evaluation import is_held_back
    from corpusmill.dataproc.quality.lines import LineSettings, as_strings, to_lines
    from corpusmill.dataproc.quality.model_file import write_model
    from corpusmill.dataproc.quality.saved import NEGATIVE, POSITIVE
    from corpusmill.dataproc.quality.scorer import ListScorer, open_scorer
    from corpusmill.dataproc.quality.trainer import PRESETS, train
    from corpusmill.dataproc.quality.words import WordNumbers
    from corpusmill.dataproc.randomness import random_keys

    ids = table["id"].combine_chunks()
    held_back = is_held_back(ids, 0.1, 0)
    order = np.argsort(random_keys(0, "quality/order", ids), kind="stable")
    order = order[~held_back[order]]
    texts = table["text"].combine_chunks().take(pa.array(order))
    labels = np.where(is_positive[order], 0, 1).astype(np.int32)
    rest, truth = table["text"].combine_chunks().filter(pa.array(held_back)), is_positive[held_back]

    def ours() -> Any:
        words = WordNumbers()
        tokens, ends = words.number(*to_lines(texts))
        return train(tokens, ends, labels, words, (POSITIVE, NEGATIVE), PRESETS["dclm"], 42)

    size = sum(len(text.as_py().encode()) for text in texts) / 1e6
    ours()  # compiles
    digests, best = set(), float("inf")
    path = folder / "ours.bin"
    for _ in range(runs):
        model, seconds = timed(ours)
        best = min(best, seconds)
        with path.open("wb") as file:
            write_model(model, file)
        digests.add(hashlib.md5(path.read_bytes()).hexdigest())
    auc = area(open_scorer(str(path), "hq", LineSettings()).score(rest), truth)
    print(f"training on {len(texts):,} documents, {size:.1f} MB; measured on {len(rest):,} held back")
    print(
        f"  ours          {best:7.2f} s  {size / best:6.1f} MB/s  {runs} of {runs} runs,"
        f" {len(digests)} model, AUC {auc:.5f}"
    )
    lines = folder / "lines.txt"
    with lines.open("w", encoding="utf-8") as file:
        for label, line in zip(labels, as_strings(*to_lines(texts)).to_pylist(), strict=True):
            file.write(f"{(POSITIVE, NEGATIVE)[label]} {line}\n")
    attempts = child(sys.executable, "--fasttext", str(lines), str(folder / "fasttext.bin"), str(runs))
    done = [run for run in attempts if "digest" in run]
    if done:
        best = min(run["seconds"] for run in done)
        auc = area(ListScorer(str(folder / "fasttext.bin"), POSITIVE, LineSettings()).score(rest), truth)
        models = len({run["digest"] for run in done})
        print(
            f"  fasttext      {best:7.2f} s  {size / best:6.1f} MB/s  {len(done)} of {runs} runs, {models} models,"
            f" AUC {auc:.5f} (the last)"
        )
    else:
        print(f"  fasttext      none of {runs} runs ended: {attempts[-1]['error']}")
    return str(path)


def measure_scoring(table: Any, folder: Path, dataset: str, model: str, datatrove: str | None) -> None:
    """Prints how fast each scores, and how far scores are apart."""
    import pyarrow as pa

    from corpusmill.dataproc.quality.lines import LineSettings
    from corpusmill.dataproc.quality.scorer import ListScorer, open_scorer
    from corpusmill.pipelines.engine.task import Call
    from corpusmill.pipelines.engine.worker import TaskContext
    from corpusmill.pipelines.stages.quality_score.plan import ScoreWork
    from corpusmill.pipelines.stages.quality_score.work import score_part

    batches = table.to_batches()
    size = sum(int(pa.compute.sum(pa.compute.binary_length(batch["text"])).as_py()) for batch in batches) / 1e6
    kernel, listed = open_scorer(model, "hq", LineSettings()), ListScorer(model, "__label__hq", LineSettings())
    kernel.score(batches[0]["text"])
    ours, seconds = timed(lambda: np.concatenate([kernel.score(batch["text"]) for batch in batches]))
    print(f"scoring {len(ours):,} documents, {size:.1f} MB")
    print(f"  our kernel        {seconds:7.2f} s  {size / seconds:7.1f} MB/s")
    manifest = json.loads((Path(dataset) / "_manifest.json").read_text())
    parts = [str(Path(dataset) / part["path"]) for part in manifest["parts"]]

    work = ScoreWork(model=model, label=None, column="score", calibrated=False, lines=LineSettings())

    def stage() -> None:
        for number, part in enumerate(parts):
            call = Call(
                ticket=0,
                function="",
                arguments=replace(work, path=part),
                folder=str(folder),
                phase="",
                task=f"part-{number}",
            )
            score_part(TaskContext(call))

    _, whole = timed(stage)
    print(f"  our stage's tasks {whole:7.2f} s  {size / whole:7.1f} MB/s  Parquet read and written")
    theirs, lists = timed(lambda: np.concatenate([listed.score(batch["text"]) for batch in batches]))
    print(
        f"  fasttext, lists   {lists:7.2f} s  {size / lists:7.1f} MB/s  scores differ by"
        f" {abs(theirs - ours).max():.1e} at most"
    )
    if datatrove:
        output = folder / "datatrove.npy"
        (result,) = child(datatrove, "--datatrove-scores", model, str(output), *parts)
        trove, peer = np.load(output), result["seconds"]
        apart = int(((trove >= 0.5) != (ours >= 0.5)).sum())
        print(
            f"  datatrove         {peer:7.2f} s  {size / peer:7.1f} MB/s  decides otherwise at 0.5: {apart} documents"
        )
        print(f"  ratios to datatrove: kernel {peer / seconds:.1f}, stage {peer / whole:.1f}, lists {peer / lists:.1f}")


def main() -> None:
    if sys.argv[1] == "--fasttext":
        train_fasttext(sys.argv[2], sys.argv[3], int(sys.argv[4]))
        return
    if sys.argv[1] == "--datatrove-scores":
        score_datatrove(sys.argv[4:], sys.argv[2], sys.argv[3])
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset")
    parser.add_argument("--positive", default="book,docs", help="kinds of positive documents")
    parser.add_argument("--datatrove", help="an interpreter with datatrove and fasttext")
    parser.add_argument("--runs", type=int, default=4, help="trainings of each")
    parser.add_argument("--output", default="/tmp/quality")
    chosen = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).parents[1]))
    import pyarrow as pa
    import pyarrow.compute as pc

    folder = Path(chosen.output)
    folder.mkdir(parents=True, exist_ok=True)
    table = read_documents(chosen.dataset)
    kinds = pa.array(chosen.positive.split(","))
    is_positive = pc.is_in(table["kind"], value_set=kinds).combine_chunks().to_numpy(zero_copy_only=False)
    model = measure_training(table, is_positive, folder, chosen.runs)
    measure_scoring(table, folder, chosen.dataset, model, chosen.datatrove)


if __name__ == "__main__":
    main()
