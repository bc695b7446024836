"""`corpusmill inspect diff A B`: what differs between two of a kind."""

from dataclasses import asdict
from typing import Annotated, Any

import typer

from corpusmill.dataproc import storage
from corpusmill.pipelines.cli.diff_lines import sections
from corpusmill.pipelines.engine.progress import Advance, make_progress
from corpusmill.pipelines.inspect.diff.compare import Comparison, compare
from corpusmill.pipelines.inspect.diff.runs import RunDiff
from corpusmill.pipelines.summary import print_json
from corpusmill.pipelines.terminal import output_console, print_lines

SCHEMA = 1
"""Of the JSON: raised when a key changes its meaning or goes; new keys may come."""

DIFFERENT = 1

FirstPath = Annotated[str, typer.Argument(help="a run, dataset, shard set, tokenizer or manifest", metavar="A")]
SecondPath = Annotated[str, typer.Argument(help="another of the same kind", metavar="B")]


def diff_command(
    first: FirstPath,
    second: SecondPath,
    examples: Annotated[
        int, typer.Option("--number", "-n", help="documents to show of each kind", min=0, max=1000, metavar="EXAMPLES")
    ] = 3,
    text: Annotated[
        list[str] | None,
        typer.Option(help="tokenizers: a text to cut by each; a sentence for each script if left out", metavar="TEXT"),
    ] = None,
    pattern: Annotated[
        str | None, typer.Option(help="tokenizers: how a file of ranks cuts text (cl100k, o200k, …)", metavar="PATTERN")
    ] = None,
    exit_code: Annotated[bool, typer.Option("--exit-code", help="exit with 1 if the two differ, as git does")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="as JSON")] = False,
) -> None:
    """Compare two runs, datasets, shard sets, tokenizers or manifests.

    Documents go by their ids: which went, came and changed, by source and language. Examples show changed words as
    [-gone-]{+new+}, in colour on a terminal. A tokenizer may be any file that `tokenizer import` reads. Two runs are
    compared by their manifests, and the output says which folders to compare next.

    Memory stays the same for datasets of any size; temporary files take about 50 bytes a document (in TMPDIR).

    Example: corpusmill inspect diff monday/clean tuesday/clean -n 5
    """
    progress, read = make_progress(), [0, 0]

    def advance(size: int, rows: int) -> None:
        read[0], read[1] = read[0] + size, read[1] + rows

    def at_work() -> Advance:
        return Advance(words=(f"{read[1]:,} documents", f"{read[0] / 1e6:,.0f} MB"))

    progress.start("inspect", "diff", 0, 0, at_work)
    try:
        texts = {f"text {number}": given for number, given in enumerate(text, start=1)} if text else None
        done = compare(first, second, examples, texts=texts, pattern=pattern, advance=advance)
    finally:
        progress.stop()
    if as_json:
        print_json(diff_values(done))
    else:
        console = output_console()
        coloured = console.color_system is not None and not console.no_color
        for lines in sections(done, console.width, coloured):
            print_lines(console, lines)
    raise typer.Exit(DIFFERENT if exit_code and done.differs else 0)


def diff_values(done: Comparison) -> dict[str, Any]:
    """The comparison as `inspect diff --json` prints it (docs/output.md)."""
    about = {
        "schema": SCHEMA,
        "what": done.what,
        "paths": [storage.absolute(path) for path in done.paths],
        "differs": done.differs,
        "manifests": asdict(done.manifests) if done.manifests else None,
    }
    detail = asdict(done.detail) if done.detail else {}
    if isinstance(done.detail, RunDiff):
        detail["next"] = done.detail.next
        for values, stage in zip(detail["stages"], done.detail.stages, strict=True):
            values["differs"] = stage.differs
    plain: dict[str, Any] = _plain(about | detail)
    return plain


def _plain(value: Any) -> Any:
    """A value in JSON's types; what JSON does not have (a date, bytes of a column) as its text."""
    if isinstance(value, dict):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)
