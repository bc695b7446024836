"""The manifest of a finished stage: what its folder holds, from what it was made, and what became of every document.

It is the last file that a stage writes, after the conservation law held; a folder without one is not finished.
"""

from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from corpusmill.dataproc import storage
from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.side_tables import ENDING as SIDE_TABLE
from corpusmill.pipelines.engine import state

DATA_ENDINGS = (".parquet", SIDE_TABLE, ".arrow")
FATES = ("kept", "rejected", "duplicates", "dropped", "quarantined")
"""The possible fates of an input document; their counts add up to `documents_in` at the end of every stage."""


def make_manifest(
    plan: Mapping[str, Any],
    *,
    counts: Mapping[str, int],
    parts: Sequence[Mapping[str, Any]],
    files: Sequence[Mapping[str, Any]],
    facts: Mapping[str, Any],
    over_documents: bool,
) -> dict[str, Any]:
    """The manifest of a stage whose work is done; `over_documents`: the law of its counts is checked."""
    if over_documents:
        accounted = sum(counts.get(fate, 0) for fate in FATES)
        if accounted != counts["documents_in"]:
            raise RuntimeError(f"documents in ({counts['documents_in']}) are not all accounted for: {counts}")
    return {
        "schema": state.SCHEMA_VERSION,
        "corpusmill": our_version(),
        "stage": plan["stage"],
        "stage_version": plan["stage_version"],
        "seed": plan["seed"],
        "settings": plan["settings"],
        "inputs": without_times(plan["inputs"]),
        "counts": counts,
        "parts": parts,
        "files": files,
        "facts": facts,
    }


def without_times(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Inputs for the manifest: of a file's identity, [bytes, time or etag], only the bytes."""
    return {
        name: {key: value[0] if isinstance(value, list) else value for key, value in entry.items()}
        for name, entry in inputs.items()
    }


def our_version() -> str:
    """The version of the installed distribution."""
    try:
        return version("corpusmill")
    except PackageNotFoundError:
        return "not installed"


def remove_orphans(folder: str, manifest: Mapping[str, Any]) -> None:
    """Removes data files that no finished task lists: whole parts of an attempt that failed further on."""
    entries = {entry["path"] for entry in [*manifest["parts"], *manifest["files"]]}
    for below in sorted({path.rpartition("/")[0] for path in entries}):
        for name in storage.list_names(storage.join(folder, below) if below else folder):
            path = f"{below}/{name}" if below else name
            if name.endswith(DATA_ENDINGS) and path not in entries:
                storage.remove(storage.join(folder, path))


def done_manifest(plan: Mapping[str, Any], folder: str) -> dict[str, Any] | None:
    """The manifest when the stage is done with this very plan and its outputs are all there; None when work is left.

    Raises UserError, naming what differs, when the folder was made from other settings or inputs.
    """
    plan_path = storage.join(folder, state.STATE, "plan.json")
    before = state.read_json_if_there(plan_path)
    if before is None:
        return None
    changed = state.differences(before, plan)
    if changed:
        more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
        raise UserError(
            f"already made with other settings or inputs: {'; '.join(changed[:3])}{more}",
            where=folder,
            hint="use another output, or pass --overwrite to make it again",
        )
    manifest = state.read_manifest(folder)
    if manifest is None:
        return None
    require_outputs(folder, manifest)
    return manifest


def require_outputs(folder: str, manifest: Mapping[str, Any]) -> None:
    """Raises UserError, naming it, for the first output that is missing or has another size.

    Each of the folders in which outputs lie is listed once, so a store is asked for a page of a thousand at a time.
    """
    entries = [*manifest["parts"], *manifest["files"]]
    by_folder: dict[str, list[str]] = {}
    for entry in entries:
        below, _, name = entry["path"].rpartition("/")
        by_folder.setdefault(below, []).append(name)
    sizes = {
        (below, name): size
        for below, names in by_folder.items()
        for name, size in storage.file_sizes(storage.join(folder, below) if below else folder, names).items()
    }
    for entry in entries:
        below, _, name = entry["path"].rpartition("/")
        size = sizes.get((below, name))
        if size == entry["bytes"]:
            continue
        what = "this output has vanished" if size is None else "this output was changed"
        where = storage.join(folder, entry["path"])
        raise UserError(what, where=where, hint="put it back, or pass --overwrite to make it again")
