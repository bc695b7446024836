"""What a stage remembers on disk: its plan, a marker for each finished task, the deaths of workers, and its manifest.

Everything outside `_state/` is a pure function of inputs, settings and seed, and is the same bytes on every run.
What is not (times, attempts, hosts, modification times of inputs) lives below `_state/`:

    <stage>/_manifest.json                  written last: what is here, from what, and the counts
    <stage>/_state/driver.lease             the token of the driver that workers may write for (`lease.py`)
    <stage>/_state/plan.json                settings and input identities; a run that differs is refused
    <stage>/_state/<phase>/<task>.json      marker of a finished task, written after its outputs
    <stage>/_state/progress.json            how far the driver is, for `status` (`record.py`)
    <stage>/_state/<phase>/<task>.at        the document that a careful attempt is working on
    <stage>/_state/<phase>/<task>.deaths    causes of death of earlier attempts, and the documents they died on
    <stage>/_work/                          intermediate files, removed just before the manifest is written
"""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import xxhash

from corpusmill.dataproc import storage
from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.urls import mask_values
from corpusmill.pipelines.engine.manifest_shape import require_shape

MANIFEST = "_manifest.json"
STATE = "_state"
WORK = "_work"
SCHEMA_VERSION = 1


def to_json(value: Any) -> bytes:
    """The one JSON spelling that we write: sorted keys, so equal values are equal bytes; URLs without their secrets."""
    return (json.dumps(mask_values(value), sort_keys=True, indent=1, ensure_ascii=False) + "\n").encode()


def read_json(path: str) -> Any:
    """A JSON file of ours. Raises UserError naming the file when it is not JSON."""
    return _json_of(storage.read_bytes(path), path)


def read_json_if_there(path: str) -> Any:
    """The same; None where there is no such file: one request of a store."""
    data = storage.read_if_there(path)
    return None if data is None else _json_of(data, path)


def _json_of(data: bytes, path: str) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:  # the second where it is nested thousands deep
        raise UserError(f"not a JSON file ({error})", where=path, hint="remove it and run again") from error


def marker_path(folder: str, phase: str, task: str) -> str:
    return storage.join(folder, STATE, phase, f"{task}.json")


def breadcrumb_path(folder: str, phase: str, task: str) -> str:
    return storage.join(folder, STATE, phase, f"{task}.at")


def deaths_path(folder: str, phase: str, task: str) -> str:
    return storage.join(folder, STATE, phase, f"{task}.deaths")


def as_written(result: dict[str, Any]) -> dict[str, Any]:
    """A task's result as it is read back from its marker. Its keys are shared by all results, of which a driver may
    hold a million."""
    return json.loads(to_json(result), object_pairs_hook=_with_shared_keys)  # type: ignore[no-any-return]


def _with_shared_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return {sys.intern(key): value for key, value in pairs}


def phase_files(folder: str, phase: str) -> set[str]:
    """The names of a phase's markers and notes: one listing."""
    return set(storage.list_names(storage.join(folder, STATE, phase)))


def finished_tasks(folder: str, phase: str) -> set[str]:
    """Ids of the phase's tasks that have a marker: one listing, no file is opened."""
    names = storage.list_names(storage.join(folder, STATE, phase))
    return {name.removesuffix(".json") for name in names if name.endswith(".json")}


def read_marker(folder: str, phase: str, task: str) -> dict[str, Any]:
    return read_json(marker_path(folder, phase, task))


def read_markers(folder: str, phase: str, tasks: Sequence[str]) -> list[dict[str, Any]]:
    """The markers of tasks, in order; on an object store several at a time."""
    paths = [marker_path(folder, phase, task) for task in tasks]
    return [_json_of(data, path) for data, path in zip(storage.read_each(paths), paths, strict=True)]


def read_manifest(folder: str) -> dict[str, Any] | None:
    """The manifest of a finished stage, or None. Raises UserError for one of a newer schema, or that is damaged."""
    path = storage.join(folder, MANIFEST)
    data = storage.read_if_there(path)
    return None if data is None else _checked_manifest(data, path)


def _checked_manifest(data: bytes, path: str) -> dict[str, Any]:
    manifest: Any = _json_of(data, path)
    if isinstance(manifest, dict) and manifest.get("schema") != SCHEMA_VERSION:
        raise UserError(
            f"this manifest has schema {manifest.get('schema')!r}, and this corpusmill reads {SCHEMA_VERSION}",
            where=path,
            hint="use the version that wrote it, or make the folder again",
        )
    require_shape(manifest, path)
    checked: dict[str, Any] = manifest
    return checked


def manifest_digest(folder: str) -> str:
    """The digest of an input folder's manifest, which is read once. Raises UserError as `require_manifest` does."""
    path = storage.join(folder, MANIFEST)
    data = storage.read_if_there(path)
    if data is None:
        require_manifest(folder)
    else:
        _checked_manifest(data, path)
    return xxhash.xxh3_128_hexdigest(data or b"")


def require_manifest(folder: str) -> dict[str, Any]:
    """The manifest of an input folder. Raises UserError saying what is missing."""
    manifest = read_manifest(folder)
    if manifest is None:
        what = (
            "no such folder"
            if not storage.exists(folder)
            else "not finished, or not made by corpusmill (no _manifest.json)"
        )
        raise UserError(what, where=folder, hint="run the stage that makes it first")
    return manifest


def differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Readable differences between two plans: `key: old -> new`, nested keys joined by dots, files by their names."""
    lines = []
    for key in sorted({*old, *new}):
        before, after = old.get(key), new.get(key)
        if before == after:
            continue
        name = f"{prefix}{key}"
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            lines += differences(before, after, f"{name}.")
        elif key not in old:
            lines.append(f"{name} is new")
        elif key not in new:
            lines.append(f"{name} is gone")
        elif prefix.startswith("inputs."):
            lines.append(f"{key} changed since")
        else:
            lines.append(f"{name}: {_short(before)} -> {_short(after)}")
    return lines


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."
