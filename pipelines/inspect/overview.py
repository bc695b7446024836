"""The overview of a path: (title, rows) sections, from manifests, footers and headers."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from corpusmill.dataproc import storage
from corpusmill.dataproc.datasets import open_part
from corpusmill.dataproc.sequences.shard_folder import is_held_back
from corpusmill.dataproc.sequences.shards import open_shard
from corpusmill.pipelines.engine import state
from corpusmill.pipelines.inspect.contents import contents_of
from corpusmill.pipelines.inspect.documents import rows_of
from corpusmill.pipelines.inspect.kinds import kind_named
from corpusmill.pipelines.inspect.overview_contents import (
    contents_sections,
    contents_values,
    described_sections,
    lineage,
    lineage_section,
)
from corpusmill.pipelines.inspect.places import Place, recognise
from corpusmill.pipelines.inspect.steps import step_lines
from corpusmill.pipelines.inspect.suggestions import next_commands

Lines = list[tuple[str, ...]]
Section = tuple[str, Lines]
SHOWN = 12
"""Parts, inputs or facts that are listed before the rest is only counted."""

SCHEMA = 1
"""Of the JSON: raised when a key changes its meaning or goes; new keys may come."""

COSTS = {
    "cut": "documents cut",
    "cut_needlessly": "cut needlessly",
    "lost_context": "tokens that lost context",
}
"""What packing can cost: documents in several segments, those of them that fit one sequence, and the share of tokens
whose sequence lacks earlier tokens of their document."""


def overview(place: Place) -> list[Section]:
    """The sections to show for a place; the first title says what it is."""
    sections = _overview(place)
    if place.what not in ("run", "unfinished") and place.manifest:
        sections += [lineage_section(lineage(place))]
    sections.append(("next", [(command,) for command in next_commands(place)]))
    return [(title, rows) for number, (title, rows) in enumerate(sections) if rows or number == 0]


def _overview(place: Place) -> list[Section]:
    if kind := kind_named(place.what):
        return described_sections(kind.title, kind.describe(place.path))
    if place.what == "run":
        return [(f"run of {_counted(len(place.stages), 'stage')}", [_stage_line(*stage) for stage in place.stages])]
    if place.what == "shard":
        return _shard(place)
    if place.what == "parquet file":
        return _parquet(place)
    if place.what == "parquet files":
        rows = rows_of(place)
        return [(f"folder of {len(rows.files)} Parquet files, {len(rows):,} rows", _limited(_listed(rows.files)))]
    if place.what == "tokenizer" and not place.manifest:
        return [("tokenizer", _flat(state.read_json(storage.join(place.path, "training.json"))))]
    return _stage(place)


def overview_values(place: Place) -> dict[str, Any]:
    """What a place is and holds, as `inspect --json` prints it (docs/output.md)."""
    about: dict[str, Any] = {"schema": SCHEMA, "path": place.path, "what": place.what}
    about["next"] = next_commands(place)
    if kind := kind_named(place.what):
        return about | {"described": kind.describe(place.path)}
    if place.what == "run":
        return about | {"stages": [_stage_values(*stage) for stage in place.stages]}
    if place.what == "shard":
        header, table = open_shard(place.path)
        sizes = {"sequences": table.num_rows, "segments": _segments(table), "bytes": storage.size(place.path)}
        return about | sizes | {"header": json.loads(header.to_json())}
    if place.what == "parquet file":
        with open_part(place.path) as file:
            columns = {field.name: str(field.type) for field in file.schema_arrow}
            sizes = {"rows": file.metadata.num_rows, "row_groups": file.metadata.num_row_groups}
        return about | sizes | {"bytes": storage.size(place.path), "columns": columns}
    if place.what == "parquet files":
        rows = rows_of(place)
        return about | {"rows": len(rows), "files": [{"path": path, "rows": count} for path, count in rows.files]}
    if place.what == "tokenizer" and not place.manifest:
        return about | {"training": state.read_json(storage.join(place.path, "training.json"))}
    if place.manifest:
        about |= {"contents": contents_values(contents_of(place)), "lineage": lineage(place)}
    return about | {"finished": bool(place.manifest)} | dict(place.manifest or place.plan) | {"schema": SCHEMA}


def _stage_values(name: str, folder: str) -> dict[str, Any]:
    place = recognise(folder)
    about = {"name": name, "folder": folder, "finished": bool(place.manifest)}
    if not place.manifest:
        return about | {"stage": place.plan.get("stage"), "counts": {}, "bytes": None}
    return about | {
        "stage": place.manifest["stage"],
        "counts": place.manifest["counts"],
        "bytes": sum(entry["bytes"] for entry in [*place.manifest["parts"], *place.manifest["files"]]),
    }


def _segments(table: Any) -> int:
    return sum(int(chunk.offsets[-1].as_py() - chunk.offsets[0].as_py()) for chunk in table["segments"].chunks)


def _stage(place: Place) -> list[Section]:
    described = place.manifest or place.plan
    title = f"{place.what} made by {described['stage']}"
    if not place.manifest:
        title = f"unfinished {described['stage']} (see corpusmill status)"
    sections: list[Section] = [
        (title, [("made by", f"corpusmill {described.get('corpusmill', '?')}"), ("seed", str(described["seed"]))]),
        ("settings", _flat(described["settings"])),
        ("inputs", _limited([(name, _input(identity)) for name, identity in described["inputs"].items()])),
    ]
    if place.manifest:
        facts = {name: fact for name, fact in place.manifest["facts"].items() if name != "rules_in_force"}
        if place.what == "shards":
            sections += [
                ("packing", _packing(place.manifest)),
                ("groups", _limited(_groups(place.manifest), 3 * SHOWN)),
            ]
            facts = {
                name: fact for name, fact in facts.items() if name not in ("packing", "groups", "fill", "tokens_by")
            }
        if place.what == "model" and (steps := step_lines(place.path)):
            sections.append(("training", steps))
        sections += [
            ("counts", [(name.replace("_", " "), f"{count:,}") for name, count in place.manifest["counts"].items()]),
            *contents_sections(contents_of(place)),
            ("facts", _limited(_flat(facts), 3 * SHOWN)),
            (
                _counted(len(place.manifest["parts"]), "part"),
                _limited([_entry(part) for part in place.manifest["parts"]]),
            ),
            ("other files", _beside(place.manifest["files"])),
        ]
    return [(name, rows) for name, rows in sections if rows]


def _packing(manifest: Mapping[str, Any]) -> Lines:
    """How sequences are filled, what that cost, and what cutting one stream of the same documents would have."""
    settings, counts, facts = manifest["settings"], manifest["counts"], manifest["facts"]
    measured = {"fill": facts.get("fill")} | {name: counts.get(name) for name in ("padding", *COSTS)}
    measured |= facts.get("packing", {})
    lines: Lines = [
        ("policy", f"{settings.get('packing', '?')}, {settings.get('sequence_length', 0):,} tokens in a sequence"),
        ("storage", settings.get("storage", "plain")),
    ]
    if measured["fill"] is not None:
        lines.append(("fill", f"{measured['fill']:.4%}, {measured['padding'] or 0:,} tokens of padding"))
    stream = measured.get("concat", {})
    for name, said in COSTS.items():
        if measured.get(name) is not None:
            against = f"by cutting one stream: {_cost(name, stream[name])}" if name in stream else ""
            lines.append((said, _cost(name, measured[name]), against))
    return lines


def _cost(name: str, value: float) -> str:
    return f"{value:.3%}" if name == "lost_context" else f"{value:,}"


def _groups(manifest: Mapping[str, Any]) -> Lines:
    """Sequences and tokens of each group of documents that was packed apart, and of what is held back."""
    held_back = [file for file in manifest["files"] if is_held_back(file["path"])]
    named = [(part.get("group") or "all", part) for part in manifest["parts"]] + [("held back", f) for f in held_back]
    lines: Lines = []
    for name in dict.fromkeys(name for name, _ in named):
        here = [entry for other, entry in named if other == name]
        sequences, tokens = (sum(entry.get(key, 0) for entry in here) for key in ("rows", "tokens"))
        lines.append((name, f"{sequences:,} sequences", f"{tokens:,} tokens", _counted(len(here), "shard")))
    return lines


def _stage_line(name: str, folder: str) -> tuple[str, ...]:
    place = recognise(folder)
    if not place.manifest:
        return name, place.plan.get("stage", "?"), "not finished", ""
    counts = place.manifest["counts"]
    said = ", ".join(f"{count:,} {key.replace('_', ' ')}" for key, count in list(counts.items())[:4] if count)
    size = sum(entry["bytes"] for entry in [*place.manifest["parts"], *place.manifest["files"]])
    return name, place.manifest["stage"], said, _megabytes(size)


def _input(identity: Mapping[str, Any]) -> str:
    return f"manifest {identity['manifest']}" if "manifest" in identity else f"{len(identity):,} files"


def _entry(entry: Mapping[str, Any]) -> tuple[str, ...]:
    rows = f"{entry['rows']:,} rows" if "rows" in entry else ""
    return entry["path"], rows, _megabytes(entry["bytes"]), entry.get("group", "")


def _beside(files: Sequence[Mapping[str, Any]]) -> Lines:
    """Files by the folder they are in; those at the top one by one."""
    folders: dict[str, list[Mapping[str, Any]]] = {}
    for entry in files:
        top, slash, _ = entry["path"].partition("/")
        folders.setdefault(top + slash, []).append(entry)
    lines: Lines = []
    for name, entries in folders.items():
        rows = sum(entry.get("rows", 0) for entry in entries)
        several = f"{len(entries):,} files" if name.endswith("/") else ""
        size = _megabytes(sum(entry["bytes"] for entry in entries))
        lines.append((name, several, f"{rows:,} rows" if rows or several else "", size))
    return lines


def _parquet(place: Place) -> list[Section]:
    with open_part(place.path) as file:
        metadata, schema = file.metadata, file.schema_arrow
    about: Lines = [
        ("rows", f"{metadata.num_rows:,}"),
        ("row groups", f"{metadata.num_row_groups:,}"),
        ("size", _megabytes(storage.size(place.path))),
        ("written by", metadata.created_by or "unknown"),
    ]
    columns: Lines = [(field.name, str(field.type)) for field in schema]
    return [("Parquet file", about), ("columns", columns)]


def _shard(place: Place) -> list[Section]:
    header, table = open_shard(place.path)
    about: Lines = [
        ("sequences", f"{table.num_rows:,} of {header.sequence_length:,} tokens"),
        ("segments", f"{_segments(table):,}"),
        ("size", _megabytes(storage.size(place.path))),
    ]
    return [("token shard", about), ("header", _flat(json.loads(header.to_json())))]


def _listed(files: Sequence[tuple[str, int]]) -> Lines:
    return [(path.rsplit("/", 1)[-1], f"{rows:,} rows") for path, rows in files]


def _flat(values: Mapping[str, Any], prefix: str = "") -> Lines:
    """Nested settings as rows, keys joined by dots."""
    rows: Lines = []
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            rows += _flat(value, f"{prefix}{key}.")
        else:
            rows.append((f"{prefix}{key}", value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)))
    return rows


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _limited(rows: Lines, most: int = SHOWN) -> Lines:
    if len(rows) <= most:
        return rows
    return [*rows[:most], (f"and {len(rows) - most:,} more",)]


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB" if size >= 100_000 else f"{size / 1e3:,.1f} kB"
