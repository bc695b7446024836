"""The stages by name: one line each, and those that other packages bring by the entry point `corpusmill.stages`.

Descriptions are imported one by one, when they are asked for. An entry point names a `StageDescription`
("my_package.about:DESCRIPTION") and is called what the stage is called; our own names cannot be taken.
"""

from functools import cache
from typing import TYPE_CHECKING

from corpusmill.dataproc.entry_points import points_of
from corpusmill.dataproc.errors import UserError, suggest
from corpusmill.pipelines.description import StageDescription, load

if TYPE_CHECKING:  # pydantic behind it takes longer than all descriptions together
    from importlib.metadata import EntryPoint

    from corpusmill.pipelines.engine.stage import Stage

STAGES = {
    "ingest": "ingest.about:INGEST",
    "filter": "filter.about:FILTER",
    "dedup": "dedup.about:DEDUP",
    "index": "index.about:INDEX",
    "query": "index.about:QUERY",
    "merge": "index.about:MERGE",
    "search": "search.about:SEARCH",
    "spans": "spans.about:SPANS",
    "decontaminate": "decontaminate.about:DECONTAMINATE",
    "mixture": "mixture.about:MIXTURE",
    "quality-train": "quality_train.about:QUALITY_TRAIN",
    "quality-score": "quality_score.about:QUALITY_SCORE",
    "quality-keep": "quality_keep.about:QUALITY_KEEP",
    "quality-domains": "quality_domains.about:QUALITY_DOMAINS",
    "quality-seeds": "quality_domains.about:QUALITY_SEEDS",
    "count": "tokenizer.about:COUNT",
    "tokenizer": "tokenizer.about:TOKENIZER",
    "pack": "pack.about:PACK",
    "export": "export.about:EXPORT",
    "import": "import_tokens.about:IMPORT",
    "train": "train.about:TRAIN",
    "reward": "reward.about:REWARD",
    "grpo": "grpo.about:GRPO",
}
"""Where each stage describes itself, below `corpusmill.pipelines.stages`, in the order in which people meet them."""

ENTRY_POINTS = "corpusmill.stages"


@cache
def foreign_stages() -> dict[str, "EntryPoint"]:
    """Stages of other packages that are installed, by name."""
    return {point.name: point for point in points_of(ENTRY_POINTS) if point.name not in STAGES}


def stage_names() -> list[str]:
    """Names of all stages, those of other packages last."""
    return [*STAGES, *foreign_stages()]


@cache
def description_of(name: str) -> StageDescription | None:
    """What a stage says of itself; None for a name that is not a stage's here.

    Raises UserError where another package's entry point does not lead to a description.
    """
    if name in STAGES:
        description: StageDescription = load(f"corpusmill.pipelines.stages.{STAGES[name]}")
        return description
    point = foreign_stages().get(name)
    if point is None:
        return None
    try:
        foreign = point.load()
    except Exception as error:  # another package's code: whatever it raises, the line names it
        raise _not_a_stage(point, f"the function could not be loaded ({type(error).__name__}: {error})") from error
    if not isinstance(foreign, StageDescription) or foreign.name != name:
        raise _not_a_stage(point, f"it is not a StageDescription named '{name}'")
    return foreign


def require_description(name: str) -> StageDescription:
    """What a stage says of itself. Raises UserError for an unknown name."""
    description = description_of(name)
    if description is None:
        raise UserError(f"unknown stage '{name}'", hint=suggest(name, stage_names()))
    return description


def descriptions() -> list[StageDescription]:
    """All stages that are ours or installed, in order."""
    return [description for name in stage_names() if (description := description_of(name))]


def recipe_stages() -> list[str]:
    """Names that a recipe may use."""
    return [description.name for description in descriptions() if description.in_recipes]


def stage_type(name: str) -> "type[Stage]":
    """The class of a stage. Raises UserError for an unknown name."""
    made: type[Stage] = load(require_description(name).plan)
    return made


def makes(stage: str) -> str:
    """What a stage's folder is called; "folder" for a stage that is not known here."""
    description = description_of(stage)
    return description.makes if description else "folder"


def _not_a_stage(point: "EntryPoint", what: str) -> UserError:
    where = f"entry point {point.name} = {point.value} of {ENTRY_POINTS}"
    return UserError(what, where=where, hint="fix or uninstall the package that provides it")
