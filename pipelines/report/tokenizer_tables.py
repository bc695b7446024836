"""The report on tokenizers as tables for a terminal; the page and the JSON file hold all that is left out here."""

from collections.abc import Mapping, Sequence
from typing import Any

from corpusmill.pipelines.terminal import Column, output_console, print_lines, print_sentence, table
from corpusmill.pipelines.visible import one_line

ROWS_SHOWN = 12
EXAMPLES_SHOWN = 8
Report = Mapping[str, Any]
Numbers = tuple[tuple[str, ...], list[tuple[str, ...]]]
"""Names of columns, and rows."""


def print_tables(measured: Report) -> None:
    """Prints the report of `tokenizer.report.report`."""
    console = output_console()
    text, tokenizers = measured["text"], measured["tokenizers"]
    print_sentence(
        console,
        f"{text['documents']:,} documents, {text['bytes'] / 1e6:,.1f} MB, {text['characters']:,} characters, "
        f"{text['words']:,} words",
    )
    tables = [_overview(tokenizers)]
    for column, values in measured["groups"].items():
        if set(values) - {"unknown"}:
            tables.append(_groups(column, values, tokenizers))
    first = tokenizers[0]
    tables.append(_vocabulary("kind of token", first["kinds"], first["tokens"]))
    scripts = dict(sorted(first["scripts"].items(), key=lambda item: -item[1]["ids"])[:ROWS_SHOWN])
    tables.append(_vocabulary("script", scripts, first["tokens"]))
    for names, rows in tables:
        columns = [Column(name, right=place > 0) for place, name in enumerate(names)]
        console.print()
        print_lines(console, table(columns, rows, console.width))
    console.print()
    for line in (*_examples(first), *map(round_trip, tokenizers)):
        print_sentence(console, line)


def round_trip(tokenizer: Report) -> str:
    """A sentence on whether all documents came back, and which did not."""
    lost = tokenizer["lost"]
    name = one_line(tokenizer["name"])
    if not lost["documents"]:
        return f"{name}: every document came back from its ids."
    shown = ", ".join(one_line(document, 80) for document in lost["ids"][:ROWS_SHOWN])
    more = ", …" if lost["documents"] > ROWS_SHOWN else ""
    return f"{name}: {lost['documents']:,} documents did NOT come back: {shown}{more}"


def _overview(tokenizers: Sequence[Report]) -> Numbers:
    names = (
        *("tokenizer", "ids", "tokens", "bytes per token", "characters per token", "tokens per word"),
        *("joined to line breaks", "never used", f"used 1 to {_rare() - 1} times"),
    )
    rows: list[tuple[str, ...]] = []
    for tokenizer in tokenizers:
        rates = [number(tokenizer[name]) for name in ("bytes_per_token", "characters_per_token", "tokens_per_word")]
        unused = [
            f"{tokenizer[name]['ids']:,} ({tokenizer[name]['share']:.1%})" for name in ("never_used", "rarely_used")
        ]
        first = (one_line(tokenizer["name"]), f"{tokenizer['ids']:,}", f"{tokenizer['tokens']:,}")
        rows.append((*first, *rates, f"{tokenizer['joined']['share']:.2%}", *unused))
    return names, rows


def _rare() -> int:
    from corpusmill.tokenizer.report import RARE

    return RARE


def number(value: float | None) -> str:
    """A rate, or nothing where nothing was to be divided."""
    return "" if value is None else f"{value:.3f}"


def _groups(column: str, values: Mapping[str, Any], tokenizers: Sequence[Report]) -> Numbers:
    """Of the first tokenizer the rates, of the others how many more tokens they need."""
    first, others = tokenizers[0], tokenizers[1:]
    names = [f"tokens of {one_line(other['name'])}" for other in others]
    rates = ("bytes per token", "characters per token", "tokens per word")
    rows: list[tuple[str, ...]] = []
    for value, text in list(values.items())[:ROWS_SHOWN]:
        own = first["groups"][column][value]
        against = [other["groups"][column][value]["tokens"] / max(1, own["tokens"]) - 1 for other in others]
        rows.append(
            (
                *(one_line(value, 40), f"{text['documents']:,}", f"{text['bytes'] / 1e6:,.1f}"),
                *(number(own[rate.replace(" ", "_")]) for rate in rates),
                *(f"{more:+.1%}" for more in against),
            )
        )
    if len(values) > ROWS_SHOWN:
        rows.append((f"and {len(values) - ROWS_SHOWN:,} more",))
    return (column, "documents", "MB", *rates, *names), rows


def _vocabulary(title: str, rows: Mapping[str, Any], tokens: int) -> Numbers:
    shown: list[tuple[str, ...]] = []
    for name, row in rows.items():
        share = row["tokens"] / max(1, tokens)
        shown.append((name, f"{row['ids']:,}", f"{row['never_used']:,}", f"{row['tokens']:,} ({share:.2%})"))
    head: tuple[str, ...] = (title, "ids", "never used", "tokens of the text")
    return head, shown


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
