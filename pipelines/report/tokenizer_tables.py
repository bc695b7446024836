"""The report on tokenizers as tables for a terminal; the page and the JSON file hold all that is left out here."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from corpusmill.pipelines.visible import one_line

PIPE_COLUMNS = 200
ROWS_SHOWN = 12
EXAMPLES_SHOWN = 8
Report = Mapping[str, Any]


def print_tables(measured: Report) -> None:
    """Prints the report of `tokenizer.report.report`."""
    from corpusmill.pipelines.terminal import Console

    console = Console(highlight=False, markup=False, emoji=False, width=None if sys.stdout.isatty() else PIPE_COLUMNS)
    text, tokenizers = measured["text"], measured["tokenizers"]
    console.print(
        f"{text['documents']:,} documents, {text['bytes'] / 1e6:,.1f} MB, {text['characters']:,} characters, "
        f"{text['words']:,} words",
        soft_wrap=True,
    )
    console.print(_overview(tokenizers))
    for column, values in measured["groups"].items():
        if set(values) - {"unknown"}:
            console.print(_groups(column, values, tokenizers))
    first = tokenizers[0]
    console.print(_vocabulary("kind of token", first["kinds"], first["tokens"]))
    scripts = dict(sorted(first["scripts"].items(), key=lambda item: -item[1]["ids"])[:ROWS_SHOWN])
    console.print(_vocabulary("script", scripts, first["tokens"]))
    for line in _examples(first):
        console.print(line, soft_wrap=True)
    for tokenizer in tokenizers:
        console.print(round_trip(tokenizer), soft_wrap=True)


def round_trip(tokenizer: Report) -> str:
    """A sentence on whether all documents came back, and which did not."""
    lost = tokenizer["lost"]
    name = one_line(tokenizer["name"])
    if not lost["documents"]:
        return f"{name}: every document came back from its ids."
    shown = ", ".join(one_line(document, 80) for document in lost["ids"][:ROWS_SHOWN])
    more = ", …" if lost["documents"] > ROWS_SHOWN else ""
    return f"{name}: {lost['documents']:,} documents did NOT come back: {shown}{more}"


def _table(title: str, *columns: str) -> Any:
    from rich.table import Table

    table = Table(title=title or None, title_justify="left")
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left", overflow="fold")
    return table


def _overview(tokenizers: Sequence[Report]) -> Any:
    table = _table(
        *("", "tokenizer", "ids", "tokens", "bytes per token", "characters per token", "tokens per word"),
        *("joined to line breaks", "never used", f"used 1 to {_rare() - 1} times"),
    )
    for tokenizer in tokenizers:
        table.add_row(
            *(
                one_line(tokenizer["name"]),
                f"{tokenizer['ids']:,}",
                f"{tokenizer['tokens']:,}",
                number(tokenizer["bytes_per_token"]),
            ),
            *(
                number(tokenizer["characters_per_token"]),
                number(tokenizer["tokens_per_word"]),
                f"{tokenizer['joined']['share']:.2%}",
            ),
            *(f"{tokenizer[name]['ids']:,} ({tokenizer[name]['share']:.1%})" for name in ("never_used", "rarely_used")),
        )
    return table


def _rare() -> int:
    from corpusmill.tokenizer.report import RARE

    return RARE


def number(value: float | None) -> str:
    """A rate, or nothing where nothing was to be divided."""
    return "" if value is None else f"{value:.3f}"


def _groups(column: str, values: Mapping[str, Any], tokenizers: Sequence[Report]) -> Any:
    """Of the first tokenizer the rates, of the others how many more tokens they need."""
    first, others = tokenizers[0], tokenizers[1:]
    names = [f"tokens of {one_line(other['name'])}" for other in others]
    rates = ("bytes per token", "characters per token", "tokens per word")
    table = _table("", column, "documents", "MB", *rates, *names)
    for value, text in list(values.items())[:ROWS_SHOWN]:
        own = first["groups"][column][value]
        against = [other["groups"][column][value]["tokens"] / max(1, own["tokens"]) - 1 for other in others]
        table.add_row(
            *(one_line(value, 40), f"{text['documents']:,}", f"{text['bytes'] / 1e6:,.1f}"),
            *(number(own[rate.replace(" ", "_")]) for rate in rates),
            *(f"{more:+.1%}" for more in against),
        )
    if len(values) > ROWS_SHOWN:
        table.add_row(f"and {len(values) - ROWS_SHOWN:,} more")
    return table


def _vocabulary(title: str, rows: Mapping[str, Any], tokens: int) -> Any:
    table = _table("", title, "ids", "never used", "tokens of the text")
    for name, row in rows.items():
        share = row["tokens"] / max(1, tokens)
        table.add_row(name, f"{row['ids']:,}", f"{row['never_used']:,}", f"{row['tokens']:,} ({share:.2%})")
    return table


def _examples(tokenizer: Report) -> list[str]:
    lines = []
    for what, tokens in (
        ("longest", tokenizer["longest"]),
        ("never used", tokenizer["never_used"]["examples"]),
        ("rarely used", tokenizer["rarely_used"]["examples"]),
    ):
        if tokens:
            shown = "  ".join(f"{one_line(token['text'], 40)!r}" for token in tokens[:EXAMPLES_SHOWN])
            lines.append(f"{what}: {shown}")
    return lines
