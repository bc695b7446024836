"""Settings, counts and facts of two manifests side by side: what differs, key by key."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from corpusmill.pipelines.engine import state
from corpusmill.pipelines.inspect.places import Place

ABSENT = "(none)"
"""What stands for a value that is not there."""

_SKIPPED = ("parts", "files", "schema")
"""Lists of files, whose bytes differ where anything does."""


@dataclass(frozen=True)
class Change:
    """A key, and its value in either; `ABSENT` where it has none."""

    name: str
    before: Any
    after: Any


@dataclass(frozen=True, kw_only=True)
class ManifestDiff:
    """Two manifests.

    Attributes:
        stages: what kind of stage made each.
        same_outputs: whether both list the same files with the same digests; None where one is not finished.
        settings, inputs, counts, facts, other: what differs.
    """

    stages: tuple[str, str]
    same_outputs: bool | None
    settings: list[Change]
    inputs: list[Change]
    counts: list[Change]
    facts: list[Change]
    other: list[Change]

    @property
    def differs(self) -> bool:
        return self.same_outputs is False or any((self.settings, self.inputs, self.counts, self.facts, self.other))


def value_changes(before: Mapping[str, Any], after: Mapping[str, Any], prefix: str = "") -> list[Change]:
    """What differs between two nested mappings, keys joined by dots, in the order of the keys."""
    changes = []
    for key in sorted({*before, *after}):
        one, other, name = before.get(key, ABSENT), after.get(key, ABSENT), f"{prefix}{key}"
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            changes += value_changes(one, other, f"{name}.")
        elif one != other or (key in before) != (key in after):
            changes.append(Change(name, one, other))
    return changes


def manifest_diff(first: Mapping[str, Any], second: Mapping[str, Any]) -> ManifestDiff:
    """What differs between two manifests, or plans of stages that are not finished."""
    named = ("settings", "inputs", "counts", "facts")
    before, after = (
        {key: value for key, value in one.items() if key not in (*named, *_SKIPPED)} for one in (first, second)
    )
    changes = {name: value_changes(first.get(name, {}), second.get(name, {})) for name in named}
    finished = "parts" in first and "parts" in second
    return ManifestDiff(
        stages=(str(first.get("stage", "?")), str(second.get("stage", "?"))),
        same_outputs=output_digests(first) == output_digests(second) if finished else None,
        other=value_changes(before, after),
        **changes,
    )


def described(place: Place) -> Mapping[str, Any]:
    """The manifest of a place; the plan of a stage that is not finished."""
    return place.manifest or place.plan


def output_digests(manifest: Mapping[str, Any]) -> dict[str, str]:
    """{path: digest} of all that a finished stage made."""
    return {entry["path"]: entry.get("digest", "") for entry in [*manifest["parts"], *manifest["files"]]}


def read_manifest_file(path: str) -> Mapping[str, Any]:
    """A `_manifest.json` by its own path."""
    manifest = state.require_manifest(path.removesuffix(state.MANIFEST).rstrip("/") or ".")
    return manifest
