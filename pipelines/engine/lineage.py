"""The folders that a stage's folder was made of, as they are now."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import xxhash

from corpusmill.dataproc import storage
from corpusmill.dataproc.urls import is_masked
from corpusmill.pipelines.engine import state


@dataclass(frozen=True, kw_only=True)
class Input:
    """The folder of an input as it is now; `changed` says that it was made again since it was read."""

    path: str
    changed: bool


def find_input(folder: str, name: str, digest: str) -> Input | None:
    """The input of a stage's folder: beside it (a run may have been moved as a whole), or at the path as written.

    Args:
        folder: of the stage that took it in.
        name: as its manifest or plan writes it.
        digest: that the input's manifest had; a folder that still has it is preferred.
    """
    candidates = [name]
    if not name.startswith("/") and not storage.is_url(name):
        candidates.insert(0, storage.join(storage.absolute(folder).rsplit("/", 1)[0], name))
    changed = None
    for candidate in candidates:
        if is_masked(candidate):
            continue
        path = storage.join(candidate, state.MANIFEST)
        if storage.exists(path):
            if xxhash.xxh3_128_hexdigest(storage.read_bytes(path)) == digest:
                return Input(path=candidate, changed=False)
            changed = changed or Input(path=candidate, changed=True)
    return changed


def ancestors(folder: str, manifest: Mapping[str, Any]) -> Iterator[tuple[int, str, Mapping[str, Any] | None]]:
    """(generation, name, manifest) of what a folder was made of, each before its own inputs, each once.

    The manifest is None for raw files, and for a folder that is no longer there or was made again since.
    """
    seen: set[str] = set()

    def visit(folder: str, manifest: Mapping[str, Any], depth: int) -> Iterator[tuple[int, str, Any]]:
        for name, identity in manifest["inputs"].items():
            digest = identity.get("manifest") if isinstance(identity, Mapping) else None
            place = find_input(folder, name, digest) if digest else None
            key = storage.absolute(place.path) if place else name
            if key in seen:
                continue
            seen.add(key)
            made = state.read_manifest(place.path) if place and not place.changed else None
            yield depth, name, made
            if place and made:
                yield from visit(place.path, made, depth + 1)

    return visit(folder, manifest, 1)
