"""`corpusmill`: the list of commands, and the one place where errors become lines and exit codes.

Commands are imported when they are called. So is Typer (`root.py`): importing it takes longer than `--help` may take,
so the list of commands is printed without it (`listing.py`).

Exit codes: 0 done; 1 failed; 2 usage or a user's mistake; 3 finished, but more was quarantined than `--max-quarantine`
allows.
"""

import atexit
import os
import sys
from contextlib import suppress
from io import TextIOWrapper
from typing import Any

from corpusmill.dataproc.errors import UserError, is_caught, is_utf8
from corpusmill.pipelines.description import StageDescription
from corpusmill.pipelines.registry import descriptions

DONE, FAILED, USAGE, QUARANTINED = 0, 1, 2, 3

COMMANDS = {
    "quickstart": ("quickstart", "Turn text that every machine has into a small trained model."),
    "run": ("run", "Run a recipe: several stages from one YAML file."),
    "model": ("model", "Generate text with a trained model, measure it, convert it to Hugging Face's folders."),
    "inspect": ("inspect", "Inspect any folder made by corpusmill."),
    "report": ("report", "Write an HTML report on a run."),
    "status": ("status", "Show the progress of a run, live with --watch."),
    "doctor": ("doctor", "Check versions, cores, memory, disk, GPU, kernel cache and Ray."),
}
"""Commands that are not a stage's: the module of `corpusmill.pipelines.cli`, and the line in the list of commands."""

GROUPS = {
    "index": ("index", "Index a corpus, to de-duplicate later data against it."),
    "quality": ("quality", "Train a quality classifier; score documents, keep the good ones, grow seeds."),
    "search": ("search", "Index text, and find any string, or where a passage comes from."),
    "tokenizer": ("tokenizer", "Train a byte-level BPE tokenizer; encode, decode, report."),
}
"""Commands that have commands of their own, several stages' among them; the same way."""

FIRST = ("quickstart", "run")
"""Commands that are listed before the stages."""

ABOUT = (
    "Raw text to a trained model's first tokens.",
    "Example: corpusmill quickstart --output /tmp/quickstart",
)
"""What the program does, and an example: the head of its help."""


def __getattr__(name: str) -> Any:
    """`app`, the command line as Typer sees it, which takes a tenth of a second to import."""
    if name == "app":
        from corpusmill.pipelines.cli.root import app

        return app
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")


def command_names() -> list[str]:
    """All commands, in the order of the list."""
    stages = dict.fromkeys(_word(description) for description in descriptions() if _word(description))
    return [*FIRST, *stages, *(name for name in COMMANDS if name not in FIRST)]


def command_lines() -> list[tuple[str, str]]:
    """(command, what it does), in order."""
    return [(name, source[1]) for name in command_names() if (source := module_and_line(name))]


def _word(description: StageDescription) -> str:
    """The command, or group of commands, that a stage is listed under; "" for none."""
    return description.command[0] if description.command else ""


def module_and_line(name: str) -> tuple[str, str] | None:
    """The module with a command's `app_for`, and its line in the list; None for an unknown command."""
    if name in COMMANDS or name in GROUPS:
        module, line = (COMMANDS | GROUPS)[name]
        return f"corpusmill.pipelines.cli.{module}", line
    for description in descriptions():
        if description.command == (name,):
            return description.command_module or "corpusmill.pipelines.cli.stages", description.line
    return None


def main() -> None:
    """The entry point: runs a command and turns what it raises into a line and an exit code."""
    if isinstance(sys.stdout, TextIOWrapper):  # text of any script, also where the terminal's encoding has not got it
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        if sys.argv[1:] in (["--help"], ["-h"]):
            from corpusmill.pipelines.cli.listing import listing

            print(listing(ABOUT, command_lines()))
            raise SystemExit(0)  # as Typer ends
        from corpusmill.pipelines.cli.root import app, only_listing

        if not only_listing():
            from corpusmill.dataproc.stopping import catch_sigterm
            from corpusmill.pipelines import kernels
            from corpusmill.pipelines.guarded_streams import guard_streams

            catch_sigterm()
            guard_streams()
            kernels.configure()
        _require_utf8(sys.argv[1:])
        app(prog_name="corpusmill")  # usage errors, exit codes and Ctrl-C at a prompt are typer's to handle
    except UserError as error:
        _fail(str(error), USAGE)
    except BaseException as error:
        if not is_caught(error):  # Ctrl-C, and an exit that was asked for
            raise
        _fail_by(error)


def _require_utf8(arguments: list[str]) -> None:
    """Raises UserError for an argument that is not UTF-8: no plan or dataset could hold it."""
    for argument in arguments:
        if not is_utf8(argument):
            shown = argument.encode("utf-8", "backslashreplace").decode()
            raise UserError("this argument is not UTF-8", where=shown, hint="rename the file, or write it in UTF-8")


def _fail_by(error: BaseException) -> None:
    """Ends by the line of a failed stage, or of storage that failed; a bug by its traceback, without secrets.

    What tells them apart is imported only now: a list of commands should not wait for the engine.
    """
    from corpusmill.pipelines.engine.scheduler import StageFailed
    from corpusmill.pipelines.engine.worker import describe

    if isinstance(error, StageFailed):
        if error.trace:
            print(error.trace, file=sys.stderr)
        _fail(str(error), FAILED)
    described = describe(error)
    if not isinstance(error, OSError) or described.kind == "bug":
        print(described.traceback, file=sys.stderr, end="")
        sys.exit(FAILED)
    _fail(described.message, USAGE if described.kind == "user" else FAILED)


def run_process() -> None:
    """`main` as a whole process, which then ends without tearing native libraries down.

    Arrow's thread pools now and then abort the process in that, after all work is done and with exit code -6
    (apache/arrow issues 34314 and 50482). What Python itself has to do at exit is done; a bug's traceback is Python's.
    """
    try:
        main()
    except SystemExit as ended:
        if ended.code is not None and not isinstance(ended.code, int):
            raise
        code = ended.code or DONE
    else:
        code = DONE
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # closed by whoever read it
            stream.flush()
    os._exit(code)


def _fail(line: str, code: int) -> None:
    from corpusmill.pipelines.engine.messages import tell

    tell(f"corpusmill: {line}", level="error", event="error", exit_code=code)
    sys.exit(code)
