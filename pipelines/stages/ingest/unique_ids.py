"""Ids that stand more than once in an ingest: found when all parts are there, and made unique, or refused.

    layout    the paths of all parts, in a file of intermediate work, since a task's arguments are kept for each of them
    hashes    parts that follow each other → the hash of each id, shuffled by ranges of hashes
    ids       range of hashes → which ids occur more than once, and where; new ids, in a file of intermediate work
    rename    part → the part again, with the new ids

`dataproc/ids.py` has the rule. Up to 8 million ids need neither `layout` nor `hashes`. A dataset without such an id, as
nearly all are, pays for one look at its ids and is not written again. A part that is renamed twice, since a run was
killed, comes out the same: ids go by their rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.dataproc import storage
from corpusmill.dataproc.datasets import ONE_PART_A_FILE, PartWriter, read_batches, write_table
from corpusmill.dataproc.documents import SCHEMA
from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.ids import (
    count_ranges,
    find_repeated,
    group_parts,
    new_ids,
    read_id_hashes,
    repeated_places,
    write_id_hashes,
)
from corpusmill.pipelines.engine import state
from corpusmill.pipelines.engine.stage import StageRun
from corpusmill.pipelines.engine.task import Task
from corpusmill.pipelines.engine.worker import TaskContext

HERE = "corpusmill.pipelines.stages.ingest.unique_ids"
PLACES_FOLDER = "repeated-ids"
LAYOUT = "layout.parquet"
MOST_NAMED = 3


@dataclass(frozen=True, kw_only=True)
class PathsWork:
    """The paths of all parts."""

    paths: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class HashWork:
    """Parts of the layout, `first` and those after it before `last`; their ids go to so many ranges of hashes."""

    first: int
    last: int
    ranges: int


@dataclass(frozen=True, kw_only=True)
class RangeWork:
    """A range of hashes, `number`, of the ids that so many groups of parts have."""

    number: int
    groups: int


@dataclass(frozen=True, kw_only=True)
class RenameWork:
    """A part, and the files in which its new ids are; `tildes` to write before their numbers."""

    path: str
    part: int
    places: tuple[str, ...]
    tildes: int


def make_ids_unique(
    run: StageRun, parts: list[dict[str, Any]], *, refuse: bool
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The parts with unique ids, and what was found ({} if they were unique).

    Raises:
        UserError: an id stands more than once, and `refuse`.
    """
    if not parts:
        return parts, {}
    paths = tuple(part["path"] for part in parts)
    results = _find(run, paths, [part["rows"] for part in parts])
    ids, documents = (sum(result[name] for result in results) for name in ("ids", "documents"))
    if not ids:
        return parts, {}
    named = ", ".join(f"'{name}'" for name in [name for result in results for name in result["named"]][:MOST_NAMED])
    what = f"{ids:,} ids occur more than once, in {documents:,} documents (among them {named})"
    if refuse:
        hint = "use an --id-field with unique values, or pass --duplicate-ids unique"
        raise UserError(what, where=run.folder, hint=hint)
    tildes = 1 + max(result["tildes"] for result in results)
    run.say(f"{what}; each but the first is now called <id>{'~' * tildes}<number>")
    renamed = _rename(run, paths, results, tildes)
    facts = {"ids": ids, "documents": documents, "renamed": documents - ids, "suffix": "~" * tildes}
    return [entry | renamed.get(entry["path"], {}) for entry in parts], facts


def _find(run: StageRun, paths: tuple[str, ...], rows: Sequence[int]) -> list[dict[str, Any]]:
    """What `find_range` says of each range of hashes, or `find_all` of all ids at once."""
    ranges = count_ranges(sum(rows))
    if ranges == 1:
        work = PathsWork(paths=paths)
        return run.map("ids", [Task(id="range-00000", function=f"{HERE}:find_all", arguments=work, bytes=0)])
    layout = Task(id="layout", function=f"{HERE}:write_layout", arguments=PathsWork(paths=paths), bytes=0)
    run.map("layout", [layout])
    groups = group_parts(rows)
    hashing = [
        Task(
            id=f"group-{number:05d}",
            function=f"{HERE}:hash_group",
            arguments=HashWork(first=group.start, last=group.stop, ranges=ranges),
            bytes=0,
        )
        for number, group in enumerate(groups)
    ]
    tildes = max(result["tildes"] for result in run.map("hashes", hashing))
    finding = [
        Task(
            id=f"range-{number:05d}",
            function=f"{HERE}:find_range",
            arguments=RangeWork(number=number, groups=len(groups)),
            bytes=0,
        )
        for number in range(ranges)
    ]
    return [result | {"tildes": tildes} for result in run.map("ids", finding)]


def _rename(
    run: StageRun, paths: Sequence[str], results: Sequence[dict[str, Any]], tildes: int
) -> dict[str, dict[str, Any]]:
    concerned = sorted({part for result in results for part in result["parts"]})
    tasks = []
    for part in concerned:
        places = tuple(result["places"] for result in results if part in result["parts"])
        work = RenameWork(path=paths[part], part=part, places=places, tildes=tildes)
        tasks.append(Task(id=f"part-{part:05d}", function=f"{HERE}:rename_part", arguments=work, bytes=0))
    return {result["entry"]["path"]: result["entry"] for result in run.map("rename", tasks)}


def write_layout(task: TaskContext[PathsWork]) -> dict[str, Any]:
    """Phase `layout`: the paths of all parts, as a table."""
    paths = task.arguments.paths
    write_table(_work_path(task, LAYOUT), pa.table({"path": paths}))
    return {"parts": len(paths)}


def hash_group(task: TaskContext[HashWork]) -> dict[str, Any]:
    """Phase `hashes`: the shuffle file of a group of parts."""
    work, paths = task.arguments, _layout(task)
    parts = ((part, task.path(paths[part])) for part in range(work.first, work.last))
    return {"tildes": write_id_hashes(_work_path(task, f"{task.id}.arrow"), parts, work.ranges)}


def find_all(task: TaskContext[PathsWork]) -> dict[str, Any]:
    """Phase `ids`, where the ids of all parts are few: those that stand more than once."""
    repeated = find_repeated([task.path(path) for path in task.arguments.paths])
    return _written(task, repeated.places) | {"tildes": repeated.tildes}


def find_range(task: TaskContext[RangeWork]) -> dict[str, Any]:
    """Phase `ids`: the ids of a range that stand more than once."""
    work = task.arguments
    files = [_work_path(task, f"group-{number:05d}.arrow") for number in range(work.groups)]
    keys, addresses = read_id_hashes(files, work.number)
    return _written(task, repeated_places(keys, addresses, [task.path(path) for path in _layout(task)]))


def _written(task: TaskContext[Any], places: pa.Table) -> dict[str, Any]:
    result: dict[str, Any] = {"ids": 0, "documents": 0, "parts": [], "named": []}
    if not places.num_rows:
        return result
    name = storage.join(state.WORK, PLACES_FOLDER, f"{task.id}.parquet")
    write_table(task.path(name), places)
    ids = places.column("id").unique()
    return result | {
        "ids": len(ids),
        "documents": places.num_rows,
        "parts": places.column("part").unique().sort().to_pylist(),
        "named": ids[:MOST_NAMED].to_pylist(),
        "places": name,
    }


def _layout(task: TaskContext[Any]) -> list[str]:
    batches = read_batches(_work_path(task, LAYOUT))
    return [path for batch in batches for path in batch.column("path").to_pylist()]


def _work_path(task: TaskContext[Any], name: str) -> str:
    return task.work_path(PLACES_FOLDER, name)


def rename_part(task: TaskContext[RenameWork]) -> dict[str, Any]:
    """Phase `rename`: a part with the new ids of those documents that get one."""
    work = task.arguments
    tables = []
    for path in work.places:
        places = pa.Table.from_batches(read_batches(task.path(path)))
        renamed = new_ids(places, work.tildes)
        tables.append(renamed.filter(pc.equal(renamed.column("part"), work.part)))
    names = dict(zip(*(pa.concat_tables(tables).column(column).to_pylist() for column in ("row", "id")), strict=True))
    stem = work.path.removesuffix(".parquet")
    row = 0
    with PartWriter(task.folder, stem, SCHEMA, part_bytes=ONE_PART_A_FILE) as writer:
        for batch in read_batches(task.path(work.path)):
            ids = batch.column("id").to_pylist()
            changed = [names.get(row + place, own) for place, own in enumerate(ids)]
            column = batch.schema.get_field_index("id")
            writer.write(batch.set_column(column, SCHEMA.field("id"), pa.array(changed, SCHEMA.field("id").type)))
            row += batch.num_rows
    return {"entry": writer.parts[0]}
