"""Recipes: YAML that names stages and their settings, checked by the very models that make the flags.

    name: quickstart
    output: quickstart-output
    seed: 1
    stages:
      documents:              # the folder below the output, and the name by which later stages take it as input
        stage: ingest         # the kind of stage; may be left out where the name says it
        inputs: [...]
        resources: {memory: 8GiB}   # of a Ray cluster's node, for each task; may be left out

A value that is the name of an earlier stage means that stage's folder; other relative paths are taken from where the
command runs. `${stdlib}` and `${site-packages}` stand for the running Python's own library folders.
"""

import sysconfig
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from corpusmill.dataproc import storage
from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.urls import mask_text
from corpusmill.pipelines.engine.reserved import Reserved, read_reserved
from corpusmill.pipelines.engine.stage import Stage
from corpusmill.pipelines.quarantine import DEFAULT, QuarantineLimit, read_limit
from corpusmill.pipelines.registry import recipe_stages, stage_type
from corpusmill.pipelines.settings import validate
from corpusmill.pipelines.yaml_text import dump_yaml, load_yaml

KEPT = "report/recipe.yaml"
"""What a run's folder keeps its recipe as."""


RESOURCES = "resources"
OF_THE_RUN = ("stage", RESOURCES)
"""Keys of a stage that are no settings of it: what it is, and what its tasks reserve of a cluster's nodes."""


class RecipeFile(BaseModel):
    """The top level of a recipe."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(description="for people")
    description: str = Field(default="", description="for people")
    output: str = Field(description="output folder, which holds a folder per stage", min_length=1)
    seed: int = Field(default=0, description="seed of every draw in the run", ge=0)
    max_quarantine: str | int | float = Field(
        default=DEFAULT, description="exit with 3 if a stage quarantines more: a count, or a share as in 0.5%"
    )
    core_hour_price: float | None = Field(
        default=None, description="dollars a core-hour, by which the report says what a run cost", ge=0
    )
    stages: dict[str, dict[str, Any]] = Field(description="stages in order, by name", min_length=1)


@dataclass(frozen=True, kw_only=True)
class NamedStage:
    """A stage of a recipe, the folder it fills, and what its tasks reserve of a cluster's nodes."""

    name: str
    folder: str
    stage: Stage
    reserved: Reserved = field(default_factory=Reserved)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A recipe that was read and checked.

    Attributes:
        core_hour_price: dollars, for the report; None for none.
        text: the recipe as it is run, in YAML, with what `--set` and `--output` changed; "" for a single command.
    """

    name: str
    output: str
    seed: int
    stages: tuple[NamedStage, ...]
    max_quarantine: QuarantineLimit = field(default_factory=lambda: read_limit(DEFAULT))
    core_hour_price: float | None = None
    text: str = ""


def load_recipe(path: str, *, changes: Sequence[str] = (), output: str | None = None) -> Recipe:
    """Reads a recipe file.

    Args:
        path: the YAML file.
        changes: `stage.key=value` (or `seed=value`), the value in YAML.
        output: instead of the recipe's own.

    Raises UserError for anything invalid, naming the key.
    """
    raw = _read_yaml(path)
    for change in changes:
        _apply(raw, change)
    if output:
        raw["output"] = output
    file: RecipeFile = validate(RecipeFile, raw, path)
    folders = {name: storage.join(file.output, name) for name in file.stages}
    stages: list[NamedStage] = []
    for name, values in file.stages.items():
        known = {stage.name: folders[stage.name] for stage in stages}
        stages.append(_build(name, values, folders[name], file.seed, path, known))
    limit = read_limit(file.max_quarantine, f"{path}: max_quarantine")
    return Recipe(
        name=file.name,
        output=file.output,
        seed=file.seed,
        stages=tuple(stages),
        max_quarantine=limit,
        core_hour_price=file.core_hour_price,
        text=_written(raw),
    )


def _build(
    name: str, values: Mapping[str, Any], folder: str, seed: int, path: str, known: Mapping[str, str]
) -> NamedStage:
    if "/" in name or name.startswith((".", "_")) or name in ("", "report"):
        hint = "use another name; it becomes a folder next to report/"
        raise UserError("this cannot be a stage's name", where=f"{path}: stages.{name}", hint=hint)
    kind = values.get("stage", name)
    if not isinstance(kind, str) or kind not in recipe_stages():
        hint = f"name one with 'stage:'; the stages are {', '.join(recipe_stages())}"
        raise UserError(f"no stage '{kind}'", where=f"{path}: stages.{name}", hint=hint)
    made_of = stage_type(kind)
    settings = validate(made_of.Settings, {k: v for k, v in values.items() if k not in OF_THE_RUN}, f"{path}: {name}")
    resources = values.get(RESOURCES, {})
    if not isinstance(resources, dict):
        raise UserError("this is not a mapping", where=f"{path}: {name}.{RESOURCES}", hint="as in {memory: 8GiB}")
    reserved = read_reserved(resources, f"{path}: {name}.{RESOURCES}")
    stage = made_of(settings, seed=seed, resolve=path_resolver(known))
    return NamedStage(name=name, folder=folder, stage=stage, reserved=reserved)


def path_resolver(known: Mapping[str, str]) -> Callable[[str], str]:
    """Turns a path as written into one to open: names of stages into their folders, variables into this Python's."""
    variables = {
        "${stdlib}": sysconfig.get_paths()["stdlib"],
        "${site-packages}": sysconfig.get_paths()["purelib"],
    }

    def resolve(written: str) -> str:
        if written in known:
            return known[written]
        for variable, value in variables.items():
            written = written.replace(variable, value)
        return written

    return resolve


def _read_yaml(path: str) -> dict[str, Any]:
    raw = load_yaml(storage.read_bytes(path), path)
    if not isinstance(raw, dict):
        raise UserError("a recipe is a mapping with name, output and stages", where=path)
    return raw


def keep_recipe(recipe: Recipe) -> None:
    """Writes the recipe into the run's folder, where it says what was run last."""
    if recipe.text:
        path = storage.join(recipe.output, KEPT)
        if not storage.exists(path) or storage.read_bytes(path) != recipe.text.encode():
            storage.commit_bytes(path, recipe.text.encode())


def kept_price(run: str) -> float | None:
    """The price of a core-hour by the recipe that a run's folder keeps; None where there is none."""
    price = _kept(run).get("core_hour_price")
    return float(price) if isinstance(price, int | float) and price >= 0 else None


def kept_name(run: str) -> str:
    """What the recipe that a run's folder keeps calls the run; "" where there is none."""
    name = _kept(run).get("name")
    return name if isinstance(name, str) else ""


def _kept(run: str) -> Mapping[str, Any]:
    path = storage.join(run, KEPT)
    return _read_yaml(path) if storage.exists(path) else {}


def _written(raw: Mapping[str, Any]) -> str:
    head = "# The recipe of this run, with what --set and --output changed; secrets in URLs are masked.\n"
    return head + mask_text(dump_yaml(dict(raw), width=120))


def _apply(raw: dict[str, Any], change: str) -> None:
    key, equals, text = change.partition("=")
    if not equals:
        raise UserError(f"'{change}' is not KEY=VALUE", where="--set")
    names = key.split(".")
    target: Any = raw if names[0] in RecipeFile.model_fields else raw.get("stages", {})
    for name in names[:-1]:
        if not isinstance(target, dict) or name not in target:
            raise UserError(f"no stage or key '{name}' in this recipe", where=f"--set {key}")
        target = target[name]
    if not isinstance(target, dict):
        raise UserError("this is not a mapping", where=f"--set {key}")
    target[names[-1]] = load_yaml(text, f"--set {key}")
