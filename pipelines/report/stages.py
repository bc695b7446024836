"""A finished stage as the report sees it, and how many of its side files are read."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from corpusmill.dataproc import storage

MOST_FILES = 256
"""Side files that are read of a kind; where there are more, evenly spaced ones, and the page says so."""


@dataclass(frozen=True)
class StageOutput:
    """A stage's name, folder and manifest; `memo` keeps what several parts of the page need and is costly to count."""

    name: str
    folder: str
    manifest: Mapping[str, Any]
    memo: dict[str, Any] = field(default_factory=dict, compare=False)

    @property
    def stage(self) -> str:
        return self.manifest["stage"]

    @property
    def counts(self) -> Mapping[str, int]:
        return self.manifest["counts"]

    @property
    def facts(self) -> Mapping[str, Any]:
        return self.manifest["facts"]

    def path(self, name: str) -> str:
        return storage.join(self.folder, name)

    def side_names(self, folder: str) -> list[str]:
        """The file names of one of the folders beside the parts; at most `MOST_FILES`, evenly spaced."""
        names = [entry["path"] for entry in self.manifest["files"] if entry["path"].startswith(f"{folder}/")]
        picked = names if len(names) <= MOST_FILES else [names[i * len(names) // MOST_FILES] for i in range(MOST_FILES)]
        return [name.removeprefix(f"{folder}/") for name in picked]

    def share_read(self, folder: str) -> str:
        """What to say when not all files of a folder are read; empty when they are."""
        total = sum(entry["path"].startswith(f"{folder}/") for entry in self.manifest["files"])
        return f"from {MOST_FILES:,} of {total:,} files, evenly spaced" if total > MOST_FILES else ""
