"""`corpusmill inspect lint`: whether a set of tokens is what somebody meant to train on."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.lint.findings import SEVERITIES, Finding
from corpusmill.pipelines.guarded_streams import Console
from corpusmill.pipelines.summary import print_json
from corpusmill.pipelines.terminal import output_console, pairs, print_lines, print_sentence
from corpusmill.pipelines.visible import one_line

if TYPE_CHECKING:  # it brings the tokenizer and its compiler
    from corpusmill.pipelines.inspect.lint import Linted

SCHEMA = 1
LEVELS = ("source", "language", "kind")
STYLES = {"error": "bold red", "warning": "yellow", "note": "dim"}


def lint_command(
    path: Annotated[str, typer.Argument(help="token shards, a shard, or another trainer's files", metavar="SHARDS")],
    against: Annotated[
        str | None, typer.Option(help="an older build of the same set, to compare with", metavar="OLDER")
    ] = None,
    tokenizer: Annotated[
        str | None, typer.Option(help="the tokenizer that made the ids; found where the manifest names it")
    ] = None,
    kind: Annotated[
        str | None, typer.Option("--format", help="megatron, mds, huggingface or flat; guessed by the files' names")
    ] = None,
    column: Annotated[str | None, typer.Option(help="column of token ids, if not input_ids or tokens")] = None,
    dtype: Annotated[str | None, typer.Option(help="type of an id in flat files that nothing describes")] = None,
    expect: Annotated[
        list[str] | None,
        typer.Option(help="a share of tokens that was asked for (repeatable)", metavar="source:NAME=SHARE"),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="exit with 1 for warnings, too")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="as JSON lines: a finding each, and the totals last")] = False,
) -> None:
    """Look for what is wrong with a set of tokens: ends, ids, text, padding, repeats, lengths, masks, mixture.

    Reads shards, imported ones too, and Megatron, MDS, Hugging Face and flat files where they lie. Prints a finding
    with what was expected, what was seen, where, and what to do. Exits with 1 if there are errors.

    Example: corpusmill inspect lint quickstart-output/shards --against older/shards
    """
    from corpusmill.pipelines.inspect.lint import LintOptions, lint

    options = LintOptions(
        format=kind or "",
        tokenizer=tokenizer or "",
        column=column or "",
        dtype=dtype or "",
        against=against or "",
        asked=expected_shares(expect or []),
    )
    linted = lint(path, options)
    if as_json:
        for finding in linted.report.findings:
            print_json({"schema": SCHEMA, "finding": finding.to_values()}, indent=None)
        print_json({"schema": SCHEMA, "set": linted.to_values()}, indent=None)
    else:
        _print(output_console(), linted)
    severities = linted.report.severities
    raise typer.Exit(1 if severities["error"] or (strict and severities["warning"]) else 0)


def expected_shares(values: Sequence[str]) -> dict[str, dict[str, float]]:
    """`source:web=0.7` and the like, by level and name. Raises UserError for anything else."""
    asked: dict[str, dict[str, float]] = {}
    for value in values:
        level, colon, rest = value.partition(":")
        name, equals, share = rest.rpartition("=")
        try:
            number = float(share)
            if level not in LEVELS or not colon or not equals or not 0 <= number <= 1:
                raise ValueError
        except ValueError:
            hint = "write source:NAME=SHARE, with a share of 0 to 1; also language: and kind:"
            raise UserError(f"'{value}' is no share", where="--expect", hint=hint) from None
        asked.setdefault(level, {})[name] = number
    return asked


def _print(console: Console, linted: "Linted") -> None:
    report = linted.report
    print_sentence(console, f"{one_line(linted.path)}: {linted.what}", "bold")
    totals: list[tuple[str | Text, str | Text]] = [
        ("  sequences", f"{report.totals.sequences:,}"),
        ("  tokens", f"{report.totals.tokens:,}"),
        ("  documents", f"{report.totals.documents:,}"),
        ("  bits per token", f"{report.bits:.2f}"),
    ]
    print_lines(console, pairs(totals, console.width, right=True))
    for finding in report.findings:
        _print_finding(console, finding)
    print_sentence(console, verdict(report.severities), "bold")


def _print_finding(console: Console, finding: Finding) -> None:
    print_sentence(console, f"{finding.severity}  {finding.check}: {one_line(finding.seen)}", STYLES[finding.severity])
    rows: list[tuple[str | Text, str | Text]] = [("    expected", one_line(finding.expected))]
    if finding.where:
        rows.append(("    where", one_line(", ".join(finding.where))))
    rows.append(("    what to do", one_line(finding.hint)))
    print_lines(console, pairs(rows, console.width))


def verdict(severities: Any) -> str:
    """How many findings there are, in words."""
    counted = [f"{severities[name]:,} {name}{'s' if severities[name] != 1 else ''}" for name in SEVERITIES]
    return ", ".join(counted)
