"""What a path is: a run, the folder of one stage, a loose folder of Parquet files, one part, one shard, a tokenizer.

Only small files are read here: manifests, plans and listings.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dataproc import storage
from dataproc.errors import UserError
from pipelines.engine import state
from pipelines.stages import STAGES

MAKES = {
    "ingest": "dataset",
    "filter": "dataset",
    "dedup": "dataset",
    "tokenizer": "tokenizer",
    "pack": "shards",
    "train": "model",
}
"""What each stage's folder is called when people speak of it."""

PARQUET, SHARD = ".parquet", ".arrow"


@dataclass(frozen=True, kw_only=True)
class Place:
    """A path and what it is.

    Attributes:
        path: as given.
        what: run, dataset, tokenizer, shards, model, unfinished, parquet files, parquet file or shard.
        manifest: of a finished stage's folder.
        plan: of a stage's folder, finished or not.
        stages: (name, folder) of a run's stages, each after those that it takes in.
    """

    path: str
    what: str
    manifest: Mapping[str, Any] = field(default_factory=dict)
    plan: Mapping[str, Any] = field(default_factory=dict)
    stages: Sequence[tuple[str, str]] = ()


def recognise(path: str) -> Place:
    """What a path is. Raises UserError for one that is not there or not ours."""
    path = path.rstrip("/") or "/"
    if not storage.exists(path):
        raise UserError("no such file or folder", where=path)
    if path.endswith(PARQUET) and not storage.list_names(path):
        return Place(path=path, what="parquet file")
    if path.endswith(SHARD):
        return Place(path=path, what="shard")
    manifest, plan = state.read_manifest(path), read_plan(path)
    if manifest is not None:
        return Place(path=path, what=MAKES.get(manifest["stage"], "folder"), manifest=manifest, plan=plan)
    if plan:
        return Place(path=path, what="unfinished", plan=plan)
    stages = _stages_below(path)
    if stages:
        return Place(path=path, what="run", stages=stages)
    names = storage.list_names(path)
    if {"tokenizer.json", "training.json"} <= set(names):
        return Place(path=path, what="tokenizer")
    if any(name.endswith(PARQUET) for name in names):
        return Place(path=path, what="parquet files")
    raise UserError("not made by corpusmill", where=path, mend="name a run, a stage's folder, a part or a shard")


def run_stages(path: str) -> list[tuple[str, str]]:
    """(name, folder) of a run's stages in order; of the one stage when the path is a stage's folder."""
    place = recognise(path)
    if place.what == "run":
        return list(place.stages)
    if not place.plan and not place.manifest:
        raise UserError("neither a run nor a stage's folder", where=path, mend="name the output folder of a recipe")
    return [(folder_name(place.path), place.path)]


def folder_name(path: str) -> str:
    """The last name of a path, also where it is written as `.`."""
    return storage.absolute(path).rstrip("/").rsplit("/", 1)[-1]


def read_plan(folder: str) -> dict[str, Any]:
    """The plan of a stage's folder; empty where there is none."""
    path = storage.join(folder, state.STATE, "plan.json")
    return state.read_json(path) if storage.exists(path) else {}


def _stages_below(path: str) -> list[tuple[str, str]]:
    plans = {}
    for name in storage.list_names(path):
        folder = storage.join(path, name)
        plan = read_plan(folder) or state.read_manifest(folder)
        if plan:
            plans[name] = plan
    return [(name, storage.join(path, name)) for name in _in_order(path, plans)]


def _in_order(path: str, plans: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Stages after those that they take in; otherwise in the order of the stages' list, then by name."""
    kinds = list(STAGES)
    left = sorted(plans, key=lambda name: (_position(kinds, plans[name]["stage"]), name))
    taken = {name: _taken(path, name, plans) for name in left}
    ordered: list[str] = []
    while left:
        ready = [name for name in left if taken[name] <= set(ordered)] or left
        ordered.append(ready[0])
        left.remove(ready[0])
    return ordered


def _position(kinds: Sequence[str], stage: str) -> int:
    return kinds.index(stage) if stage in kinds else len(kinds)


def _taken(path: str, name: str, plans: Mapping[str, Mapping[str, Any]]) -> set[str]:
    """The stages of the run that a stage takes in: named as in a recipe, or by their path."""
    written = set(plans[name]["inputs"])
    written |= {storage.absolute(each) for each in written}
    others = set(plans) - {name}
    return {other for other in others if other in written or storage.absolute(storage.join(path, other)) in written}
