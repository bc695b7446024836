"""`corpusmill inspect PATH`, `inspect show|steps|verify`, and the list of the commands in modules of their own.

Whatever comes out of documents is shown with its control characters spelled out, and never as markup.
"""

from typing import Annotated, Any

import typer
from rich.text import Text
from typer.core import TyperGroup

from corpusmill.dataproc.errors import UserError
from corpusmill.pipelines.cli.apps import group_app, help_text
from corpusmill.pipelines.cli.inspect_diff import diff_command
from corpusmill.pipelines.cli.inspect_lint import lint_command
from corpusmill.pipelines.cli.inspect_rows import print_row, print_sequence
from corpusmill.pipelines.cli.inspect_sample import document_values, sample_command, sequence_values
from corpusmill.pipelines.cli.inspect_serve import SERVE, serve_command
from corpusmill.pipelines.cli.inspect_sql import sql_command
from corpusmill.pipelines.cli.inspect_why import why_command
from corpusmill.pipelines.cli.trace import trace_command
from corpusmill.pipelines.inspect.documents import DocumentRow, Rows, rows_of
from corpusmill.pipelines.inspect.overview import Lines, overview, overview_values
from corpusmill.pipelines.inspect.places import recognise
from corpusmill.pipelines.inspect.selection import Selected
from corpusmill.pipelines.inspect.sequences import Shards, shards_of
from corpusmill.pipelines.inspect.steps import STEP_COLUMNS, read_steps, step_cells
from corpusmill.pipelines.inspect.verify import verify
from corpusmill.pipelines.summary import print_json
from corpusmill.pipelines.terminal import Column, output_console, pairs, print_lines, print_sentence, table, wrapped
from corpusmill.pipelines.visible import one_line

HELP = """Inspect any folder or file made by corpusmill.

With just a PATH, shows what is there: settings, counts, parts. If a folder has the name of one of the commands below,
write it as ./show.

Example: corpusmill inspect quickstart-output/clean"""

DEFAULT = "overview"
CELL = 160
SCHEMA = 1
"""Of the JSON of `verify`: raised when a key changes its meaning or goes; new keys may come."""

Path = Annotated[str, typer.Argument(help="a run, a stage's folder, a part or a shard", metavar="PATH")]


class PathOrCommand(TyperGroup):
    """`inspect PATH` is `inspect overview PATH`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and not args[0].startswith("-") and args[0] not in self.commands:
            args = [DEFAULT, *args]
        return super().parse_args(ctx, args)


def app_for(name: str) -> typer.Typer:
    """The typer application of the commands."""
    app = group_app(HELP, PathOrCommand)
    app.command(DEFAULT, hidden=True, help=help_text(HELP))(_overview)
    for function in (_show, _steps, _verify):
        app.command(function.__name__.lstrip("_"), help=help_text(function.__doc__ or ""))(function)
    app.command("serve", help=help_text(SERVE))(serve_command)
    app.command("diff", help=help_text(diff_command.__doc__ or ""))(diff_command)
    app.command("lint", help=help_text(lint_command.__doc__ or ""))(lint_command)
    app.command("sample", help=help_text(sample_command.__doc__ or ""))(sample_command)
    app.command("why", help=help_text(why_command.__doc__ or ""))(why_command)
    app.command("sql", help=help_text(sql_command.__doc__ or ""))(sql_command)
    app.command("trace", help=help_text(trace_command.__doc__ or ""))(trace_command)
    return app


def _overview(
    paths: Annotated[list[str], typer.Argument(help="runs, stages' folders, parts or shards", metavar="PATH...")],
    as_json: Annotated[bool, typer.Option("--json", help="as JSON, an object a line if there are several")] = False,
) -> None:
    if as_json:
        values = [overview_values(recognise(path)) for path in paths]
        for value in values:
            print_json(value, indent=1 if len(values) == 1 else None)
        return
    console = output_console()
    for path in paths:
        place = recognise(path)
        for number, (title, rows) in enumerate(overview(place)):
            heading = f"{place.path}: {title}" if number == 0 else title
            print_lines(console, wrapped(Text(one_line(heading), style="bold"), console.width))
            print_lines(console, section_lines(rows, console.width))


def section_lines(rows: Lines, width: int) -> list[Text]:
    """The rows of a section: names and values, or a table where rows have more cells; a command is never broken."""
    if not rows:
        return []
    if max(map(len, rows)) == 1:
        return [Text(f"  {one_line(row[0])}") for row in rows]
    cells = [tuple(one_line(cell, CELL) for cell in (f"  {row[0]}", *row[1:])) for row in rows]
    if max(map(len, cells)) <= 2:
        return pairs([(row[0], row[1] if len(row) > 1 else "") for row in cells], width)
    return table([Column("")] * max(map(len, cells)), cells, width)


def _steps(
    run: Annotated[str, typer.Argument(help="the folder of a training run, finished or not", metavar="MODEL")],
    number: Annotated[
        int, typer.Option("--number", "-n", help="rows, evenly spaced; 0 for every step", min=0, metavar="N")
    ] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="as JSON lines, an object a step")] = False,
) -> None:
    """Show the steps of a training run: losses from metrics.jsonl beside times and tokens per second.

    Example: corpusmill inspect steps quickstart-output/model -n 12
    """
    steps = read_steps(run, number)
    if not steps:
        raise UserError("no step of training is recorded here", where=run, hint="name the folder of a training run")
    if as_json:
        for step in steps:
            print_json(step, indent=None)
        return
    console = output_console()
    columns = [Column(name, right=True) for name in STEP_COLUMNS]
    print_lines(console, table(columns, [step_cells(step) for step in steps], console.width))


def _show(
    path: Path,
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
        raise UserError("a row and an id cannot both be given", where="--id", hint="give one of them")
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


def _verify(
    path: Path,
    as_json: Annotated[bool, typer.Option("--json", help="as JSON lines, an object a folder")] = False,
) -> None:
    """Check every byte against the manifest: digests, row counts, shards, and that no document was lost.

    A shard set is also checked as a whole: its segments must cover every document exactly once, and no document may
    be both held back and trained on.

    Prints one line per problem and exits with 1 if there are any.

    Example: corpusmill inspect verify quickstart-output
    """
    console = output_console()
    failed = False
    for done in verify(recognise(path)):
        failed |= bool(done.problems)
        if as_json:
            problems = [{"path": where, "what": what} for where, what in done.problems]
            sizes = {"files": done.files, "bytes": done.bytes, "rows": done.rows}
            about = {"schema": SCHEMA, "name": done.name, "path": done.path}
            print_json(about | {"problems": problems} | sizes, indent=None)
            continue
        for where, what in done.problems:
            print_sentence(console, f"BAD  {one_line(where)}: {one_line(what)}")
        if not done.problems:
            checked = f"{done.files:,} files, {done.bytes / 1e6:,.1f} MB, {done.rows:,} rows"
            print_sentence(console, f"ok   {one_line(done.name)}: {checked}")
    raise typer.Exit(1 if failed else 0)


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
