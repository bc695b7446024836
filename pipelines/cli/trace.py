"""`corpusmill inspect trace`: from a step of training to raw files, as readable text or as JSON."""

from typing import Annotated

import typer

from corpusmill.pipelines.guarded_streams import Console
from corpusmill.pipelines.inspect.places import recognise
from corpusmill.pipelines.inspect.questions import Question
from corpusmill.pipelines.inspect.raw import Raw
from corpusmill.pipelines.inspect.spikes import SpikeStory
from corpusmill.pipelines.inspect.trace import Document, Passed, Trace, TracedSequence, plain_values, trace
from corpusmill.pipelines.summary import print_json
from corpusmill.pipelines.terminal import output_console, print_sentence
from corpusmill.pipelines.visible import one_line

NAMED = 5


def trace_command(
    path: Annotated[str, typer.Argument(help="a run, a model, shards or a shard", metavar="RUN_OR_SHARDS")],
    step: Annotated[int | None, typer.Option(help="a step of training, from 1", min=1, metavar="N")] = None,
    spike: Annotated[int | None, typer.Option(help="a loss spike of the run, from 1", min=1, metavar="N")] = None,
    sequence: Annotated[
        int | None, typer.Option(help="number of a sequence in the shard set", min=0, metavar="I")
    ] = None,
    position: Annotated[
        int | None, typer.Option(help="position of a sequence in the order of training", min=0, metavar="P")
    ] = None,
    document: Annotated[
        str | None, typer.Option(help="id of a document: the sequences that hold it", metavar="ID")
    ] = None,
    raw: Annotated[
        str | None, typer.Option(help="a raw file: with --offset, the document that came from there", metavar="FILE")
    ] = None,
    offset: Annotated[int, typer.Option(help="byte in the raw file, or row of a table", min=0, metavar="N")] = 0,
    number: Annotated[
        int | None,
        typer.Option(
            "--number", "-n", help="sequences; 3 of a step, spike or document, else 1", min=1, max=1000, metavar="N"
        ),
    ] = None,
    segments: Annotated[int, typer.Option(help="segments of each sequence", min=1, metavar="N")] = 8,
    characters: Annotated[int, typer.Option(help="characters of each segment", min=1, metavar="N")] = 160,
    again: Annotated[
        bool,
        typer.Option("--read-again", help="read raw files again to find records whose ids do not say where they are"),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Trace a training step, or a sequence, back to its documents, their raw files and the rules they passed.

    With --spike N, traces the sequences of a loss spike, the one with the highest loss first. With --document ID, or
    --raw FILE and --offset N, traces the sequences that hold one document.

    Example: corpusmill inspect trace quickstart-output --step 100
    """
    question = Question(
        step=step,
        spike=spike,
        sequence=sequence,
        position=position,
        document=document,
        raw=None if raw is None else (raw, offset),
        number=number,
        segments=segments,
        characters=characters,
        again=again,
    )
    result = trace(recognise(path), question)
    if as_json:
        print_json(plain_values(result))
    else:
        _print_trace(output_console(), result)


def _print_trace(console: Console, result: Trace) -> None:
    for link in result.links:
        where = one_line(link.place.path) if link.place else "?"
        note = f"  ({one_line(link.note)})" if link.note else ""
        print_sentence(console, f"{link.stage or 'gone':<9}  {where}{note}", "dim")
    for line in result.missing:
        print_sentence(console, f"missing: {one_line(line)}", "yellow")
    for line in _spike(result.spike) if result.spike is not None else ():
        print_sentence(console, one_line(line), "bold")
    if result.positions is not None and result.step is not None:
        first, last = result.positions.start, result.positions.stop
        left = len(result.positions) - len(result.sequences)
        which = "first" if result.spike is None else "worst"
        shown = f", the {which} {len(result.sequences)} of them here" if left else ""
        read = (
            f"step {result.step} read {len(result.positions):,} sequences, positions {first:,} to {last - 1:,}{shown}"
        )
        print_sentence(console, read, "bold")
    printed: set[str] = set()
    for sequence in result.sequences:
        _print_traced(console, sequence, result.documents, printed)


def _spike(spike: SpikeStory) -> list[str]:
    """What happened, and what was done."""
    left_out = f"positions {spike.skipped_from:,} to {spike.end - 1:,} were left out"
    done = {"stopped": "the run was stopped", "skipped": f"the step was skipped: {left_out}"}
    back = f"the run was rolled back to step {spike.back_to}: {left_out}"
    return [f"spike {spike.number}, at step {spike.step}: {spike.why}", done.get(spike.done, back)]


def _print_traced(
    console: Console, sequence: TracedSequence, documents: dict[str, Document], printed: set[str]
) -> None:
    """A sequence with what is known of its documents, each of them described once."""
    position = f"position {sequence.position:,} = " if sequence.position is not None else ""
    group = f", group {sequence.group}" if sequence.group else ""
    loss = f", {sequence.nats:.3f} nats per token" if sequence.nats is not None else ""
    where = f"{position}sequence {sequence.number}: {sequence.path} row {sequence.row}{group}{loss}"
    console.print()
    print_sentence(console, one_line(where), "bold")
    for number, segment in enumerate(sequence.segments):
        fim = ", fill in the middle" if segment.fim else ""
        end = segment.start + segment.length
        heading = f"── segment {number}: {one_line(segment.document)}, its tokens {segment.start} to {end}{fim}"
        print_sentence(console, heading, "cyan")
        print_sentence(console, f"   “{one_line(segment.text)}”", "italic")
        lines = ["described above"] if segment.document in printed else _record_lines(documents[segment.document])
        printed.add(segment.document)
        for line in lines:
            print_sentence(console, f"   {one_line(line)}")
    if sequence.segments_left_out:
        print_sentence(console, f"── and {sequence.segments_left_out:,} more segments", "cyan")
    if sequence.padding:
        print_sentence(console, f"── padding, {sequence.padding:,} tokens", "cyan")


def _record_lines(document: Document) -> list[str]:
    """A document's record, one thing a line."""
    language = f", language {document.language}" if document.language else ""
    lines = [f"source {document.source}" + (f", kind {document.kind}{language}" if document.kind else "")]
    lines += [f"url: {document.url}"] if document.url else []
    lines += [f"meta: {document.meta}"] if document.meta else []
    lines += [_raw(document.raw)] if document.raw else []
    lines += [f"its record begins: {document.raw_begins}"] if document.raw_begins else []
    lines += [f"row {stand.row} of {stand.path}" for stand in document.stood]
    if document.survivor_of:
        more = f", and {len(document.survivor_of) - NAMED:,} more" if len(document.survivor_of) > NAMED else ""
        lines.append(f"kept in place of its duplicates {', '.join(document.survivor_of[:NAMED])}{more}")
    presets: dict[tuple[str, str], list[Passed]] = {}
    for rule in document.passed:
        presets.setdefault((rule.stage, rule.rule.rpartition("/")[0]), []).append(rule)
    for (stage, preset), rules in presets.items():
        name = f" of {preset}" if preset else ""
        said = "; ".join(_rule(rule, preset) for rule in rules)
        lines.append(f"{stage}: passed {len(rules)} rule{'s' if len(rules) > 1 else ''}{name}: {said}")
    return lines


def _raw(raw: Raw) -> str:
    note = f" ({raw.note})" if raw.note else ""
    return f"raw: {', '.join(raw.files)}: {raw.record}{note}"


def _rule(rule: Passed, preset: str) -> str:
    """As `words 150 (50 to 100,000)`."""
    name = rule.rule.removeprefix(f"{preset}/")
    if isinstance(rule.value, str):
        return f"{name} {rule.value}"
    low, high = (None if limit is None else f"{limit:,.6g}" for limit in (rule.minimum, rule.maximum))
    limits = f"{low} to {high}" if low and high else f"at least {low}" if low else f"at most {high}"
    return f"{name} {rule.value:,.6g} ({limits})"
