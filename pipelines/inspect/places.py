"""Recognises what a path is: a run, the folder of one stage, a folder of Parquet files, a part, a shard, a tokenizer.

And what it was made of: each manifest names its inputs, so that a model leads back to what was ingested (`chain`).
Only small files are read here: manifests, plans and listings.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from corpusmill.dataproc import storage
from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.side_tables import ENDING as SIDE_TABLE
from corpusmill.pipelines.datasets import SHARD_MAKERS
from corpusmill.pipelines.engine import state
from corpusmill.pipelines.engine.lineage import find_input
from corpusmill.pipelines.inspect.kinds import kind_of
from corpusmill.pipelines.registry import description_of, makes, stage_names

PARQUET, SHARD = (".parquet", SIDE_TABLE), ".arrow"

_PART = re.compile(r"part-(\d+)(?:_\d+)?\.parquet(?:\.side)?$")


@dataclass(frozen=True, kw_only=True)
class Place:
    """A path and what it is.

    Attributes:
        path: as given.
        what: run, dataset, tokenizer, shards, model, export, unfinished, parquet files, parquet file, shard, or what
            another stage makes; for what no stage made, the name of one of `kinds.KINDS`.
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
        return Place(path=path, what=makes(manifest["stage"]), manifest=manifest, plan=plan)
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
    if kind := kind_of(path, names):
        return Place(path=path, what=kind.what)
    what, hint = "not made by corpusmill, and not a format that inspect knows", "name a run or a stage's folder"
    raise UserError(what, where=path, hint=hint)


def run_stages(path: str) -> list[tuple[str, str]]:
    """(name, folder) of a run's stages in order; of the one stage when the path is a stage's folder."""
    place = recognise(path)
    if place.what == "run":
        return list(place.stages)
    if not place.plan and not place.manifest:
        raise UserError("neither a run nor a stage's folder", where=path, hint="name the output folder of a recipe")
    return [(folder_name(place.path), place.path)]


def folder_name(path: str) -> str:
    """The last name of a path, also where it is written as `.`."""
    return storage.absolute(path).rstrip("/").rsplit("/", 1)[-1]


def read_plan(folder: str) -> dict[str, Any]:
    """The plan of a stage's folder; empty where there is none."""
    path = storage.join(folder, state.STATE, "plan.json")
    return state.read_json(path) if storage.exists(path) else {}


@dataclass(frozen=True, kw_only=True)
class Link:
    """A stage's folder on the way back to raw files.

    Attributes:
        name: of the folder, as the stage that took it in writes it.
        place: what is there; None where it was moved or removed.
        note: what to know of it ("" if nothing): that it is not there, or was made again since.
        inputs: names of those that it was made of in turn, each of them a link of the chain: keys of it.
    """

    name: str
    place: Place | None
    note: str = ""
    inputs: Sequence[str] = ()

    @property
    def stage(self) -> str:
        return str(self.described.get("stage", ""))

    @property
    def described(self) -> Mapping[str, Any]:
        """The manifest, or the plan of a stage that is not finished."""
        return (self.place.manifest or self.place.plan) if self.place else {}


def chain(place: Place) -> dict[str, Link]:
    """The stages from a model, shards or a dataset back to what was ingested, by their paths, each before its inputs.

    A folder that is not there stands in it by its name, with a note; the way goes on with a dataset beside it that
    nothing else on the way was made of, if there is one: what was left of a run by somebody who needed the space.
    """
    links: dict[str, Link] = {}
    begun: set[str] = set()

    def visit(name: str, path: str, here: Place, note: str) -> str:
        begun.add(path)
        described = Link(name=name, place=here).described
        inputs = []
        for taken in _taken_in(described):
            located = find_input(path, taken, described["inputs"].get(taken, {}).get("manifest", ""))
            if not located:
                inputs.append(missing(path, taken))
            elif (below := storage.absolute(located.path)) not in begun:
                changed = "made again since it was read" if located.changed else ""
                inputs.append(visit(taken, below, recognise(below), changed))
            else:
                inputs.append(below)
        links[path] = Link(name=name, place=here, note=note, inputs=inputs)
        return path

    def missing(taker: str, name: str) -> str:
        if name in begun:
            return name
        begun.add(name)
        above = taker.rsplit("/", 1)[0]
        beside = [recognise(folder) for _, folder in _stages_below(above) if folder not in begun]
        datasets = [place for place in beside if place.what == "dataset"]
        nearest = datasets[-1:]  # stages below a folder are listed after those that they take in
        inputs = [visit(folder_name(place.path), place.path, place, "") for place in nearest]
        instead = f"; {links[inputs[0]].name} next to it was used instead" if inputs else ""
        links[name] = Link(name=name, place=None, note=f"not there: moved or removed{instead}", inputs=inputs)
        return name

    visit(folder_name(place.path), storage.absolute(place.path), place, "")
    return dict(reversed(links.items()))


def tokenizer_of_run(run: str) -> str | None:
    """The tokenizer folder that the shards of a training run were made with; None where it cannot be found."""
    if state.read_manifest(run) is None:
        return None
    links = chain(recognise(run))
    for path, link in links.items():
        written = link.described.get("settings", {}).get("tokenizer")
        if not written or link.described.get("stage") not in SHARD_MAKERS:
            continue
        beside = storage.join(storage.absolute(path).rsplit("/", 1)[0], written)
        for folder in (beside, written):  # a run may have been moved as a whole
            if storage.exists(storage.join(folder, "training.json")):
                return folder
    return None


def _taken_in(described: Mapping[str, Any]) -> list[str]:
    """The folders of shards or documents that a stage took in, as written; none for ingest, which takes raw files."""
    description, settings = description_of(described.get("stage", "")), described.get("settings", {})
    folders: list[str] = []
    for setting in description.reads if description else ("datasets",):
        named = settings.get(setting) or ()
        folders += [named] if isinstance(named, str) else named
    return folders


def part_number(path: str) -> int:
    """The number of a part: that of the task that wrote it, which in filter and dedup is that of the part it read."""
    match = _PART.search(path)
    return int(match[1]) if match else 1 << 62


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
    kinds = stage_names()
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
    written |= {storage.absolute(entry) for entry in written}
    others = set(plans) - {name}
    return {other for other in others if other in written or storage.absolute(storage.join(path, other)) in written}
