"""What can be known before the first stage of a run: whether everything is there that some later stage will ask for.

A run that is to take hours should not end in its last stage for a library that is not installed, a tokenizer whose path
has a typing error, a model larger than the machine, or a folder that cannot be written to. Nothing is read here but
names, manifests and free space; nothing is written.
"""

import os
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

from corpusmill.dataproc import storage
from corpusmill.dataproc.errors import UserError
from corpusmill.pipelines.engine import state
from corpusmill.pipelines.engine.executor import choose_engine, cluster_address
from corpusmill.pipelines.engine.stage import Stage
from corpusmill.pipelines.options import RunOptions
from corpusmill.pipelines.recipe import NamedStage, Recipe
from corpusmill.pipelines.registry import require_description
from corpusmill.pipelines.shared_paths import require_lasting, require_shared, shared_only

REPORT_MODULES = (("jinja2", "report"), ("matplotlib", "report"))


def preflight(recipe: Recipe, options: RunOptions) -> list[str]:
    """Checks a run before it begins; gives lines to warn with.

    Stages that are finished are not asked. The first one looks at its files as soon as it begins, so its files are left
    to it; on Ray, memory is the workers', of which the driver's says nothing.

    Raises:
        UserError: the first thing that would stop the run, with the stage's name.
    """
    if storage.is_url(recipe.output):
        storage.require_bucket(recipe.output)  # the first request: what stops it stops all others
    _require_same_everywhere(recipe, options)
    waiting = [named for named in recipe.stages if options.overwrite or not _is_finished(named)]
    for named in waiting:
        named.stage.check()
        named.stage.check_output(named.folder)
    local = choose_engine(options.engine, options.address) != "ray"
    _require_modules(waiting, local)
    made = {storage.absolute(named.folder) for named in recipe.stages}
    for number, named in enumerate(waiting):
        _require_inputs(named, made)
        if number:
            named.stage.require_files(lambda path: storage.absolute(path) in made)
        if local and not (options.dry_run and named.stage.is_planned_elsewhere()):
            named.stage.require_memory()
    _require_writable(recipe.output)
    missing = _missing(REPORT_MODULES) if len(recipe.stages) > 1 else []
    return [f"there will be no report; to get one: {_install(missing)}"] if missing else []


def _require_same_everywhere(recipe: Recipe, options: RunOptions) -> None:
    """Raises UserError for paths that nodes would not have in common, or that a job loses; from here on, for those that
    stages resolve as well."""
    for named in recipe.stages:
        require_lasting(named.folder)
    if choose_engine(options.engine, options.address) != "ray" or not cluster_address(options.address):
        return
    for named in recipe.stages:
        require_shared(named.folder)
        named.stage.resolve = shared_only(named.stage.resolve)
        for path in named_inputs(named.stage):
            require_shared(path)


def _is_finished(named: NamedStage) -> bool:
    return storage.exists(storage.join(named.folder, state.MANIFEST))


def _require_modules(waiting: Sequence[NamedStage], local: bool) -> None:
    """Raises UserError that names every missing module at once, and the one command that brings them all."""
    missing: dict[tuple[str, str], str] = {}
    for named in waiting:
        for need in _missing(named.stage.needs()):
            missing.setdefault(need, named.name)
    if not local:
        missing |= dict.fromkeys(_missing((("ray", "ray"),)), "the Ray engine")
    if missing:
        what = ", ".join(f"'{module}' (for {user})" for (module, _), user in missing.items())
        raise UserError(f"these Python modules are needed and not installed: {what}", hint=_install(list(missing)))


def _missing(needs: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(module, extra) for module, extra in needs if find_spec(module) is None]


def _install(needs: Sequence[tuple[str, str]]) -> str:
    return f"pip install 'corpusmill[{','.join(sorted({extra for _, extra in needs}))}]'"


def _require_inputs(named: NamedStage, made: set[str]) -> None:
    """Raises UserError for a folder or file that the stage takes in, which is neither there nor made by the run."""
    for path in named_inputs(named.stage):
        if storage.absolute(path) not in made and not storage.exists(path):
            if storage.is_url(path):
                storage.require_bucket(path)
            raise UserError("no such folder", where=path, hint=f"the stage '{named.name}' needs it")


def named_inputs(stage: Stage) -> Iterator[str]:
    """The folders (and models in one file) that a stage's settings name, opened as it would open them."""
    description = require_description(stage.name)
    for setting in (*description.reads, *description.uses):
        value = getattr(stage.settings, setting) or ()
        yield from map(stage.resolve, [value] if isinstance(value, str) else value)


def _require_writable(output: str) -> None:
    """Raises UserError for an output folder that cannot be made or written to; a URL needs a file system for it."""
    if storage.is_url(output):
        return
    place = Path(storage.absolute(output))
    while not place.exists():
        place = place.parent
    if not place.is_dir():
        raise UserError(
            "this is a file, and the output would lie below it", where=str(place), hint="use another output"
        )
    if not os.access(place, os.W_OK | os.X_OK):
        raise UserError("this folder cannot be written to", where=str(place), hint="use another output")
