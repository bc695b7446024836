"""`corpusmill status RUN`: how far a run is, once or again and again."""

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

import typer
from rich.text import Text

from corpusmill.pipelines.cli.apps import command_app
from corpusmill.pipelines.engine.progress import clock
from corpusmill.pipelines.inspect.liveness import STALLED_FACTOR, Live, Rate, Running
from corpusmill.pipelines.inspect.status import StageStatus, run_status, stages_to_come, status_values
from corpusmill.pipelines.summary import print_json
from corpusmill.pipelines.terminal import Column, output_console, print_lines, table, wrapped
from corpusmill.pipelines.visible import one_line

STATUS = """Show the progress of a run, while it is running and afterwards: one line per stage.

A stage is done, at work (a process holds its lock) or stopped; running its command again resumes it. Of a stage at
work, also rates, time left, workers, running tasks and those that have stalled, as the driver noted them: every five
seconds, every thirty on an object store. With --watch the view is drawn again until the run ends; where the output is
no terminal, a line for each stage at work comes instead.

Example: corpusmill status quickstart-output --watch"""

TERMINAL_SECONDS, PLAIN_SECONDS = 2.0, 10.0
ENDED_SECONDS = 20.0
"""A run that has stages left and is at none for so long has ended: between two of them there is a moment without a
lock, in which the next one's inputs are listed."""
MOST_TASKS = 8
DOCUMENT = 60


def app_for(name: str) -> typer.Typer:
    """The typer application of the command."""
    return command_app(_status, STATUS)


def _status(
    run: Annotated[str, typer.Argument(help="the output folder of a recipe, or one stage's folder", metavar="RUN")],
    watch: Annotated[bool, typer.Option("--watch", help="go on until the run ends")] = False,
    every: Annotated[
        float | None,
        typer.Option(help="seconds between two looks; 2 on a terminal, else 10", min=0.1, metavar="SECONDS"),
    ] = None,
    stalled: Annotated[
        float,
        typer.Option(help="a task has stalled that takes so many times as long as is usual", min=1.0, metavar="FACTOR"),
    ] = STALLED_FACTOR,
    as_json: Annotated[bool, typer.Option("--json", help="as JSON; with --watch, an object a line")] = False,
) -> None:
    console = output_console()
    live_view = console.is_terminal and not as_json
    pause = every or (TERMINAL_SECONDS if live_view else PLAIN_SECONDS)
    looks = _looks(run, stalled, pause) if watch else iter([run_status(run, stalled)])
    if as_json:
        for stages in looks:
            print_json(status_values(run, stages), indent=None if watch else 1)
            sys.stdout.flush()
    elif not watch:
        print_lines(console, status_lines(next(looks), console.width))
    elif live_view:
        _redraw(console, looks)
    else:
        _tell(looks)


def _looks(run: str, stalled: float, pause: float) -> Iterator[list[StageStatus]]:
    """The status again and again, until all stages are done, or none has been at work for a while."""
    idle_since: float | None = None
    while True:
        stages = run_status(run, stalled)
        yield stages
        if any(stage.state == "at work" for stage in stages):
            idle_since = None
        else:
            if all(stage.state == "done" for stage in stages) and not stages_to_come(run, stages):
                return
            idle_since = time.monotonic() if idle_since is None else idle_since
            if time.monotonic() - idle_since >= ENDED_SECONDS:
                return
        time.sleep(pause if idle_since is None else min(pause, ENDED_SECONDS))


def _redraw(console: Any, looks: Iterator[list[StageStatus]]) -> None:
    """The view in place, and left there when the run has ended."""
    from rich.live import Live as LiveView

    with LiveView(console=console, auto_refresh=False, vertical_overflow="crop") as view:
        for stages in looks:
            view.update(Text("\n").join(status_lines(stages, console.width)), refresh=True)


def _tell(looks: Iterator[list[StageStatus]]) -> None:
    """A line for each stage at work, and one when a stage's state changes."""
    before: dict[str, str] = {}
    for stages in looks:
        for stage in stages:
            changed = before.get(stage.name) != stage.state
            if stage.state == "at work" or changed:
                print(one_line(_sentence(stage)), flush=True)
            before[stage.name] = stage.state


def status_lines(stages: Sequence[StageStatus], width: int) -> list[Text]:
    """The table, then what there is to say of stages that are not done."""
    columns = (Column("stage"), Column("state"), Column("tasks"), Column("counts"), Column("time", right=True))
    rows = []
    for stage in stages:
        state = f"{stage.state} ({stage.holder})" if stage.holder else stage.state
        tasks = ", ".join(f"{phase} {done}/{'?' if known is None else known}" for phase, done, known in stage.phases)
        counts = stage.note or _in_words(stage.counts)
        seconds = "" if stage.seconds is None else clock(stage.seconds)
        rows.append([one_line(cell) for cell in (stage.name, state, tasks, counts, seconds)])
    lines = table(columns, rows, width)
    for stage in stages:
        lines += [line for text in _details(stage) for line in wrapped(Text(one_line(text)), width)]
        if stage.state == "at work" and stage.live and stage.live.running:
            lines += _tasks(stage.live, width)
    return lines


def _details(stage: StageStatus) -> list[str]:
    """Lines on a stage that is not done."""
    lines = [f"{stage.name}: {silent}" for silent in stage.silent]
    if stage.live is None or stage.state == "done":
        return lines
    if stage.state == "at work":
        lines.append(f"{stage.name}: {_pace(stage.live)}")
        if stage.live.phase_stalled and stage.live.since_last_end is not None:
            lines.append(f"{stage.name}: no task has ended for {clock(stage.live.since_last_end)}")
    else:
        share = "" if stage.live.share is None else f" at {stage.live.share:.0%}"
        at_work = [f"{stage.live.phase}/{task.task}" for task in stage.live.running[:MOST_TASKS]]
        working = f", when it was at work on {', '.join(at_work)}" if at_work else ""
        lines.append(f"{stage.name}: last heard of {_ago(stage.live.age)} ago in {stage.live.phase}{share}{working}")
    return lines


def _pace(live: Live) -> str:
    """Phase, share, rates, time left, workers."""
    parts = [live.phase if live.share is None else f"{live.phase} {live.share:.0%}"]
    parts += [f"{_rate(live.recent)} of late"] if live.recent else []
    parts += [f"{_rate(live.overall)} overall"] if live.overall else []
    if live.seconds_left:
        fewest, most = (clock(seconds) for seconds in live.seconds_left)
        parts.append(f"{fewest} left" if fewest == most else f"{fewest} to {most} left")
    parts.append(f"{len(live.running)} of {live.slots} at work on {live.engine}")
    stalled = len(live.stalled)
    return ", ".join([*parts, *([f"{stalled} stalled"] if stalled else [])])


def _tasks(live: Live, width: int) -> list[Text]:
    """A table of tasks at work, those that have run for longest first."""
    columns = (Column("  task"), Column("since", right=True), Column("worker"), Column("document"), Column(""))
    rows = [_task_cells(live, task) for task in live.running[:MOST_TASKS]]
    lines = table(columns, rows, width)
    more = len(live.running) - MOST_TASKS
    return [*lines, *([Text(f"  … and {more} more")] if more > 0 else [])]


def _task_cells(live: Live, task: Running) -> list[str]:
    on = f"{one_line(task.document, DOCUMENT)}" if task.document else ""
    on += f" ({clock(task.document_seconds)})" if on and task.document_seconds is not None else ""
    usual = f", usually {clock(live.median_task_seconds)}" if live.median_task_seconds is not None else ""
    attempt = f"attempt {task.attempt}" if task.attempt > 1 else ""
    stalled = f"stalled{usual}" if task.stalled else ""
    remarks = ", ".join(filter(None, (attempt, stalled)))
    return [f"  {one_line(f'{live.phase}/{task.task}')}", clock(task.seconds), one_line(task.worker), on, remarks]


def _sentence(stage: StageStatus) -> str:
    """A stage in one line."""
    current = stage.live.phase if stage.live else ""
    tasks = [
        f"{done}/{'?' if known is None else known} tasks" for phase, done, known in stage.phases if phase == current
    ]
    since = f" for {clock(stage.seconds)}" if stage.state == "at work" and stage.seconds is not None else ""
    parts = [f"{stage.state}{since}", *(tasks if stage.state != "done" else []), *filter(None, [stage.note])]
    parts += [_pace(stage.live)] if stage.live and stage.state == "at work" else []
    parts += [_in_words(stage.counts)] if stage.counts and not stage.note else []
    return "; ".join([f"{stage.name}: {', '.join(parts)}", *stage.silent])


def _rate(rate: Rate) -> str:
    size = f"{rate.bytes / 1e6:,.1f} MB/s" if rate.bytes >= 1e5 else f"{rate.bytes / 1e3:,.1f} kB/s"
    return f"{size} ({rate.documents:,.0f} documents/s)" if rate.documents >= 1 else size


def _ago(seconds: float) -> str:
    days = int(seconds // 86_400)
    return f"{days} days" if days > 1 else clock(seconds)


def _in_words(counts: Mapping[str, Any]) -> str:
    return ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in list(counts.items())[:5] if count)
