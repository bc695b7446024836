"""`corpusmill inspect why`: what one stage, or a whole run, did with a document, and why."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.text import Text

from corpusmill.pipelines.guarded_streams import Console
from corpusmill.pipelines.inspect.differences import Difference, marked
from corpusmill.pipelines.inspect.differences import around as shortened
from corpusmill.pipelines.inspect.inspection import Judged, Survivor
from corpusmill.pipelines.inspect.places import recognise
from corpusmill.pipelines.inspect.story import Story, Visit, shorten_uses, story_values, tell_story
from corpusmill.pipelines.inspect.uses import Use
from corpusmill.pipelines.inspect.why import explain
from corpusmill.pipelines.summary import print_json
from corpusmill.pipelines.terminal import Column, output_console, pairs, print_lines, print_sentence, table
from corpusmill.pipelines.visible import one_line, visible

AROUND, USES, READS = 60, 8, 5
SCHEMA = 1
"""Of the JSON: raised when a key changes its meaning or goes; new keys may come."""

STYLES = {"same": "", "gone": "red", "new": "green"}


def why_command(
    path: Annotated[str, typer.Argument(help="a run, or a stage's folder", metavar="RUN|DATASET")],
    document: Annotated[str, typer.Argument(help="id of a document", metavar="ID")],
    uses: Annotated[int, typer.Option(help="segments in shards to show", min=1, metavar="N")] = USES,
    statistics: Annotated[bool, typer.Option("--statistics", help="show all that filters measured, too")] = False,
    around: Annotated[
        int, typer.Option(help="characters to show around what differs from the survivor", min=0, metavar="N")
    ] = AROUND,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Show what a stage did with a document and why; of a whole run, what each of its stages did.

    Of a run: the raw file, every rule with the document's value and the threshold, the survivor of a duplicate with
    [-what only the document has-] and {+what only the survivor has+}, the copies in a mixture, the sequences that hold
    it, and the steps of training that read them.

    Example: corpusmill inspect why quickstart-output 'python-stdlib/this.py#0'
    """
    place = recognise(path)
    console = output_console()
    if place.what == "run":
        story = tell_story(place, document)
        if as_json:
            print_json({"schema": SCHEMA, **_plain(story_values(story))})
        else:
            _print_story(console, shorten_uses(story, uses), around, statistics)
        return
    reason = explain(place, document)
    if as_json:
        print_json({"schema": SCHEMA, "document": document, **asdict(reason)})
        return
    print_sentence(console, f"{one_line(document)}: {reason.fate}", "bold")
    for line in reason.lines:
        print_sentence(console, f"  {one_line(line)}")


def _print_story(console: Console, story: Story, around: int, statistics: bool) -> None:
    print_sentence(console, one_line(story.document), "bold")
    labels = [(f"  {name}", one_line(value)) for name, value in story.labels.items()]
    if story.raw is not None:
        note = f" ({story.raw.note})" if story.raw.note else ""
        labels.append(("  raw", one_line(f"{', '.join(story.raw.files)}: {story.raw.record}{note}")))
    if story.raw_begins:
        labels.append(("  begins", one_line(story.raw_begins)))
    print_lines(console, pairs(labels, console.width))
    for visit in story.visits:
        _print_visit(console, story, visit, around, statistics)
    for use in story.uses:
        for line in _use_lines(use):
            print_sentence(console, one_line(line))
    if story.uses_left_out:
        print_sentence(console, f"  and {story.uses_left_out:,} more segments")
    for line in story.missing:
        print_sentence(console, f"missing: {one_line(line)}", "yellow")


def _print_visit(console: Console, story: Story, visit: Visit, around: int, statistics: bool) -> None:
    known_as = f" as {visit.document}" if visit.document != story.document else ""
    print_sentence(console, one_line(f"{visit.stage} ({visit.kind}){known_as}: {visit.fate}"), "bold")
    of_shards = any(use.shards == visit.stage for use in story.uses)
    in_table = {rule.rule for rule in visit.rules}
    lines = [line for line in visit.lines if line.partition(": ")[0] not in in_table]
    if visit.survivor is not None:
        lines = [_survivor(visit.survivor)]
    for line in () if of_shards else lines:
        print_sentence(console, f"  {one_line(line)}")
    _print_rules(console, visit.rules)
    if statistics:
        values = [(f"    {name}", one_line(_number(value))) for name, value in visit.statistics.items()]
        print_lines(console, pairs(values, console.width, right=True))
    if visit.survivor is not None and visit.changes:
        _print_changes(console, visit.changes, around)


def _print_rules(console: Console, rules: Sequence[Judged]) -> None:
    rows = []
    for rule in rules:
        limits = " to ".join(f"{limit:,.6g}" for limit in (rule.minimum, rule.maximum) if limit is not None)
        if (rule.minimum is None) != (rule.maximum is None):
            limits = f"{'at least' if rule.maximum is None else 'at most'} {limits}"
        value = "not measured" if rule.value is None else f"{rule.value:,.6g}"
        style = "red" if rule.broken else ""
        cells = ("  broken" if rule.broken else "  kept", rule.rule, value, limits or rule.statistic)
        rows.append([Text(one_line(cell), style=style) for cell in cells])
    if rows:
        columns = [Column("  rule"), Column("name"), Column("value", right=True), Column("threshold")]
        print_lines(console, table(columns, rows, console.width))


def _survivor(survivor: Survivor) -> str:
    how = "the same text" if survivor.method == "exact" else f"similarity {survivor.similarity:.3f}"
    how += ", estimated" if survivor.verified == "signatures" else ""
    if survivor.method != "exact" and survivor.containment is not None:
        how += f", {survivor.containment:.1%} of it in the survivor"
    return f"{survivor.method} duplicate of {survivor.id} ({how}, cluster {survivor.cluster})"


def _print_changes(console: Console, changes: Sequence[Difference], around: int) -> None:
    """The text with what differs marked: by marks everywhere, by colours where there are any."""
    if all(change.kind == "same" for change in changes):
        print_sentence(console, "  both texts are the same")
        return
    line = Text()
    for change in shortened(changes, around):
        shown = Difference(change.kind, visible(change.text))
        line.append(marked([shown]), style=STYLES[change.kind])
    console.print(line, soft_wrap=True)


def _use_lines(use: Use) -> Iterable[str]:
    held_back = ", held back for validation" if use.held_back else ""
    fim = ", rearranged to fill in the middle" if use.fim else ""
    yield (
        f"  sequence {use.sequence:,}: {use.path} row {use.row}: tokens {use.start:,} to "
        f"{use.start + use.length:,}{fim}{held_back}"
    )
    for read in use.reads[:READS]:
        step = "in a step that was given up" if read.step is None else f"in step {read.step:,}"
        yield f"    read by {read.run} {step}, at position {read.position:,}"
    if len(use.reads) > READS:
        yield f"    and {len(use.reads) - READS:,} more times"
    if not use.reads and not use.held_back:
        yield "    read by no step"


def _number(value: Any) -> str:
    return f"{value:,.6g}" if isinstance(value, float) else str(value)


def _plain(value: Any) -> Any:
    """Values as JSON has them: NaN is null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
