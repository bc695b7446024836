"""Stages as functions: `from corpusmill.pipelines.calls import dedup`; `dedup("clean", output="unique")`.

One function for each stage of the registry, those of other packages included, made when it is asked for. Its arguments
are the stage's settings, by the names that recipes and flags have; the first may be given without its name where the
command takes it without a flag. Then come `output` and how to run: see `pipelines/calling.py`, which also says what is
raised. A name with a hyphen has an underscore here, and `import`, a word of Python's, is `import_`.

Type checkers and editors read `calls.pyi`, which `pipelines/call_types.py` makes from the same models.
"""

from collections.abc import Callable
from keyword import iskeyword
from typing import Any

from corpusmill.dataproc.errors import UserError
from corpusmill.pipelines.calling import call_stage, positional_of, stage_of
from corpusmill.pipelines.description import Manifest
from corpusmill.pipelines.registry import require_description, stage_names

RUN = ("seed", "workers", "engine", "address", "memory_per_worker", "overwrite")
"""Arguments that say how to run."""


def __getattr__(name: str) -> Any:
    stage = stage_of(name)
    if name.startswith("_") or stage not in stage_names():
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    function = globals()[name] = _function(name, stage)
    return function


def __dir__() -> list[str]:
    return sorted(function_name(stage) for stage in stage_names())


def function_name(stage: str) -> str:
    """What a stage's function is called."""
    name = stage.replace("-", "_")
    return f"{name}_" if iskeyword(name) else name


def _function(name: str, stage: str) -> Callable[..., Manifest]:
    first = positional_of(stage)

    def function(*inputs: Any, output: Any, **settings: Any) -> Manifest:
        if len(inputs) > 1 or (inputs and (not first or first in settings)):
            hint = f"give {first} once, several as a list" if first else "give all settings by their names"
            raise UserError(f"{len(inputs)} settings were given without a name", where=name, hint=hint)
        given = {first: inputs[0]} if inputs else {}
        options = {option: settings.pop(option) for option in RUN if option in settings}
        return call_stage(stage, given | settings, output, **options)

    function.__name__ = function.__qualname__ = name
    function.__module__ = __name__
    function.__doc__ = require_description(stage).help
    return function
