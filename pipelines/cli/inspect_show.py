"""`corpusmill inspect show`: one document, or one sequence of token shards."""

from typing import Annotated

import typer

from corpusmill.dataproc.errors import UserError
from corpusmill.pipelines.cli.inspect_rows import print_row, print_sequence
from corpusmill.pipelines.cli.inspect_sample import document_values, sequence_values
from corpusmill.pipelines.inspect.documents import DocumentRow, Rows, rows_of
from corpusmill.pipelines.inspect.places import recognise
from corpusmill.pipelines.inspect.selection import Selected
from corpusmill.pipelines.inspect.sequences import Shards, shards_of
from corpusmill.pipelines.summary import print_json
from corpusmill.pipelines.terminal import output_console


def show_command(
    path: Annotated[str, typer.Argument(help="a run, a stage's folder, a part or a shard", metavar="PATH")],
    row: Annotated[
        int | None, typer.Option(help="number of the document or sequence; 0 if left out", min=0, metavar="N")
    ] = None,
    document: Annotated[str | None, typer.Option("--id", help="id of a document", metavar="ID")] = None,
    tokens: Annotated[bool, typer.Option("--tokens", help="for a sequence: show each token with its id")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Show one document, or one sequence of token shards with its segments and markers.

    Example: corpusmill inspect show quickstart-output/shards --row 3 --tokens
    """
    if row is not None and document is not None:
        raise UserError("a row and an id cannot both be given", where="--id", hint="use one of them")
    place = recognise(path)
    if place.what in ("shards", "shard"):
        shards = shards_of(place)
        sequence = shards.sequence(_sequence_number(shards, row, document))
        if as_json:
            print_json(sequence_values(sequence))
        else:
            print_sequence(output_console(), sequence, tokens)
        return
    rows = rows_of(place)
    if tokens:
        raise UserError("documents have no tokens", where="--tokens", hint="name shards or a shard")
    chosen = rows.row(row or 0) if document is None else _find(rows, document)
    if as_json:
        print_json(document_values(Selected(chosen)))
    else:
        print_row(output_console(), chosen)


def _find(rows: Rows, document: str) -> DocumentRow:
    row = rows.find(document)
    if row is None:
        raise UserError(
            "no document with this id", where=f"{rows.where}: {document}", hint="try corpusmill inspect why"
        )
    return row


def _sequence_number(shards: Shards, row: int | None, document: str | None) -> int:
    if document is None:
        return row or 0
    for number, _ in shards.places_of(document):
        return number
    raise UserError("no sequence contains this document", where=f"{shards.where}: {document}")
