"""Reading, ours and datatrove's, on the same files, one core each: MB of text a CPU second, and the ratio.

    python benchmarks/readers.py /data/corpus --peers-python /tmp/peers/bin/python

The folder holds JSON lines (.jsonl.zst), which are put together once as one file of each kind. What is timed is a
reader alone, from the file to documents: Arrow batches of ours, `Document` objects of datatrove's JsonlReader and
ParquetReader (by their defaults, `meta` left as it comes). JSON arrays, CSV and Arrow are read by ours alone. Then the
way from a file to Parquet on disk: a task of ours, and datatrove's reader with its ParquetWriter (zstd); `meta` is a
string there, since that writer takes the fields of the first rows for those of all.

Each figure is the least of `--repeats` processes, ours and datatrove's by turns, and of two passes in each, of which
the first has the memory to fetch; seconds are CPU seconds of the process (`time.process_time`), imports left out.
Documents are counted, and must be as many on both sides.
"""

import argparse
import csv
import gzip
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PASSES = 2
PEERS = ("jsonl", "jsonl.zst", "jsonl.gz", "parquet")
KINDS = (*PEERS, "arrow", "json", "csv")


def prepare(corpus: Path, folder: Path) -> int:
    """One file of each kind with the documents of a corpus; gives the bytes of their text."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    import zstandard

    rows: list[dict[str, Any]] = []
    for path in sorted(corpus.glob("*.jsonl.zst")):
        with zstandard.open(path, "rt", encoding="utf-8", newline="\n") as lines:
            rows += [json.loads(line) for line in lines]
    flat = [{"id": row["id"], "text": row["text"], "meta": json.dumps(row.get("meta"))} for row in rows]
    lines = b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in flat)
    (folder / "flat.jsonl.zst").write_bytes(zstandard.compress(lines))
    whole = b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows)
    (folder / "a.jsonl").write_bytes(whole)
    (folder / "a.jsonl.zst").write_bytes(zstandard.compress(whole))
    (folder / "a.jsonl.gz").write_bytes(gzip.compress(whole, 6))
    (folder / "a.json").write_text(json.dumps(rows, ensure_ascii=False, indent=1))
    table = pa.Table.from_pylist(flat)
    pq.write_table(table, folder / "a.parquet", compression="zstd", row_group_size=8000)
    with pa.ipc.new_stream(str(folder / "a.arrow"), table.schema) as writer:
        writer.write_table(table, max_chunksize=1000)
    with (folder / "a.csv").open("w", newline="") as file:
        rows_of = csv.DictWriter(file, ["id", "text", "meta"])
        rows_of.writeheader()
        rows_of.writerows(row | {"text": row["text"].replace("\0", "")} for row in flat)
    return sum(len(row["text"].encode()) for row in rows)


def ours(path: str, output: str) -> tuple[int, float]:
    """(documents, CPU seconds) of our reader, or of an ingest task where there is an output."""
    from corpusmill.dataproc.readers.normalisation import Normalisation
    from corpusmill.dataproc.readers.pieces import Fields, Piece
    from corpusmill.dataproc.readers.registry import READERS
    from corpusmill.pipelines.engine.task import Call
    from corpusmill.pipelines.engine.worker import TaskContext
    from corpusmill.pipelines.stages.ingest.arguments import IngestWork
    from corpusmill.pipelines.stages.ingest.work import ingest_pieces

    format = Path(path).name.split(".")[1]
    piece = Piece(path=path, name="a", format=format, bytes=0)
    started = time.process_time()
    if not output:
        batches = READERS[format].load()(piece, Fields(source="a"), lambda *_: None)
        return sum(batch.num_rows for batch in batches), time.process_time() - started
    work = IngestWork(
        pieces=(piece,), format=format, part_bytes=128 << 20, fields=Fields(source="a"), normalisation=Normalisation()
    )
    call = Call(
        ticket=0, task="part-00000", phase="read", function="", arguments=work, folder=output,
        attempt=0, careful=False, skip={},
    )  # fmt: skip
    kept = ingest_pieces(TaskContext(call))["kept"]
    return kept, time.process_time() - started


def datatroves(path: str, output: str) -> tuple[int, float]:
    """(documents, CPU seconds) of datatrove's reader, or of reader and writer where there is an output."""
    from datatrove.pipeline.readers import JsonlReader, ParquetReader
    from datatrove.pipeline.writers import ParquetWriter

    file = Path(path)
    reader_class = ParquetReader if file.suffix == ".parquet" else JsonlReader
    reader = reader_class(str(file.parent), glob_pattern=file.name, text_key="text", id_key="id")
    started = time.process_time()
    documents: Iterator[Any] = reader.run()
    if output:
        documents = ParquetWriter(output, compression="zstd").run(documents)
    return sum(1 for _ in documents), time.process_time() - started


def run(python: str, side: str, path: Path, output: str = "") -> tuple[int, float]:
    line = [python, __file__, "--side", side, "--path", str(path), "--output", output]
    done = subprocess.run(line, capture_output=True, text=True, cwd=Path(__file__).parent.parent)
    if done.returncode:
        raise SystemExit(f"{side} on {path} ended with {done.returncode}\n{done.stderr}")
    documents, seconds = json.loads(done.stdout.strip().splitlines()[-1])
    return documents, seconds


def measure(path: Path, megabytes: float, peers: str, repeats: int, write: bool) -> dict[str, float]:
    """MB a CPU second of ours and of datatrove's (where it reads the kind), and the ratio."""
    sides = {"ours": sys.executable} | ({"datatrove": peers} if peers and path.name.split(".", 1)[1] in PEERS else {})
    least: dict[str, float] = {}
    counts: set[int] = set()
    for _ in range(repeats):
        for side, python in sides.items():
            with tempfile.TemporaryDirectory() as output:
                documents, seconds = run(python, side, path, f"{output}/out" if write else "")
            counts.add(documents)
            least[side] = min(seconds, least.get(side, seconds))
    if len(counts) > 1:
        raise SystemExit(f"{path.name}: {sorted(counts)} documents, which should be as many on both sides")
    rates = {side: megabytes / seconds for side, seconds in least.items()}
    return rates | ({"times": rates["ours"] / rates["datatrove"]} if "datatrove" in rates else {})


def said(speeds: dict[str, float]) -> str:
    return "  ".join(f"{name} {value:.1f}" for name, value in speeds.items())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", nargs="?", type=Path)
    parser.add_argument("--peers-python", default="", help="a Python that has datatrove")
    parser.add_argument("--repeats", type=int, default=3)
    for name in ("--side", "--path", "--output"):
        parser.add_argument(name, default="", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.side:
        sys.path.insert(0, str(Path.cwd()))
        side = ours if given.side == "ours" else datatroves
        passes = [side(given.path, given.output and f"{given.output}-{number}") for number in range(PASSES)]
        print(json.dumps(min(passes, key=lambda run: run[1])))
        return
    with tempfile.TemporaryDirectory() as folder:
        megabytes = prepare(given.corpus, Path(folder)) / 1e6
        print(f"{megabytes:.0f} MB of text; MB a CPU second, one core")
        for kind in KINDS:
            speeds = measure(Path(folder, f"a.{kind}"), megabytes, given.peers_python, given.repeats, False)
            print(f"  read {kind:10}", said(speeds), flush=True)
        for name in ("flat.jsonl.zst", "a.parquet"):
            speeds = measure(Path(folder, name), megabytes, given.peers_python, given.repeats, True)
            print(f"  to Parquet {name:15}", said(speeds), flush=True)


if __name__ == "__main__":
    main()
