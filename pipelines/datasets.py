"""Datasets as stages see them: their parts, in the order of their manifests, and an identity for the plan."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import xxhash

from dataproc import storage
from pipelines.engine import state


@dataclass(frozen=True, kw_only=True)
class PartReference:
    """One Parquet part of an input dataset. `number` counts over all inputs, and is the top half of a row's address."""

    number: int
    path: str
    rows: int
    bytes: int
    arrow_bytes: int

    @property
    def task_id(self) -> str:
        return f"part-{self.number:05d}"


def list_parts(folders: Sequence[str], resolve: Callable[[str], str]) -> list[PartReference]:
    """The parts of datasets, numbered through. Raises UserError for a folder that is not a finished dataset."""
    parts: list[PartReference] = []
    for folder in folders:
        opened = resolve(folder)
        for entry in state.require_manifest(opened)["parts"]:
            parts.append(
                PartReference(
                    number=len(parts),
                    path=storage.join(opened, entry["path"]),
                    rows=entry["rows"],
                    bytes=entry["bytes"],
                    arrow_bytes=entry.get("arrow_bytes", entry["bytes"]),
                )
            )
    return parts


def folder_identities(folders: Sequence[str], resolve: Callable[[str], str]) -> dict[str, Any]:
    """{folder as written: {"manifest": digest}}: the manifest holds the digest of every part."""
    identities = {}
    for folder in folders:
        opened = resolve(folder)
        state.require_manifest(opened)
        digest = xxhash.xxh3_128_hexdigest(storage.read_bytes(storage.join(opened, state.MANIFEST)))
        identities[folder] = {"manifest": digest}
    return identities


def total_counts(folders: Sequence[str], resolve: Callable[[str], str]) -> int:
    """Documents in the datasets."""
    return sum(part.rows for part in list_parts(folders, resolve))


def listed(results: Sequence[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    """The file entries that task results hold under a name, in the order of the tasks."""
    return [entry for result in results for entry in result.get(name, [])]
