"""Public suites of files on the readers of records: what is accepted, what is reported, and what is wrong.

    python benchmarks/suites_records.py --json JSONTestSuite --csv csv-spectrum --parquet parquet-testing \
        --arrow arrow-testing --zstd zstd

Each option names a clone of the suite (nst/JSONTestSuite, maxogden/csv-spectrum, apache/parquet-testing,
apache/arrow-testing, facebook/zstd); those that are left out are not run. What is right is said by the suite, by its
folders and names, or by another implementation (pyarrow's own readers of whole files). "Reported" means that something
of the file went to quarantine. Wrong is a file that is not as it should be, an exception, or rows of which nothing is
said. Prints a line a suite, and one for each file that is wrong.
"""

import argparse
import json
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from corpusmill.dataproc.decompression import DecompressedFile, codec_of
from corpusmill.dataproc.readers.batches import Unread
from corpusmill.dataproc.readers.pieces import Fields, Piece
from corpusmill.dataproc.readers.registry import READERS
from corpusmill.dataproc.readers.tables import STRINGS

ACCEPTED, REPORTED = "accepted", "reported"
Outcome = tuple[str, str]
"""(ACCEPTED, REPORTED, or what is wrong; name of the file)."""


def read(path: Path, format: str, **fields: Any) -> tuple[list[dict[str, Any]], list[tuple[str, int | None]]]:
    """The documents of a file, and (reason, records) of what is reported."""
    reports: list[tuple[str, int | None]] = []

    def report(_: str, __: str, reason: str, ___: str | None) -> None:
        reports.append((reason, reason.records if isinstance(reason, Unread) else 1))

    piece = Piece(path=str(path), name=path.name, format=format, bytes=path.stat().st_size)
    batches = READERS[format].load()(piece, Fields(source="s", **fields), report)
    return [row for batch in batches for row in batch.to_pylist()], reports


def json_suite(folder: Path) -> Iterator[Outcome]:
    """Each file is a value, put into a record: y_ has to be read, n_ has to be reported, i_ may be either."""
    with tempfile.TemporaryDirectory() as scratch:
        for file in sorted((folder / "test_parsing").glob("*.json")):
            for format in ("json", "jsonl"):
                value = file.read_bytes()
                if format == "jsonl" and b"\n" in value.strip():
                    continue
                record = Path(scratch, f"a.{format}")
                record.write_bytes(b'{"text":"t","x":' + value.strip(b"\n") + b"}\n")
                rows, reports = read(record, format)
                outcome = REPORTED if reports else ACCEPTED if len(rows) == 1 else "nothing is said"
                wanted = {"y": (ACCEPTED,), "n": (REPORTED,)}.get(file.name[0], (ACCEPTED, REPORTED))
                yield outcome if outcome in wanted else f"{outcome}, as {format}", file.name


def csv_suite(folder: Path) -> Iterator[Outcome]:
    """The same rows as in the JSON file of the same name."""
    for file in sorted((folder / "csvs").glob("*.csv")):
        expected = json.loads((folder / "json" / f"{file.stem}.json").read_text())
        text = next(iter(expected[0]))
        rows, reports = read(file, "csv", text_field=text, id_field="", url_field="", language_field="")
        columns = [{text: row["text"], **json.loads(row["meta"] or "{}")} for row in rows]
        newline = [{key: value.replace("\r\n", "\n") for key, value in row.items()} for row in expected]
        same = [{key: value.replace("\r\n", "\n") for key, value in row.items()} for row in columns] == newline
        yield ACCEPTED if same and not reports else f"{columns} and {reports}", file.name


def parquet_suite(folder: Path) -> Iterator[Outcome]:
    """All rows that pyarrow reads, or as many as the footer says accounted for; bad data and checksums reported."""
    for file in [*sorted((folder / "data").rglob("*.parquet")), *sorted((folder / "bad_data").glob("*.parquet"))]:
        try:
            schema, metadata = pq.read_schema(file), pq.read_metadata(file)
            rows_there = sum(metadata.row_group(group).num_rows for group in range(metadata.num_row_groups))
        except Exception:
            schema, rows_there = pa.schema([]), None
        text = _text_column(schema)
        rows, reports = read(file, "parquet", text_field=text or "text", maximum_record_bytes=1 << 30)
        yield _accounted(len(rows), reports, rows_there, must_report="corrupt" in file.name), file.name


def arrow_suite(folder: Path) -> Iterator[Outcome]:
    """Whole files give all rows that pyarrow reads; what fuzzers found need only not end the process."""
    data = folder / "data"
    for file in sorted(path for path in data.glob("arrow-ipc-*/**/*") if path.is_file()):
        if file.suffix in (".gz", ".md", ".json"):
            continue
        whole, rows_there, schema = file.suffix in (".stream", ".arrow_file"), None, pa.schema([])
        if whole:
            opened = pa.ipc.open_stream if file.suffix == ".stream" else pa.ipc.open_file
            try:
                table = opened(file.read_bytes()).read_all()
                schema, rows_there = table.schema, table.num_rows
            except Exception:
                whole = False
        rows, reports = read(file, "arrow", text_field=_text_column(schema) or "text")
        outcome = _accounted(len(rows), reports, rows_there)
        yield outcome, str(file.relative_to(data))


def zstd_suite(folder: Path) -> Iterator[Outcome]:
    """The library's golden files: those that decompress, and those that must not."""
    for file in sorted((folder / "tests").glob("golden-decompression*/*.zst")):
        codec = codec_of(file.name)
        with file.open("rb") as opened:
            stream = DecompressedFile(opened, codec, ends_at_break=True)
            while stream.read(1 << 20):
                pass
        outcome = REPORTED if stream.problem else ACCEPTED
        wanted = REPORTED if file.parent.name.endswith("errors") else ACCEPTED
        yield outcome if outcome == wanted else f"{outcome}: {stream.problem}", file.name


def _text_column(schema: pa.Schema) -> str:
    for field in schema:
        kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        if kind in STRINGS:
            return field.name
    return ""


def _accounted(
    documents: int, reports: list[tuple[str, int | None]], rows: int | None, *, must_report: bool = False
) -> str:
    lost = sum(records or 0 for _, records in reports)
    if rows is not None and documents + lost != rows and not any(records is None for _, records in reports):
        return f"{documents} documents and {lost} records lost of {rows}: {[reason for reason, _ in reports][:2]}"
    if must_report and not reports:
        return "nothing is reported"
    return REPORTED if reports else ACCEPTED


SUITES: dict[str, Callable[[Path], Iterator[Outcome]]] = {
    "json": json_suite,
    "csv": csv_suite,
    "parquet": parquet_suite,
    "arrow": arrow_suite,
    "zstd": zstd_suite,
}


def run_suite(name: str, folder: Path) -> tuple[Counter[str], list[str]]:
    """How many files were accepted, reported and wrong; and a line for each that was wrong."""
    counted, wrong = Counter[str](), list[str]()
    outcomes = SUITES[name](folder)
    while True:
        try:
            outcome, file = next(outcomes)
        except StopIteration:
            return counted, wrong
        except Exception:
            counted["wrong"] += 1
            wrong.append(f"{name}: the suite ended at an exception\n{traceback.format_exc()}")
            return counted, wrong
        if outcome in (ACCEPTED, REPORTED):
            counted[outcome] += 1
        else:
            counted["wrong"] += 1
            wrong.append(f"{name}: {file}: {outcome}")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in SUITES:
        parser.add_argument(f"--{name}", type=Path, metavar="FOLDER")
    options = vars(parser.parse_args(arguments))
    failed = False
    for name, folder in options.items():
        if folder is not None:
            counted, wrong = run_suite(name, folder)
            failed |= bool(wrong)
            for line in wrong:
                print(line)
            print(f"{name}: accepted {counted[ACCEPTED]}, reported {counted[REPORTED]}, wrong {counted['wrong']}")
    return int(failed)


if __name__ == "__main__":
    raise SystemExit(main())
