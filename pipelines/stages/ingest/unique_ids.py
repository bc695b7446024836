"""Ids that stand more than once in an ingest: found when all parts are there, and made unique, or refused.

    ids       range of hashes → which ids stand more than once, and where; new ids, in a file of intermediate work
    rename    part → the part again, with the new ids

`dataproc/ids.py` has the rule. A dataset without such an id, as nearly all are, pays for one look at its ids and is
not written again. A part that is renamed twice, since a run was killed, comes out the same: ids go by their rows.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.dataproc import storage
from corpusmill.dataproc.datasets import ONE_PART_A_FILE, PartWriter, read_batches, write_table
from corpusmill.dataproc.documents import SCHEMA
from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.ids import count_ranges, find_repeated, new_ids
from corpusmill.pipelines.engine import state
from corpusmill.pipelines.engine.stage import StageRun
from corpusmill.pipelines.engine.task import Task
from corpusmill.pipelines.engine.worker import TaskContext

HERE = "corpusmill.pipelines.stages.ingest.unique_ids"
PLACES_FOLDER = "repeated-ids"
MOST_NAMED = 3


@dataclass(frozen=True, kw_only=True)
class RangeWork:
    """A range of hashes of the ids of all parts, `number` of `ranges`."""

    paths: tuple[str, ...]
    number: int
    ranges: int


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
    ranges = count_ranges(sum(part["rows"] for part in parts))
    tasks = [
        Task(
            id=f"range-{number:05d}",
            function=f"{HERE}:find_range",
            arguments=RangeWork(paths=paths, number=number, ranges=ranges),
            bytes=0,
        )
        for number in range(ranges)
    ]
    results = run.map("ids", tasks)
    ids, documents = (sum(result[name] for result in results) for name in ("ids", "documents"))
    if not ids:
        return parts, {}
    named = ", ".join(f"'{name}'" for name in [name for result in results for name in result["named"]][:MOST_NAMED])
    what = f"{ids:,} ids stand more than once, in {documents:,} documents (among them {named})"
    if refuse:
        hint = "take an --id-field that is unique, or pass --duplicate-ids unique"
        raise UserError(what, where=run.folder, hint=hint)
    tildes = 1 + max(result["tildes"] for result in results)
    run.say(f"{what}; each but the first is now called <id>{'~' * tildes}<number>")
    renamed = _rename(run, paths, results, tildes)
    facts = {"ids": ids, "documents": documents, "renamed": documents - ids, "suffix": "~" * tildes}
    return [entry | renamed.get(entry["path"], {}) for entry in parts], facts


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


def find_range(task: TaskContext[RangeWork]) -> dict[str, Any]:
    """Phase `ids`: the ids of a range that stand more than once."""
    work = task.arguments
    repeated = find_repeated([task.path(path) for path in work.paths], work.number, work.ranges)
    result: dict[str, Any] = {"ids": 0, "documents": 0, "tildes": repeated.tildes, "parts": [], "named": []}
    if not repeated.places.num_rows:
        return result
    name = storage.join(state.WORK, PLACES_FOLDER, f"{task.id}.parquet")
    write_table(task.path(name), repeated.places)
    ids = repeated.places.column("id").unique()
    parts = Counter(repeated.places.column("part").to_pylist())
    return result | {
        "ids": len(ids),
        "documents": repeated.places.num_rows,
        "parts": sorted(parts),
        "named": ids[:MOST_NAMED].to_pylist(),
        "places": name,
    }


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
