"""The table at the end of a run: what came in, what became of it, where everything lies; from manifests alone."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from corpusmill.dataproc import storage
from corpusmill.pipelines.description import Rows
from corpusmill.pipelines.engine.progress import clock
from corpusmill.pipelines.engine.stage import Finished
from corpusmill.pipelines.recipe import Recipe
from corpusmill.pipelines.registry import description_of

LOG_WIDTH = 100


def summary_rows(manifest: Mapping[str, Any]) -> Rows:
    """(what, value) of a stage, from its manifest; none of a stage that is not known here."""
    description = description_of(manifest["stage"])
    return description.rows(manifest["counts"], manifest["facts"]) if description else []


def print_summary(recipe: Recipe, finished: Sequence[tuple[str, Finished]], report: str | None, seconds: float) -> None:
    """Prints the table and the paths of everything to stdout."""
    from rich.table import Table

    from corpusmill.pipelines.terminal import Console

    # A log has no width of its own: wide enough there for the longest rule.
    console = Console(highlight=False, width=None if sys.stdout.isatty() else LOG_WIDTH)
    table = Table(title=recipe.name, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    table.add_column(justify="right", no_wrap=True)
    for name, done in finished:
        for number, (what, value) in enumerate(summary_rows(done.manifest)):
            table.add_row("" if number else name, what, value)
        table.add_section()
    console.print(table)
    for name, done in finished:
        console.print(f"  {name:<12} {storage.absolute(done.folder)}", soft_wrap=True, markup=False)
    if report:
        console.print(f"  {'report':<12} {report}", soft_wrap=True, markup=False)
    if all(done.was_done for _, done in finished):
        console.print("All stages were already done; nothing was run.")
    else:
        console.print(f"Done in {clock(seconds)}.")
