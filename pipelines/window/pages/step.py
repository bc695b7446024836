"""What a step of training read, or one that spiked: sequences with their documents, whose stories are a click away."""

from typing import Any

from corpusmill.pipelines.inspect.questions import Question
from corpusmill.pipelines.inspect.trace import trace
from corpusmill.pipelines.window.page import Table, Values, View, page
from corpusmill.pipelines.window.ways import stage_address, stage_trail

SEQUENCES = 10


@page("step.html")
def step(view: View) -> Values:
    """A step by its number, or a spike by its own; the first step where neither is asked for."""
    place = view.stage
    spike = view.number("spike")
    number = view.number("step", 1, least=1)
    asked = Question(spike=spike or None, step=None if spike else number, number=SEQUENCES, follow=False)
    result = trace(place, asked)
    run = view.path.place.what == "run"
    shards = next((link.name for link in result.links if link.place and link.place.what == "shards"), "")
    rows: list[list[Any]] = [
        [one.position, one.number, segment.document, segment.source, segment.start, segment.length, segment.fim]
        for one in result.sequences
        for segment in one.segments
    ]
    columns = ("position", "sequence", "document", "source", "start", "length", "fim")
    which = ["--spike", str(spike)] if spike else ["--step", str(number)]
    return {
        "title": f"Spike {spike}" if spike else f"Step {number:,}",
        "trail": [*stage_trail(view), ("Training", f"{stage_address(view.path, view.stage_name)}/training")],
        "command": ["inspect", "trace", place.path, *which, "--number", str(SEQUENCES)],
        "result": result,
        "size": len(result.positions) if result.positions is not None else len(result.sequences),
        "number": result.step or number,
        "story": f"{view.path.address}/document" if run else "",
        "sequences": f"{stage_address(view.path, shards)}/sequences" if run and shards else "",
        "table": Table(f"step-{result.step}", columns, rows) if rows else None,
    }
