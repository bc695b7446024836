"""`corpusmill filter sweep FOLDER --rule NAME=LO..HI`: what other thresholds would keep, without reading text."""

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from corpusmill.pipelines.cli.flags import read_assignments

if TYPE_CHECKING:
    from corpusmill.dataproc.sweep import Counts, SweepResult, Swept

GROUPS = 10
HEADINGS = (
    *("documents, rule alone", "share", "bytes, rule alone", "share"),
    *("documents, all rules", "share", "bytes, all rules", "share"),
)


def sweep_command(
    folder: Annotated[str, typer.Argument(help="a filter's folder, or its _statistics/", metavar="FOLDER")],
    rule: Annotated[
        list[str],
        typer.Option(
            help="thresholds to try: 0.1..0.5, 0.1..0.5:5 steps, or 0.1,0.2; give it twice for a grid",
            metavar="NAME=LO..HI",
        ),
    ],
    by: Annotated[
        str, typer.Option(help="break down by source, language or kind; a+b for pairs", metavar="A,B,...")
    ] = "",
    thresholds: Annotated[
        str, typer.Option(help="other thresholds for rules that are not swept", metavar="NAME=VALUE,...")
    ] = "",
    rules: Annotated[
        str, typer.Option(help="use these presets or rules instead of those in force", metavar="A,B,...")
    ] = "",
    keep_if: Annotated[
        list[str] | None, typer.Option(help="an expression over columns that must also hold", metavar="EXPRESSION")
    ] = None,
    groups: Annotated[int, typer.Option(help="largest groups to show of each breakdown", min=1, metavar="N")] = GROUPS,
    as_json: Annotated[bool, typer.Option("--json", help="all counts, as JSON")] = False,
) -> None:
    """Show how many documents and bytes other thresholds would keep, from a filter's statistics, exactly.

    For each threshold: what the rule alone keeps, and what it keeps together with all other rules in force. A rule is
    named in full or by its last name; .minimum or .maximum says which threshold where it has two. A statistic may stand
    for a rule: word_count.minimum=20..200.

    Statistics do not show which documents rewriting would leave empty.

    Example: corpusmill filter sweep clean --rule gopher-quality/words.minimum=20..200:10 --by source,language
    """
    from corpusmill.dataproc.datasets import read_batches
    from corpusmill.dataproc.sweep import sweep
    from corpusmill.pipelines.stages.filter.sweeping import plan_sweep

    breakdowns = [tuple(entry.split("+")) for entry in _listed(by)]
    plan = plan_sweep(
        folder,
        rule,
        rules=_listed(rules) if rules else None,
        thresholds={name: _number(name, value) for name, value in read_assignments(thresholds, "thresholds").items()},
        expressions=keep_if or (),
        by=breakdowns,
    )
    batches = (batch for path in plan.files for batch in read_batches(path, list(plan.columns)))
    result = sweep(batches, plan.swept, plan.others, breakdowns)
    if as_json:
        print(json.dumps(_plain(result, [other.name for other in plan.others]), ensure_ascii=False, indent=1))
    else:
        _print(result, len(plan.others), groups)


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _number(name: str, text: str) -> float:
    from corpusmill.dataproc.errors import UserError

    try:
        return float(text)
    except ValueError as error:
        raise UserError(f"'{text}' is not a number", f"--thresholds {name}") from error


def _places(swept: "Sequence[Swept]") -> Iterator[tuple[tuple[int, ...], tuple[float, ...]]]:
    """(place in the grid, thresholds there), in order."""
    import numpy as np

    for place in np.ndindex(*(len(sweep.thresholds) for sweep in swept)):
        yield place, tuple(sweep.thresholds[at] for sweep, at in zip(swept, place, strict=True))


def _plain(result: "SweepResult", others: list[str]) -> dict[str, Any]:
    """The result as JSON holds it."""

    def as_values(counts: "Counts") -> dict[str, Any]:
        rows = [
            {
                "thresholds": list(values),
                "alone": {name: int(grid[place]) for name, grid in zip(_COUNTED, counts.alone, strict=True)},
                "together": {name: int(grid[place]) for name, grid in zip(_COUNTED, counts.together, strict=True)},
            }
            for place, values in _places(result.swept)
        ]
        return {"documents": counts.documents, "bytes": counts.bytes, "thresholds": rows}

    return {
        "swept": [
            {"rule": sweep.rule.name, "statistic": sweep.rule.statistic, "side": sweep.side} for sweep in result.swept
        ],
        "other_rules": others,
        "all": as_values(result.total),
        "by": [
            {
                "columns": list(columns),
                "groups": [{"values": list(key), **as_values(counts)} for key, counts in groups.items()],
            }
            for columns, groups in result.groups.items()
        ],
    }


_COUNTED = ("documents", "bytes")


def _print(result: "SweepResult", others: int, most: int) -> None:
    from rich.text import Text

    from corpusmill.pipelines.stages.filter.sweeping import threshold_in_force
    from corpusmill.pipelines.terminal import Column, output_console, print_lines, print_sentence, table
    from corpusmill.pipelines.visible import one_line

    console = output_console()
    total = result.total
    in_force = f"{others} other rule{'' if others == 1 else 's'} in force"
    print_sentence(console, f"{total.documents:,} documents, {total.bytes:,} bytes; {in_force}")
    for sweep in result.swept:
        now = threshold_in_force(sweep)
        value = "none" if now is None else f"{now:,.12g}"
        line = f"{sweep.rule.name}: {sweep.side} of {sweep.rule.statistic}, now {value}"
        print_sentence(console, one_line(line))

    def rows_of(label: list[str], counts: "Counts") -> Iterator[list[Text]]:
        for place, values in _places(result.swept):
            in_force = all(
                value == threshold_in_force(sweep) for value, sweep in zip(values, result.swept, strict=True)
            )
            cells = [f"{value:,.12g}" for value in values]
            for documents, size in (counts.alone, counts.together):
                cells += [
                    f"{documents[place]:,}",
                    _share(int(documents[place]), counts.documents),
                    f"{size[place]:,}",
                    _share(int(size[place]), counts.bytes),
                ]
            yield [Text(one_line(cell), style="bold" if in_force else "") for cell in (*label, *cells)]

    names = [sweep.side if len(result.swept) == 1 else f"{sweep.rule.name} {sweep.side}" for sweep in result.swept]
    numbers = [Column(name, right=True) for name in (*names, *HEADINGS)]
    print_lines(console, table(numbers, list(rows_of([], total)), console.width))
    for columns, groups in result.groups.items():
        console.print()
        shown = list(groups.items())[:most]
        rows = [row for key, counts in shown for row in rows_of([value or "unknown" for value in key], counts)]
        print_lines(console, table([*map(Column, columns), *numbers], rows, console.width))
        if len(groups) > most:
            more = f"and {len(groups) - most:,} smaller groups"
            print_sentence(console, f"{more}; show them with --groups {len(groups)} or --json")


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.2f} %" if whole else "-"
