"""`corpusmill inspect sql "SELECT …" RUN`: the tables of runs, asked in SQL; as a table, JSON lines or CSV."""

import csv
import math
import sys
from itertools import chain, islice
from typing import Annotated, Any

import typer

from corpusmill.dataproc.errors import UserError
from corpusmill.pipelines.inspect.places import recognise
from corpusmill.pipelines.inspect.sql import Answer, Limits, run_query
from corpusmill.pipelines.summary import print_json
from corpusmill.pipelines.terminal import Column, output_console, print_lines, print_sentence, table
from corpusmill.pipelines.visible import one_line

CELL = 160
ROWS = 100


def sql_command(
    statement: Annotated[str, typer.Argument(help="one SELECT", metavar="SQL")],
    paths: Annotated[list[str], typer.Argument(help="runs, or stages' folders", metavar="RUN...")],
    rows: Annotated[int, typer.Option(help="rows of the table to show", min=1, max=100_000, metavar="N")] = ROWS,
    memory: Annotated[str, typer.Option(help="memory the query may take before it spills", metavar="SIZE")] = "1GiB",
    spill: Annotated[str, typer.Option(help="disk it may spill to, in the temporary folder", metavar="SIZE")] = "10GiB",
    seconds: Annotated[float, typer.Option(help="time after which it is stopped", min=0.01, metavar="S")] = 300,
    threads: Annotated[int, typer.Option(help="threads; 0 means one per core", min=0, metavar="N")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="all rows, as JSON lines")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="all rows, as CSV")] = False,
) -> None:
    """Ask the tables of a run in SQL (needs the extra sql: DuckDB).

    Tables are named by stage, as in clean.documents, clean.rejected, clean.ledger, clean.statistics, shards.sequences
    and model.metrics; one that a single stage has also by its name alone. A stage whose name is a word of SQL gets an
    underscore, as in unique_.duplicates. Of several runs they are run.stage.table. The table "tables" lists
    all of them with their columns, and "counts" has what each stage counted. The query reads these and nothing else: no
    other files, no network.

    Example: corpusmill inspect sql "SELECT rule, count(*) AS n FROM clean.ledger GROUP BY rule ORDER BY n DESC" quickstart-output
    """  # noqa: E501 - an example is one line
    if as_json and as_csv:
        raise UserError("two formats were given", where="--csv", hint="give --json or --csv")
    from corpusmill.pipelines.options import read_size

    limits = Limits(
        memory_bytes=read_size(memory, "--memory"),
        spill_bytes=read_size(spill, "--spill"),
        seconds=seconds,
        threads=threads,
    )
    with run_query([recognise(path) for path in paths], statement, limits) as answer:
        if as_json:
            _print_json_lines(answer)
        elif as_csv:
            writer = csv.writer(sys.stdout, lineterminator="\n")
            writer.writerow(answer.columns)
            for batch in answer.batches:
                writer.writerows(batch)
        else:
            _print_table(answer, rows)


def _print_json_lines(answer: Answer) -> None:
    for row in chain.from_iterable(answer.batches):
        print_json(dict(zip(answer.columns, map(_plain, row), strict=True)), indent=None)


def _print_table(answer: Answer, most: int) -> None:
    every = chain.from_iterable(answer.batches)
    shown = list(islice(every, most))
    console = output_console()
    right = [
        bool(values) and all(isinstance(value, int | float | None) for value in values)
        for values in (list(zip(*shown, strict=True)) or [()] * len(answer.columns))
    ]
    columns = [
        Column(one_line(name, CELL), right=is_right) for name, is_right in zip(answer.columns, right, strict=True)
    ]
    cells = [[one_line(_spelled(value), CELL) for value in row] for row in shown]
    print_lines(console, table(columns, cells, console.width))
    if next(every, None) is not None:
        print_sentence(console, f"and more rows; show them by --rows, --json or --csv, or ask for the first {most}")


def _spelled(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.6g}"
    return str(_plain(value))


def _plain(value: Any) -> Any:
    """A value as JSON has it: NaN is null, and bytes, times and decimals are text."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | int | bool):
        return value
    if isinstance(value, bytes):
        return value.decode(errors="backslashreplace")
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value)
