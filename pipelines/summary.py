"""The end of a run: its outcome first, then what each stage did, and where everything lies; from manifests alone.

On a terminal it is a table, with `--json` an object of stable keys (docs/output.md): people and programs are told the
same things.
"""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from corpusmill.dataproc import storage
from corpusmill.pipelines.description import Rows
from corpusmill.pipelines.engine.progress import clock
from corpusmill.pipelines.registry import description_of
from corpusmill.pipelines.terminal import output_console, pairs, print_lines

if TYPE_CHECKING:  # pydantic behind two of them takes as long as all else that `inspect` imports
    from rich.text import Text

    from corpusmill.pipelines.engine.stage import Finished
    from corpusmill.pipelines.recipe import Recipe

SCHEMA = 1
"""Of the JSON: raised when a key changes its meaning or goes; new keys may come."""


def summary_rows(manifest: Mapping[str, Any]) -> Rows:
    """(what, value) of a stage, from its manifest; none of a stage that is not known here."""
    description = description_of(manifest["stage"])
    return description.rows(manifest["counts"], manifest["facts"]) if description else []


def cause_rows(manifest: Mapping[str, Any]) -> Rows:
    """(cause, documents) of a stage that did not keep all; none of a stage that is not known here."""
    description = description_of(manifest["stage"])
    return description.causes(manifest["counts"], manifest["facts"]) if description else []


def outcome_rows(manifests: Sequence[Mapping[str, Any]]) -> Rows:
    """What a run of several stages came to: documents kept, and the few numbers that matter of each stage."""
    described = [(description_of(manifest["stage"]), manifest) for manifest in manifests]
    flow = [manifest["counts"] for description, manifest in described if description and description.losses]
    rows: Rows = []
    if flow:
        first, last = flow[0]["documents_in"], flow[-1]["kept"]
        rows.append(("documents kept", f"{last:,} of {first:,} ({last / max(first, 1):.1%})"))
    for description, manifest in described:
        rows += description.tiles(manifest) if description else []
    return rows


def print_summary(
    recipe: "Recipe", finished: "Sequence[tuple[str, Finished]]", report: str | None, seconds: float
) -> None:
    """Prints the table and the paths of everything to stdout."""
    console = output_console()
    print_lines(console, summary_lines(recipe, finished, seconds, console.width))
    console.print()
    paths = [(name, done.folder) for name, done in finished] + ([("report", report)] if report else [])
    longest = max(len(name) for name, _ in paths)
    for name, path in paths:  # never broken by us, so that it can be copied
        console.print(f"  {name:<{longest}}  {short_path(path)}", soft_wrap=True)
    if all(done.was_done for _, done in finished):
        console.print("All stages were already done; nothing was run.", soft_wrap=True)
    else:
        console.print(f"Done in {clock(seconds)}.", soft_wrap=True)


def short_path(path: str) -> str:
    """A path as it is shortest: from the working folder where it lies in that, else absolute."""
    whole, here = storage.absolute(path), f"{storage.absolute('.')}/"
    return whole.removeprefix(here) if not storage.is_url(path) else path


def summary_lines(
    recipe: "Recipe", finished: "Sequence[tuple[str, Finished]]", seconds: float, width: int
) -> list["Text"]:
    """The table in lines of at most `width` cells."""
    from rich.text import Text

    rows: list[tuple[str | Text, str | Text]] = []
    if len(finished) > 1:
        outcome = [*outcome_rows([done.manifest for _, done in finished]), ("time", clock(seconds))]
        rows += [(Text(recipe.name, style="bold"), ""), *((f"  {what}", value) for what, value in outcome)]
    for name, done in finished:
        rows += [("", ""), (Text(name, style="bold"), "")] if rows else [(Text(name, style="bold"), "")]
        manifest = done.manifest
        rows += [(f"  {what}", value) for what, value in [*summary_rows(manifest), *cause_rows(manifest)]]
    return pairs(rows, width, right=True)


def summary_values(
    recipe: "Recipe", finished: "Sequence[tuple[str, Finished]]", report: str | None, seconds: float, exit_code: int
) -> dict[str, Any]:
    """The same as `--json` prints it."""
    return {
        "schema": SCHEMA,
        "name": recipe.name,
        "output": storage.absolute(recipe.output),
        "seconds": round(seconds, 3),
        "exit_code": exit_code,
        "report": report,
        "stages": [
            {
                "name": name,
                "stage": done.manifest["stage"],
                "folder": storage.absolute(done.folder),
                "was_done": done.was_done,
                "seconds": round(done.seconds, 3),
                "settings": done.manifest["settings"],
                "counts": done.manifest["counts"],
                "facts": done.manifest["facts"],
            }
            for name, done in finished
        ],
    }


def print_json(values: Mapping[str, Any], indent: int | None = 1) -> None:
    """Prints an object to stdout; ASCII, and DEL spelled out, so that no document can steer a terminal by it."""
    print(json.dumps(values, indent=indent).replace("\x7f", "\\u007f"))  # noqa: T201
