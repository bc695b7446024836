"""`corpusmill`: the list of commands, and the one place where errors become lines and exit codes.

Commands are imported when they are called, so that `--help` answers at once. Exit codes: 0 done; 1 failed; 2 usage or
a user's mistake; 3 finished, but more was quarantined than `--max-quarantine` allows.
"""

import atexit
import os
import sys
from contextlib import suppress
from importlib import import_module
from io import TextIOWrapper
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

from corpusmill.dataproc.errors import UserError, is_caught, is_utf8
from corpusmill.pipelines.cli.apps import command_app, group_app, words_to_complete
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


class LazyGroup(TyperGroup):
    """Knows all commands by name and one line, and imports the module of the one that is called."""

    def list_commands(self, ctx: Any) -> list[str]:
        stages = dict.fromkeys(_word(description) for description in descriptions() if _word(description))
        return [*FIRST, *stages, *(name for name in COMMANDS if name not in FIRST)]

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """The whole line of each command, over several lines in a narrow terminal."""
        rows = [(name, source[1]) for name in self.list_commands(ctx) if (source := _module_and_line(name))]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def get_command(self, ctx: Any, name: str) -> Any:
        command_source = _module_and_line(name)
        if command_source is None:
            return None
        module, line = command_source
        if _only_listing(name):
            command = get_command(_stub(line))
        else:
            command = get_command(import_module(module).app_for(name))
        command.name = name
        return command


def _word(description: StageDescription) -> str:
    """The command, or group of commands, that a stage is listed under; "" for none."""
    return description.command[0] if description.command else ""


def _module_and_line(name: str) -> tuple[str, str] | None:
    """The module with a command's `app_for`, and its line in the list; None for an unknown command."""
    if name in COMMANDS or name in GROUPS:
        module, line = (COMMANDS | GROUPS)[name]
        return f"corpusmill.pipelines.cli.{module}", line
    for description in descriptions():
        if description.command == (name,):
            return description.command_module or "corpusmill.pipelines.cli.stages", description.line
    return None


def _stub(line: str) -> typer.Typer:
    """A command that is only listed."""
    return command_app(lambda: None, line)


def _only_listing(name: str = "") -> bool:
    """Whether the call is for the list of commands, which needs none of them: as help, or for a shell to complete.

    A shell that completes what follows a command's name needs that command.
    """
    typed = words_to_complete()
    if typed:
        return name not in typed[1:]
    return len(sys.argv) < 2 or sys.argv[1] in ("--help", "-h", "--version")


app = group_app(
    "Raw text to a trained model's first tokens.\n\nExample: corpusmill quickstart --output /tmp/quickstart",
    LazyGroup,
    completion=True,
)


def _print_version(asked: bool) -> None:
    if asked:
        from corpusmill.pipelines.engine.manifest import our_version

        print(f"corpusmill {our_version()}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="print the version", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """Holds the group's help."""


def main() -> None:
    """The entry point: runs a command and turns what it raises into a line and an exit code."""
    if isinstance(sys.stdout, TextIOWrapper):  # text of any script, also where the terminal's encoding has not got it
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        if not _only_listing():
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
