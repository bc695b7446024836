"""Checks a folder against its manifest: every byte by its digest, row counts, shards, and the conservation law.

A shard set, once each of its shards is the one that was written, is also looked at as a whole: every document once
(`coverage`); a training run with its checkpoints. Everything is read once, at the speed of the disk (shards a second
and third time, from memory where it holds them). One line per problem; none for an intact folder.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from corpusmill.dataproc import storage
from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.ids import find_repeated_by_ranges
from corpusmill.dataproc.side_tables import side_folder, table_of
from corpusmill.pipelines.engine import state
from corpusmill.pipelines.engine.lineage import find_input
from corpusmill.pipelines.engine.manifest import FATES
from corpusmill.pipelines.inspect.checkpoints import checkpoint_problems, has_checkpoints
from corpusmill.pipelines.inspect.coverage import coverage_problems
from corpusmill.pipelines.inspect.kinds import INDEX
from corpusmill.pipelines.inspect.places import PARQUET, SHARD, Place, recognise
from corpusmill.pipelines.inspect.verified import Verified, verify_entry
from corpusmill.pipelines.inspect.verify_index import verify_index
from corpusmill.pipelines.registry import description_of, makes

MOST_NAMED = 3
SIDES = {"rejected": "rejected", "duplicates": "duplicates", "dropped": "dropped", "quarantined": "quarantine"}
"""The side table in which the documents of a fate stand."""


def verify(place: Place) -> list[Verified]:
    """Verifies a run (a result for each of its stages), a stage's folder, or one file. Raises UserError for others."""
    if place.what == "run":
        return [_verify_named(name, folder) for name, folder in place.stages]
    if place.manifest:
        return [_verify_folder(place.path, place.path, place.manifest)]
    if place.what == INDEX:
        return verify_index(place.path)
    if place.what in ("parquet file", "shard"):
        return [_verify_file(place.path)]
    if has_checkpoints(place.path):
        done = Verified(place.path, place.path)
        _verify_checkpoints(done)
        return [done]
    if place.what == "parquet files":
        raise UserError(
            "a folder beside the parts has no manifest", where=place.path, hint="verify the folder above it"
        )
    raise UserError("nothing to verify against: there is no manifest", where=place.path, hint="finish the stage first")


def _verify_checkpoints(done: Verified) -> None:
    files, size, problems = checkpoint_problems(done.path)
    done.files, done.bytes = done.files + files, done.bytes + size
    done.problems += problems


def _verify_named(name: str, folder: str) -> Verified:
    manifest = recognise(folder).manifest
    if not manifest:
        return Verified(name, folder, problems=[(folder, "not finished: there is no manifest")])
    return _verify_folder(name, folder, manifest)


def _verify_folder(name: str, folder: str, manifest: Mapping[str, Any]) -> Verified:
    done = Verified(name, folder)
    for entry in [*manifest["parts"], *manifest["files"]]:
        verify_entry(done, storage.join(folder, entry["path"]), entry)
    for path in _strangers(folder, manifest):
        done.problems.append((path, "not in the manifest"))
    if has_checkpoints(folder):
        _verify_checkpoints(done)
    if makes(manifest["stage"]) == "shards" and not done.unread:
        done.problems += coverage_problems(folder, manifest)
    if makes(manifest["stage"]) == "dataset" and not done.unread:
        done.problems += [(folder, line) for line in _repeated_ids(folder, manifest)]
    done.problems += [(folder, line) for line in _broken_laws(manifest)]
    done.problems += [(folder, line) for line in _changed_inputs(folder, manifest)]
    return done


def _repeated_ids(folder: str, manifest: Mapping[str, Any]) -> Iterator[str]:
    """Ids that stand in more than one row of a dataset: tables and `why` go by ids."""
    parts = [part for part in manifest["parts"] if part["path"].endswith(PARQUET)]
    paths, documents, named = [storage.join(folder, part["path"]) for part in parts], 0, list[str]()
    for repeated in find_repeated_by_ranges(paths, [part["rows"] for part in parts]):
        documents += repeated.places.num_rows
        named += repeated.places.column("id").unique()[:MOST_NAMED].to_pylist()
    if documents:
        yield f"{documents:,} documents have the id of another, among them {', '.join(named[:MOST_NAMED])}"


def _verify_file(path: str) -> Verified:
    """One file: by the manifest of the folder that it is in, if there is one; else only that it can be read."""
    done = Verified(path, path)
    entry = _entry_of(path)
    if entry is None:
        entry = {"bytes": storage.size(path), "digest": storage.digest_file(path)}
    verify_entry(done, path, entry)
    return done


def _entry_of(path: str) -> dict[str, Any] | None:
    names = storage.absolute(path).split("/")
    for depth in (1, 2):
        manifest = state.read_manifest("/".join(names[:-depth]))
        for entry in [*manifest["parts"], *manifest["files"]] if manifest else ():
            if entry["path"] == "/".join(names[-depth:]):
                return entry
    return None


def _strangers(folder: str, manifest: Mapping[str, Any]) -> list[str]:
    """Data files that the manifest does not know: readers that list a folder would take them for part of the data."""
    known = {entry["path"] for entry in [*manifest["parts"], *manifest["files"]]}
    strangers: list[str] = []
    description = description_of(manifest["stage"])
    tables = ("quarantine", *(description.side_folders if description else ()))
    for below in ("", *tables, *map(side_folder, tables)):
        for name in storage.list_names(storage.join(folder, below) if below else folder):
            path = f"{below}/{name}" if below else name
            if name.endswith((*PARQUET, SHARD)) and path not in known:
                strangers.append(storage.join(folder, path))
    return strangers


def _broken_laws(manifest: Mapping[str, Any]) -> Iterator[str]:
    """Documents in = kept + rejected + duplicates + dropped + quarantined, and each of them as many rows as counted."""
    counts, made = manifest["counts"], makes(manifest["stage"])
    if made not in ("dataset", "shards"):
        return
    accounted = sum(counts.get(fate, 0) for fate in FATES)
    came_in = counts.get("documents_in", 0)
    if accounted != came_in:
        yield f"{came_in:,} documents came in, but {accounted:,} are accounted for"
    if made == "shards":
        yield from _unequal_shards(manifest)
        return
    kept = sum(part["rows"] for part in manifest["parts"])
    expected = counts.get("kept", 0) + counts.get("copies", 0)
    if kept != expected:
        yield f"{expected:,} documents and copies were kept, but the parts have {kept:,} rows"
    for fate, table in SIDES.items():
        files = [file for file in manifest["files"] if table_of(file["path"]) == table]
        rows = sum(file.get("records", file.get("rows", 0)) for file in files)
        if fate in counts and rows != counts[fate]:
            yield f"{counts[fate]:,} documents were {fate} and {side_folder(table)}/ has {rows:,} rows"


def _unequal_shards(manifest: Mapping[str, Any]) -> Iterator[str]:
    """All shards of a group hold the same number of sequences but its last, which holds no more."""
    settings = manifest["settings"]
    if "shard_tokens" not in settings:  # packed before shards were of equal size
        return
    full = max(1, settings["shard_tokens"] // settings["sequence_length"])
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for part in manifest["parts"]:
        groups.setdefault(part["group"], []).append(part)
    for parts in groups.values():
        for part in parts:
            if part["rows"] > full or (part["rows"] < full and part is not parts[-1]):
                yield f"{part['path']} has {part['rows']:,} sequences, where a full shard has {full:,}"


def _changed_inputs(folder: str, manifest: Mapping[str, Any]) -> Iterator[str]:
    """Inputs that stand beside the folder (or at the path as written) and are no longer those that were read."""
    for name, identity in manifest["inputs"].items():
        current = find_input(folder, name, identity["manifest"]) if "manifest" in identity else None
        if current and current.changed:
            yield f"its input {name} was made again since"
