"""`corpusmill tokenizer train|encode|decode|report`."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from dataproc.errors import UserError
from pipelines.cli.apps import group_app, help_text
from pipelines.cli.stages import stage_command

HELP = """Train a byte-level BPE tokenizer; encode, decode and report.

Example: corpusmill tokenizer train unique --output tokenizer --vocab-size 128000"""

Folder = Annotated[str, typer.Argument(help="a tokenizer folder", metavar="TOKENIZER")]


def app_for(name: str) -> typer.Typer:
    """The typer application of the commands."""
    app = group_app(HELP)
    train, text = stage_command("tokenizer")
    app.command("train", help=help_text(text))(train)
    for function in (_encode, _decode, _report):
        app.command(function.__name__.lstrip("_"), help=help_text(function.__doc__ or ""))(function)
    return app


def _encode(
    tokenizer: Folder,
    files: Annotated[list[str] | None, typer.Argument(help="text files; standard input if none")] = None,
) -> None:
    """Print the ids of each file's text, a JSON list a line. Spellings of special tokens stay text.

    Example: echo 'def main():' | corpusmill tokenizer encode tokenizer
    """
    import pyarrow as pa

    from tokenizer import Tokenizer

    loaded = Tokenizer.load(tokenizer)
    texts = [_text(path) for path in files] if files else [_decoded(sys.stdin.buffer.read(), "standard input")]
    for ids in loaded.encode(pa.array(texts, pa.large_string())).to_pylist():
        print(json.dumps(ids))


def _decode(
    tokenizer: Folder,
    ids: Annotated[list[int] | None, typer.Argument(help="ids; JSON lists from standard input if none")] = None,
) -> None:
    """Write the bytes that ids stand for to standard output.

    Example: corpusmill tokenizer encode tokenizer notes.txt | corpusmill tokenizer decode tokenizer
    """
    import numpy as np

    from tokenizer import Tokenizer

    loaded = Tokenizer.load(tokenizer)
    lists = [ids] if ids else [_ids(line) for line in sys.stdin if line.strip()]
    for numbers in lists:
        wrong = [number for number in numbers if not 0 <= number < loaded.vocab_size]
        if wrong:
            raise UserError(f"no id {wrong[0]}", where=tokenizer, mend=f"ids are 0 to {loaded.vocab_size - 1}")
        sys.stdout.buffer.write(loaded.decode(np.array(numbers, np.int32)))


def _report(
    tokenizer: Folder,
    datasets: Annotated[list[str], typer.Argument(help="datasets of documents to measure on", metavar="DATASET...")],
) -> None:
    """Print bytes per token by source, kind and language, and check that every text comes back.

    Example: corpusmill tokenizer report tokenizer unique
    """
    from pipelines.compression import print_compression

    raise typer.Exit(0 if print_compression(tokenizer, datasets) else 1)


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


def _ids(line: str) -> list[int]:
    try:
        value = json.loads(line)
    except ValueError:
        value = None
    if not isinstance(value, list) or not all(isinstance(number, int) for number in value):
        raise UserError("not a JSON list of ids", where=f"standard input: {line[:40].strip()!r}")
    return value
