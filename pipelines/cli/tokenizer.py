"""`corpusmill tokenizer train|count|encode|decode|show|report|import|shrink`."""

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from corpusmill.dataproc.errors import UserError
from corpusmill.pipelines.cli.apps import group_app, help_text
from corpusmill.pipelines.cli.stages import stage_command
from corpusmill.pipelines.cli.tokenizer_files import COMMANDS

HELP = """Train a byte-level BPE tokenizer; encode, decode, inspect and report.

Example: corpusmill tokenizer train unique --output tokenizer --vocab-size 128000"""

Folder = Annotated[str, typer.Argument(help="a tokenizer folder", metavar="TOKENIZER")]
UNITS = ("byte", "character")
STANDARD_INPUT = "standard input"
SHADES = ("on grey23", "on grey37")
"""Backgrounds that take turns, so that pieces show where they end."""


def app_for(name: str) -> typer.Typer:
    """The typer application of the commands."""
    app = group_app(HELP)
    train, text = stage_command("tokenizer")
    app.command("train", help=help_text(text))(train)
    count, counting = stage_command("count")
    app.command("count", help=help_text(counting))(count)
    for function in (_encode, _decode, _show, _report):
        app.command(function.__name__.lstrip("_"), help=help_text(function.__doc__ or ""))(function)
    for command, function in COMMANDS.items():
        app.command(command, help=help_text(function.__doc__ or ""))(function)
    return app


def _encode(
    tokenizer: Folder,
    files: Annotated[list[str] | None, typer.Argument(help="text files; standard input if none")] = None,
    offsets: Annotated[
        str | None,
        typer.Option(help="also print where each token is, in bytes or characters", metavar="|".join(UNITS)),
    ] = None,
    trusted: Annotated[
        bool,
        typer.Option("--trusted", help="encode spellings of special tokens as their ids: only for text that you trust"),
    ] = False,
) -> None:
    """Print the ids of each file's text, one JSON list per line. Spellings of special tokens stay text.

    With --offsets each line is an object: ids, and where each token starts and ends in its text.

    Example: echo 'def main():' | corpusmill tokenizer encode tokenizer
    """
    import pyarrow as pa

    from corpusmill.tokenizer import Tokenizer
    from corpusmill.tokenizer.offsets import token_offsets
    from corpusmill.tokenizer.regexes import RegexGaveUp
    from corpusmill.tokenizer.trusted import encode_segments, segments

    if offsets is not None and offsets not in UNITS:
        raise UserError(f"unknown unit '{offsets}'", where="--offsets", hint=f"give {' or '.join(UNITS)}")
    loaded = Tokenizer.load(tokenizer)
    for path in files or [STANDARD_INPUT]:
        text = _text(path) if files else _decoded(sys.stdin.buffer.read(), path)
        try:
            if trusted:
                rows = encode_segments(loaded, segments([[(text, True)]]))
            else:
                rows = loaded.encode(pa.array([text], pa.large_string()))
        except RegexGaveUp as error:
            raise UserError(str(error), where=path, hint="give its text in shorter pieces, or leave it out") from error
        if offsets is None:
            print(json.dumps(rows[0].as_py()))
            continue
        encoded = token_offsets(loaded, rows, "byte" if offsets == "byte" else "character")
        places = {"ids": encoded.ids, "starts": encoded.starts, "ends": encoded.ends}
        print(json.dumps({name: column[0].as_py() for name, column in places.items()}))


def _decode(
    tokenizer: Folder,
    ids: Annotated[list[int] | None, typer.Argument(help="ids; JSON lists from standard input if none")] = None,
    stream: Annotated[
        bool, typer.Option("--stream", help="write text as soon as it is certain; a line may also be a single id")
    ] = False,
    hide_special: Annotated[bool, typer.Option("--hide-special", help="leave out special tokens")] = False,
) -> None:
    """Write the bytes that ids stand for to standard output.

    With --stream it is text, flushed after each line of input: a character that is spread over ids waits for its last
    one, and bytes that are not UTF-8 become U+FFFD.

    Example: corpusmill tokenizer encode tokenizer notes.txt | corpusmill tokenizer decode tokenizer
    """
    import pyarrow as pa

    from corpusmill.tokenizer import Tokenizer
    from corpusmill.tokenizer.decoding import StreamDecoder, decode_lists

    loaded = Tokenizer.load(tokenizer)
    lists = (_known(numbers, loaded.vocab_size, tokenizer) for numbers in ([ids] if ids else _lists(sys.stdin, stream)))
    out = sys.stdout.buffer
    if not stream:
        for numbers in lists:
            rows = pa.array([numbers], pa.large_list(pa.int32()))
            out.write(decode_lists(loaded, rows, hide_special=hide_special)[0].as_py())
        return
    decoder = StreamDecoder(loaded, hide_special=hide_special)
    for numbers in lists:
        out.write(decoder.push(numbers).encode())
        out.flush()
    out.write(decoder.finish().encode())


def _show(
    tokenizer: Folder,
    text: Annotated[str | None, typer.Option(help="a text to show token by token", metavar="TEXT")] = None,
    number: Annotated[int | None, typer.Option("--id", help="one id", min=0, metavar="N")] = None,
) -> None:
    """Inspect a tokenizer: an overview, one id, or a text token by token, with ids and byte positions.

    Example: corpusmill tokenizer show tokenizer --text 'Hello, world!'
    """
    from rich.text import Text

    from corpusmill.pipelines.inspect.tokens import describe, describe_id, token_pieces
    from corpusmill.pipelines.terminal import Column, output_console, pairs, print_lines, table
    from corpusmill.pipelines.visible import one_line
    from corpusmill.tokenizer import Tokenizer

    loaded = Tokenizer.load(tokenizer)
    console = output_console()
    if text is None:
        described = describe(loaded) if number is None else describe_id(loaded, number)
        print_lines(console, pairs([(what, one_line(value)) for what, value in described], console.width))
        return
    line, rows = Text(), []
    for place, piece in enumerate(token_pieces(loaded, text)):
        shown = Text(one_line(piece.text), style=SHADES[place % len(SHADES)])
        line.append_text(shown)
        rows.append((str(piece.id), f"{piece.start}-{piece.end}", shown))
    console.print(line, soft_wrap=True)
    columns = (Column("id", right=True), Column("bytes", right=True), Column("token"))
    print_lines(console, table(columns, rows, console.width))


def _report(
    tokenizer: Annotated[
        str, typer.Argument(help="a tokenizer folder, a tokenizer.json, or tiktoken's ranks", metavar="TOKENIZER")
    ],
    datasets: Annotated[list[str], typer.Argument(help="datasets of documents to measure on", metavar="DATASET...")],
    against: Annotated[
        list[str] | None,
        typer.Option(help="another tokenizer to compare with (repeatable)", metavar="FILE_OR_FOLDER"),
    ] = None,
    pattern: Annotated[
        str | None,
        typer.Option(help="how a file of tiktoken's ranks cuts text: a preset (cl100k, …)", metavar="PATTERN"),
    ] = None,
    html: Annotated[
        str | None, typer.Option(help="write an HTML page with charts; in a folder, as report.html", metavar="PATH")
    ] = None,
    as_json: Annotated[str | None, typer.Option("--json", help="write everything as JSON", metavar="PATH")] = None,
    workers: Annotated[int, typer.Option(help="threads; 0 means one per core", min=0, metavar="N")] = 0,
) -> None:
    """Print bytes per token, tokens per word and more by language, source and kind; check that every text comes back.

    Also what the vocabulary is made of, its longest tokens, and those that no document, or hardly one, uses. Exits with
    1 if a document does not come back from the ids of TOKENIZER; the others are only reported on. Tokenizers that
    cannot be imported are run by Hugging Face's library, which is slow. Nothing is written unless asked
    for: `--html TOKENIZER` puts report.html into the tokenizer folder.

    Example: corpusmill tokenizer report tokenizer unique --against other/tokenizer.json --html tokenizer
    """
    from corpusmill.dataproc import storage
    from corpusmill.pipelines.engine.progress import make_progress
    from corpusmill.pipelines.html.document import require_charts
    from corpusmill.pipelines.report.tokenizer_page import write_page
    from corpusmill.pipelines.report.tokenizer_tables import print_tables
    from corpusmill.pipelines.report.tokenizers import measure_datasets, open_tokenizer

    if html:
        require_charts()
    opened = [open_tokenizer(path, pattern) for path in (tokenizer, *(against or ()))]
    measured = measure_datasets(opened, datasets, make_progress(), workers)
    print_tables(measured)
    if as_json:
        storage.commit_bytes(as_json, (json.dumps(measured, ensure_ascii=False, indent=1) + "\n").encode())
    if html:
        print(write_page(measured, html))
    raise typer.Exit(1 if measured["tokenizers"][0]["lost"]["documents"] else 0)


def _text(path: str) -> str:
    try:
        return _decoded(Path(path).read_bytes(), path)
    except FileNotFoundError as error:
        raise UserError("no such file", where=path) from error


def _decoded(data: bytes, where: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise UserError(f"not UTF-8 at byte {error.start}", where=where) from error


def _lists(lines: Iterable[str], single: bool) -> Iterator[list[int]]:
    """The lists of ids that lines hold; with `single` a line may be an id by itself."""
    for line in lines:
        if line.strip():
            yield _ids(line, single)


def _known(numbers: list[int], vocab_size: int, where: str) -> list[int]:
    wrong = [number for number in numbers if not 0 <= number < vocab_size]
    if wrong:
        raise UserError(f"no id {wrong[0]}", where=where, hint=f"ids are 0 to {vocab_size - 1}")
    return numbers


def _ids(line: str, single: bool) -> list[int]:
    try:
        value: Any = json.loads(line)
    except ValueError:
        value = None
    if single and type(value) is int:
        value = [value]
    if not isinstance(value, list) or not all(type(number) is int for number in value):
        raise UserError("not a JSON list of ids", where=f"standard input: {line[:40].strip()!r}")
    return value
