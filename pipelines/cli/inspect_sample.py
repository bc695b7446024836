"""`corpusmill inspect sample`: documents and sequences drawn at random, or documents by what a filter found in them."""

import math
import sys
from typing import Annotated, Any

import typer

from corpusmill.dataproc.errors import UserError
from corpusmill.pipelines.cli.inspect_rows import print_row, print_sequence
from corpusmill.pipelines.engine.progress import SilentProgress, make_progress
from corpusmill.pipelines.guarded_streams import Console
from corpusmill.pipelines.inspect.documents import DocumentRow, draw_rows, rows_of
from corpusmill.pipelines.inspect.places import recognise
from corpusmill.pipelines.inspect.selection import Selected, Selection, draw, plan_selection
from corpusmill.pipelines.inspect.sequences import PackedSequence, Segment, shards_of
from corpusmill.pipelines.summary import print_json
from corpusmill.pipelines.terminal import output_console, print_sentence

SAMPLE_CHARACTERS = 400
SCHEMA = 1
"""Of the JSON: raised when a key changes its meaning or goes; new keys may come."""


def sample_command(
    path: Annotated[str, typer.Argument(help="a stage's folder, a table beside it, a part or a shard", metavar="PATH")],
    count: Annotated[int, typer.Option("--number", "-n", help="how many", min=1, max=1000, metavar="N")] = 5,
    seed: Annotated[int, typer.Option(help="seed of the draw", min=0, metavar="N")] = 0,
    characters: Annotated[int, typer.Option(help="characters of each", min=1, metavar="N")] = SAMPLE_CHARACTERS,
    rule: Annotated[str, typer.Option(help="documents that this rule rejected", metavar="RULE")] = "",
    only: Annotated[str, typer.Option(help="documents that this rule rejected, and no other", metavar="RULE")] = "",
    near: Annotated[
        str, typer.Option(help="the N documents on each side that are closest to this rule's threshold", metavar="RULE")
    ] = "",
    where: Annotated[
        str, typer.Option(help="an expression over columns of documents and statistics", metavar="EXPRESSION")
    ] = "",
    language: Annotated[
        list[str] | None, typer.Option(help="of this language; may be given several times", metavar="CODE")
    ] = None,
    source: Annotated[
        list[str] | None, typer.Option(help="of this source; may be given several times", metavar="NAME")
    ] = None,
    contains: Annotated[str, typer.Option(help="in which this text stands, as written", metavar="TEXT")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="whole, as JSON lines")] = False,
) -> None:
    """Show documents or sequences drawn at random: the same ones for the same seed, in whatever order they are read.

    What is asked of documents must all hold. A rule is named in full or by its last name. Expressions are those of
    filter --keep-if: word_count < 60 and language == 'en'. Texts are only read where --contains or an expression looks
    into them.

    Example: corpusmill inspect sample quickstart-output/clean --only duplicate-5grams -n 3
    """
    place = recognise(path)
    selection = Selection(
        rule=rule,
        only=only,
        near=near,
        where=where,
        languages=language or (),
        sources=source or (),
        contains=contains,
    )
    console = output_console()
    if place.what in ("shards", "shard"):
        if selection.asks():
            raise UserError("sequences are drawn at random only", place.path, "name the dataset that was packed")
        shards = shards_of(place)
        for number in draw_rows(len(shards), count, seed):
            _show_sequence(console, shards.sequence(number), characters, as_json)
        return
    if not selection.asks():
        rows = rows_of(place)
        for number in draw_rows(len(rows), count, seed):
            _show_document(console, Selected(rows.row(number)), characters, as_json)
        return
    plan = plan_selection(place, selection)
    progress = make_progress() if sys.stderr.isatty() else SilentProgress()
    progress.start("sample", "reading", plan.bytes, 0)
    try:
        drawn = draw(plan, count, seed, lambda read: progress.advance(count=read, documents=0))
    finally:
        progress.stop()
    for selected in drawn:
        _show_document(console, selected, characters, as_json)
    if not drawn and not as_json:
        print_sentence(console, "no document is like that")


def _show_document(console: Console, selected: Selected, characters: int, as_json: bool) -> None:
    if as_json:
        print_json(document_values(selected), indent=None)
        return
    if selected.side:
        value, threshold = selected.value, selected.threshold
        print_sentence(console, f"{selected.side}: {value:,.6g}, and the threshold is {threshold:,.6g}", "bold")
    print_row(console, selected.document, most=characters)


def _show_sequence(console: Console, sequence: PackedSequence, characters: int, as_json: bool) -> None:
    if as_json:
        print_json(sequence_values(sequence), indent=None)
    else:
        print_sequence(console, sequence, tokens=False, most=characters)


def document_values(selected: Selected) -> dict[str, Any]:
    """A document as `--json` prints it (docs/output.md)."""
    values = {"schema": SCHEMA, **row_values(selected.document)}
    if selected.side:
        values |= {"side": selected.side, "value": selected.value, "threshold": selected.threshold}
    return values


def row_values(row: DocumentRow) -> dict[str, Any]:
    """A row as JSON has it: NaN is null, and bytes are text."""
    return {
        "number": row.number,
        "path": row.path,
        "row": row.row,
        "values": {k: _plain(v) for k, v in row.values.items()},
    }


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, bytes):
        return value.decode(errors="backslashreplace")
    return value if value is None or isinstance(value, str | int | list | dict) else str(value)


def _learned(segment: Segment) -> dict[str, list[bool]]:
    """Of each id whether the loss counts it, where the shards say so."""
    if not segment.pieces or segment.pieces[0].learned is None:
        return {}
    return {"learned": [bool(piece.learned) for piece in segment.pieces for _ in piece.ids]}


def sequence_values(sequence: PackedSequence) -> dict[str, Any]:
    """A sequence as `--json` prints it; special tokens stand in the text as they are spelled."""
    segments = [
        {
            "document": segment.document,
            "source": segment.source,
            "start": segment.start,
            "length": segment.length,
            "fim": segment.fim,
            "ids": [number for piece in segment.pieces for number in piece.ids],
            "text": "".join(piece.text for piece in segment.pieces),
        }
        | _learned(segment)
        for segment in sequence.segments
    ]
    about = {"schema": SCHEMA, "number": sequence.number, "path": sequence.path, "row": sequence.row}
    return about | {"group": sequence.group, "segments": segments}
