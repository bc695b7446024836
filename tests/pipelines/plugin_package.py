"""A package of somebody else's, as pip would install it: a reader of a toy format, a measure and a rewriter.

The toy format has a document a line, its id before the first bar. `site(folder)` writes the package `toys` and its
distribution's record into a folder that stands for site-packages; `corpusmill` runs the command line with that folder
on its path. To try another extension, add a module to MODULES and a line to ENTRY_POINTS.
"""

import subprocess
import sys
from pathlib import Path

from tests.pipelines.road import environment

READING = '''
"""A document a line: its id, a bar, its text."""

from corpusmill.dataproc import storage
from corpusmill.dataproc.readers.batches import BatchBuilder
from corpusmill.dataproc.readers.lines import read_lines
from corpusmill.dataproc.readers.registry import Reader

READER = Reader(name="toy", target="toys.reading:read_toy", endings=(".toy",), splits=("bytes",))


def read_toy(piece, fields, report):
    builder = BatchBuilder()
    with storage.open_input(piece.path) as file:
        for lines in read_lines(file, None, piece.start, piece.stop, fields.maximum_record_bytes):
            at = lines.at
            for line in lines.lines:
                name, bar, text = line.decode().partition("|")
                if bar:
                    builder.add(id=name, text=text, source=fields.source, kind=fields.kind)
                elif line:
                    report(f"{fields.source}/{piece.name}#{at}", f"{piece.path}, byte {at}", "no bar", line.decode())
                at += len(line) + 1
    yield builder.take()
'''
MEASURING = '''
"""How many exclamation marks a document has."""

import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.dataproc.measures.columns import Column


class Exclamations:
    """Counts exclamation marks."""

    COLUMNS = (Column("exclamation_marks", "characters", "exclamation marks in the text", whole=True),)
    columns = COLUMNS

    def measure(self, batch):
        counts = pc.count_substring(batch.column("text"), "!").cast(pa.int64())
        return pa.record_batch({"exclamation_marks": counts})
'''
REWRITING = '''
"""Whispers: capitals become small letters."""

import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.dataproc.measures.columns import Column, Rewritten


class Whisper:
    """Makes small letters of capitals."""

    COLUMNS = (Column("capitals_whispered", "characters", "capitals that became small letters", whole=True),)
    columns = COLUMNS
    name = "whisper"
    source = "the toys of a test"

    def __init__(self, mark=""):
        self.mark = mark

    def measure(self, batch):
        return self.rewrite(batch).numbers

    def rewrite(self, batch):
        texts = batch.column("text")
        counts = pc.count_substring_regex(texts, "[A-Z]").cast(pa.int64())
        mark, nothing = pa.scalar(self.mark, pa.large_string()), pa.scalar("", pa.large_string())
        quiet = pc.binary_join_element_wise(pc.utf8_lower(texts), mark, nothing)
        return Rewritten(quiet, pa.record_batch({"capitals_whispered": counts}))
'''
MODULES = {"__init__": "", "reading": READING, "measuring": MEASURING, "rewriting": REWRITING}
ENTRY_POINTS = {
    "corpusmill.readers": {"toy": "toys.reading:READER"},
    "corpusmill.measures": {"exclamations": "toys.measuring:Exclamations"},
    "corpusmill.rewriters": {"whisper": "toys.rewriting:Whisper"},
}


def write_site(folder: Path) -> Path:
    """A folder as site-packages is: the package, and its distribution's record with the entry points."""
    package, record = folder / "toys", folder / "toys-1.0.dist-info"
    package.mkdir(parents=True)
    record.mkdir()
    for name, text in MODULES.items():
        (package / f"{name}.py").write_text(text)
    (record / "METADATA").write_text("Metadata-Version: 2.1\nName: toys\nVersion: 1.0\n")
    write_entry_points(folder, ENTRY_POINTS)
    return folder


def write_entry_points(site: Path, groups: dict[str, dict[str, str]]) -> None:
    """Makes these all that the package brings."""
    lines = [
        line
        for group, points in groups.items()
        for line in (f"[{group}]", *(f"{name} = {target}" for name, target in points.items()))
    ]
    (site / "toys-1.0.dist-info/entry_points.txt").write_text("\n".join(lines) + "\n")


def corpusmill(site: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command line, in the folder beside the site, with the site's packages."""
    paths = f"{site}:{environment()['PYTHONPATH']}"
    line = [sys.executable, "-m", "corpusmill", *arguments]
    return subprocess.run(
        line, capture_output=True, text=True, env=environment(PYTHONPATH=paths), cwd=site.parent, timeout=300
    )
