"""A stage run from Python: settings in, manifest out, with no command line, no output and no exit.

`pipelines/calls.py` has the functions that people call; this is what they all do. The stage runs by the same engine as
its command, in the same folder with the same bytes, so a call may go on with what a command began, and the other way
round. By default it runs in this process alone (`workers=1`), which works in a notebook and under a debugger; more are
spawned, and a script that asks for them needs `if __name__ == "__main__":` around its calls, as with `multiprocessing`.

Nothing is printed. What a command would say is logged as `corpusmill` at the level INFO.
"""

import logging
import os
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from corpusmill.dataproc.errors import UserError
from corpusmill.pipelines import kernels
from corpusmill.pipelines.description import Manifest
from corpusmill.pipelines.engine.progress import Advance
from corpusmill.pipelines.registry import require_description, stage_type

LOGGER = logging.getLogger("corpusmill")


class QuietProgress:
    """Logs what is said, and shows nothing of how far a phase is."""

    def start(
        self, stage: str, phase: str, total_bytes: int, done_bytes: int, at_work: Callable[[], Advance] = Advance
    ) -> None:
        LOGGER.info("%s: %s, %.1f MB", stage, phase, total_bytes / 1e6)

    def advance(self, *, count: int, documents: int) -> None:
        pass

    def stop(self) -> None:
        pass

    def say(self, line: str) -> None:
        LOGGER.info(line)


def call_stage(
    name: str,
    settings: Mapping[str, Any],
    output: str | os.PathLike[str],
    *,
    seed: int = 0,
    workers: int = 1,
    engine: str = "local",
    address: str | None = None,
    memory_per_worker: int = 0,
    overwrite: bool = False,
) -> Manifest:
    """Brings a stage to its manifest, or finds it done, and returns that.

    Args:
        name: as in recipes.
        settings: as in recipes; one string stands for a list of one, paths may be `Path`s, functions of yours may stand
            for their names.
        output: the folder to make.
        seed: of every draw.
        workers: processes; 1 is this one, 0 one for each core.
        engine: "local" or "ray".
        address: of a Ray cluster.
        memory_per_worker: bytes that a spawned worker may hold; 0 is an even share.
        overwrite: overwrite output that is already there.

    Raises:
        UserError: a mistake in settings, inputs or the output folder; nothing was begun, or what was done is kept.
        StageFailed: (`pipelines.engine.scheduler`) a task could not be done; a call like this one goes on from there.
    """
    kernels.configure()
    from corpusmill.pipelines.engine.executor import make_executor
    from corpusmill.pipelines.engine.stage import Session, run_stage
    from corpusmill.pipelines.engine.worker import describe
    from corpusmill.pipelines.options import RunOptions
    from corpusmill.pipelines.preflight import preflight
    from corpusmill.pipelines.recipe import NamedStage, Recipe, path_resolver
    from corpusmill.pipelines.settings import validate

    folder = os.fspath(output)
    options = RunOptions(
        engine=engine, address=address, workers=workers, memory_per_worker=memory_per_worker, overwrite=overwrite
    )
    made_of = stage_type(name)
    checked = validate(made_of.Settings, plain_settings(made_of.Settings, settings), name)
    stage = made_of(checked, seed=seed, resolve=path_resolver({}))
    recipe = Recipe(name=name, output=folder, seed=seed, stages=(NamedStage(name=name, folder=folder, stage=stage),))
    make = partial(make_executor, engine, workers=workers, address=address, memory_per_worker=memory_per_worker)
    try:
        preflight(recipe, options)
        with Session(make_executor=make, progress=QuietProgress(), overwrite=overwrite) as session:
            return run_stage(stage, folder, session).manifest
    except OSError as error:
        described = describe(error)
        if described.kind == "user":
            raise UserError(described.message) from error
        raise


def plain_settings(model: Any, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as a recipe would write them: paths and functions as strings, a single one as a list where the setting
    is a list; those that are None are left out."""
    plain = {}
    for name, value in settings.items():
        if value is None:
            continue
        written = _plain(value)
        field = model.model_fields.get(name)
        if isinstance(written, str | dict) and field is not None and str(field.annotation).startswith("tuple"):
            written = [written]
        plain[name] = written
    return plain


def _plain(value: Any) -> Any:
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if callable(value):
        from corpusmill.dataproc.measures.functions import name_of

        return name_of(value)
    if isinstance(value, Mapping):
        return {_plain(key): _plain(item) for key, item in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, str | bytes):
        return [_plain(item) for item in value]
    return value


def stage_of(function: str) -> str:
    """The stage that a function of `pipelines.calls` runs: `quality_train` is quality-train, `import_` is import."""
    return function.rstrip("_").replace("_", "-")


def positional_of(stage: str) -> str:
    """The setting that may be given without its name, first; "" for none."""
    fields = stage_type(stage).Settings.model_fields
    return next((name for name in require_description(stage).positional if name in fields), "")
