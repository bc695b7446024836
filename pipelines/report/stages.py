"""A finished stage as the report sees it, and how many of its side files are read."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from corpusmill.dataproc import storage
from corpusmill.dataproc.side_tables import side_files

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

    def side_paths(self, table: str) -> dict[str, str]:
        """{stem: path} of a side table's files; at most `MOST_FILES`, evenly spaced."""
        files = list(side_files(self.manifest, table).items())
        if len(files) > MOST_FILES:
            files = [files[i * len(files) // MOST_FILES] for i in range(MOST_FILES)]
        return {stem: self.path(path) for stem, path in files}

    def share_read(self, table: str) -> str:
        """What to say when not all files of a side table are read; empty when they are."""
        total = len(side_files(self.manifest, table))
        return f"from {MOST_FILES:,} of {total:,} files, evenly spaced" if total > MOST_FILES else ""
