"""`corpusmill search build|count|find|context|trace`: an index of text, and what it is asked."""

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from corpusmill.dataproc.errors import UserError
from corpusmill.pipelines.cli.apps import group_app, help_text
from corpusmill.pipelines.cli.stages import stage_command
from corpusmill.pipelines.summary import SCHEMA, print_json
from corpusmill.pipelines.terminal import Column, output_console, print_lines, print_sentence, table
from corpusmill.pipelines.visible import one_line

if TYPE_CHECKING:
    from corpusmill.dataproc.search.index import Hit
    from corpusmill.dataproc.search.tracing import Trace
    from corpusmill.pipelines.inspect.search import NamedIndex

HELP = """Index the text of datasets; count, find and show any string in it, and trace where a passage comes from.

Example: corpusmill search build unique --output seen-text"""

CELL = 120

IndexesAndText = Annotated[
    list[str], typer.Argument(help="search indexes, and last the text to look for", metavar="INDEX... TEXT")
]
IgnoreCase = Annotated[bool, typer.Option("--ignore-case", "-i", help="find upper and lower case alike")]
Limit = Annotated[int, typer.Option("--number", "-n", help="occurrences of each index", min=1, metavar="N")]
Threads = Annotated[
    int, typer.Option(help="threads, each with memory for a segment: 50 MiB at most", min=1, max=256, metavar="N")
]
JsonLines = Annotated[bool, typer.Option("--json", help="as JSON lines")]


def app_for(name: str) -> typer.Typer:
    """The typer application of the commands."""
    app = group_app(HELP)
    build, text = stage_command("search")
    app.command("build", help=help_text(text))(build)
    for function in (_count, _find, _context, _trace):
        app.command(function.__name__.lstrip("_"), help=help_text(function.__doc__ or ""))(function)
    return app


def _count(
    arguments: IndexesAndText,
    ignore_case: IgnoreCase = False,
    documents: Annotated[
        bool, typer.Option("--documents", help="also count the documents that have it: locates every occurrence")
    ] = False,
    threads: Threads = 2,
    as_json: JsonLines = False,
) -> None:
    """Count how often a text occurs in search indexes, exactly, overlapping occurrences included.

    Example: corpusmill search count seen-text 'the quick brown fox'
    """
    from corpusmill.dataproc.search.index import Query

    indexes, text = _indexes_and_text(arguments, threads)
    query = Query(text, ignore_case)
    counts = [(named.folder, named.index.count(query, documents)) for named in indexes]
    if as_json:
        for folder, count in counts:
            print_json(
                {"schema": SCHEMA, "index": folder, "text": text, "ignore_case": ignore_case} | asdict(count),
                indent=None,
            )
        return
    columns = [Column("index"), Column("occurrences", right=True), *([Column("documents", right=True)] * documents)]
    numbers = [(folder, count.occurrences, *([count.documents or 0] * documents)) for folder, count in counts]
    if len(numbers) > 1:
        numbers.append(("all", *(sum(column) for column in list(zip(*numbers, strict=True))[1:])))
    rows = [[one_line(str(row[0])), *(f"{number:,}" for number in row[1:])] for row in numbers]
    console = output_console()
    print_lines(console, table(columns, rows, console.width))


def _find(
    arguments: IndexesAndText,
    number: Limit = 10,
    ignore_case: IgnoreCase = False,
    as_json: JsonLines = False,
) -> None:
    """Show where a text occurs: ids and sources of documents, and where in their text it is, in bytes.

    Which occurrences are shown first is arbitrary, and always the same.

    Example: corpusmill search find seen-text 'the quick brown fox' -n 20
    """
    from corpusmill.dataproc.search.index import Query

    indexes, text = _indexes_and_text(arguments)
    query = Query(text, ignore_case)
    hits = [(named.folder, hit) for named in indexes for hit in named.index.find(query, number)]
    if as_json:
        for folder, hit in hits:
            print_json({"schema": SCHEMA, "index": folder} | asdict(hit), indent=None)
        return
    if not hits:
        print_sentence(output_console(), "it does not occur")
        return
    columns = [Column("index")] * (len(indexes) > 1)
    columns += [Column("document"), Column("source"), Column("start", right=True), Column("end", right=True)]
    rows = [
        [*([one_line(folder, CELL)] * (len(indexes) > 1)), *_cells(hit), f"{hit.start:,}", f"{hit.end:,}"]
        for folder, hit in hits
    ]
    console = output_console()
    print_lines(console, table(columns, rows, console.width))


def _context(
    arguments: IndexesAndText,
    number: Limit = 5,
    around: Annotated[int, typer.Option(help="bytes of text on each side", min=0, max=1 << 16, metavar="N")] = 80,
    ignore_case: IgnoreCase = False,
    as_json: JsonLines = False,
) -> None:
    """Show the text around occurrences, as it stands in the documents.

    Example: corpusmill search context seen-text 'the quick brown fox' -n 3 --around 200
    """
    from corpusmill.dataproc.search.index import Query

    indexes, text = _indexes_and_text(arguments)
    query = Query(text, ignore_case)
    contexts = [(named.folder, context) for named in indexes for context in named.index.contexts(query, number, around)]
    if as_json:
        for folder, context in contexts:
            values = asdict(context)
            print_json({"schema": SCHEMA, "index": folder} | values.pop("hit") | values, indent=None)
        return
    console = output_console()
    if not contexts:
        print_sentence(console, "it does not occur")
    for folder, context in contexts:
        where = f"{folder}: " if len(indexes) > 1 else ""
        print_sentence(console, one_line(f"{where}{_place(context.hit)}"), "bold")
        line = Text(f"  {one_line(context.before)}").append(one_line(context.text), style="bold yellow")
        console.print(line.append(one_line(context.after), style="none"), soft_wrap=True)


def _trace(
    arguments: Annotated[
        list[str],
        typer.Argument(help="search indexes, and last the passage, unless --file has it", metavar="INDEX... [PASSAGE]"),
    ],
    file: Annotated[
        str | None, typer.Option(help="file with the passage; - for standard input", metavar="FILE")
    ] = None,
    words: Annotated[int, typer.Option(help="least words of a stretch", min=1, max=1000, metavar="N")] = 6,
    number: Annotated[int, typer.Option("--number", "-n", help="stretches that are shown", min=1, metavar="N")] = 20,
    documents: Annotated[int, typer.Option(help="documents that are named for each", min=0, max=100, metavar="N")] = 3,
    threads: Threads = 2,
    as_json: JsonLines = False,
) -> None:
    """Show which stretches of a passage stand in search indexes, the rarest first, and in which documents.

    A stretch cannot be made longer, on either side, without occurring nowhere. Case matters.

    Example: corpusmill search trace seen-text --file answer.txt
    """
    from corpusmill.dataproc.search.tracing import trace_passage

    indexes, passage = (
        _indexes_and_text(arguments, threads) if file is None else _indexes_and_file(arguments, file, threads)
    )
    for named in indexes:
        trace = trace_passage(named.index, passage, words, documents)
        if as_json:
            print_json(
                {"schema": SCHEMA, "index": named.folder, "words": trace.words, "covered": trace.covered}, indent=None
            )
            for stretch in trace.stretches[:number]:
                print_json({"schema": SCHEMA, "index": named.folder} | asdict(stretch), indent=None)
        else:
            _print_trace(named, trace, number)


def _print_trace(named: "NamedIndex", trace: "Trace", number: int) -> None:
    console = output_console()
    share = f"{trace.covered:,} of {trace.words:,} words stand in it, in {len(trace.stretches):,} stretches"
    print_sentence(console, one_line(f"{named.folder}: {share}"), "bold")
    for stretch in trace.stretches[:number]:
        times = "once" if stretch.occurrences == 1 else f"{stretch.occurrences:,} times"
        print_sentence(console, f"{times}, {stretch.words:,} words, bytes {stretch.start:,} to {stretch.end:,}", "cyan")
        console.print(Text(f"  {one_line(stretch.text)}"), soft_wrap=True)
        for hit in stretch.hits:
            print_sentence(console, f"    {one_line(_place(hit))}")


def _indexes_and_text(arguments: Sequence[str], threads: int = 1) -> tuple[list["NamedIndex"], str]:
    from corpusmill.pipelines.inspect.search import open_indexes

    if len(arguments) < 2:
        raise UserError("an index and a text are needed", hint="give the indexes first and the text last")
    indexes = open_indexes(list(arguments[:-1]), threads)
    _require_kernels()
    return indexes, arguments[-1]


def _indexes_and_file(arguments: Sequence[str], file: str, threads: int) -> tuple[list["NamedIndex"], str]:
    from corpusmill.pipelines.inspect.search import open_indexes

    try:
        content = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
        passage = content.decode("utf-8")
    except FileNotFoundError as error:
        raise UserError("no such file", where=file) from error
    except UnicodeDecodeError as error:
        raise UserError(f"not UTF-8 at byte {error.start}", where=file) from error
    indexes = open_indexes(list(arguments), threads)
    _require_kernels()
    return indexes, passage


def _require_kernels() -> None:
    """Compiles the kernels of search indexes where no one has yet, and says so."""
    from corpusmill.pipelines.engine.progress import make_progress
    from corpusmill.pipelines.kernels import compile_if_needed

    compile_if_needed(make_progress().say, ["corpusmill.dataproc.search.warmup"])


def _cells(hit: "Hit") -> list[str]:
    return [one_line(hit.id, CELL), one_line(hit.source, CELL)]


def _place(hit: "Hit") -> str:
    return f"{hit.id} ({hit.source}), bytes {hit.start:,} to {hit.end:,}"
