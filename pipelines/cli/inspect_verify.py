"""`corpusmill inspect verify`: every byte against what the manifest says."""

from typing import Annotated

import typer

from corpusmill.pipelines.inspect.places import recognise
from corpusmill.pipelines.inspect.verify import verify
from corpusmill.pipelines.summary import print_json
from corpusmill.pipelines.terminal import output_console, print_sentence
from corpusmill.pipelines.visible import one_line

SCHEMA = 1
"""Of the JSON: raised when a key changes its meaning or goes; new keys may come."""


def verify_command(
    path: Annotated[
        str, typer.Argument(help="a run, a stage, a part, a shard, a checkpoint or an index", metavar="PATH")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="as JSON lines, an object a folder")] = False,
) -> None:
    """Check every byte against the manifest: digests, row counts, shards, and that no document was lost.

    A shard set is also checked as a whole: its segments must cover every document exactly once, and no document may
    be both held back and trained on. Of a training run, finished or not, its checkpoints are read, too: every tensor
    against its digest. Of a de-duplication index its list and each of its segments are checked.

    Prints one line per problem and exits with 1 if there are any.

    Example: corpusmill inspect verify quickstart-output
    """
    console = output_console()
    failed = False
    for done in verify(recognise(path)):
        failed |= bool(done.problems)
        if as_json:
            problems = [{"path": where, "what": what} for where, what in done.problems]
            sizes = {"files": done.files, "bytes": done.bytes, "rows": done.rows}
            about = {"schema": SCHEMA, "name": done.name, "path": done.path}
            print_json(about | {"problems": problems} | sizes, indent=None)
            continue
        for where, what in done.problems:
            print_sentence(console, f"BAD  {one_line(where)}: {one_line(what)}")
        if not done.problems:
            checked = f"{done.files:,} files, {done.bytes / 1e6:,.1f} MB, {done.rows:,} rows"
            print_sentence(console, f"ok   {one_line(done.name)}: {checked}")
    raise typer.Exit(1 if failed else 0)
