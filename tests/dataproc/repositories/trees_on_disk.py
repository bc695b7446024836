"""Writes small trees for tests, and reads repositories back."""

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa

from corpusmill.dataproc.readers.pieces import Fields, Piece
from corpusmill.dataproc.readers.repository import SUMMARY_SCHEMA, read_repositories
from corpusmill.dataproc.repositories.reading import RepositorySettings

Files = Mapping[str, str | bytes]


def write_tree(root: Path, files: Files) -> Path:
    for path, content in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content.encode() if isinstance(content, str) else content)
    return root


def tar_bytes(files: Files, folder: str = "", mode: str = "w") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:  # type: ignore[call-overload]
        for path, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            member = tarfile.TarInfo(folder + path)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return out.getvalue()


class Read:
    """What was read of a repository: documents, their meta, what was reported, and the summary."""

    def __init__(self, path: Path | str, name: str = "r", *, normalisation: Any = None, **settings: Any) -> None:
        self.reports: list[tuple[str, str, str, str | None]] = []
        summaries: list[dict[str, Any]] = []
        more = {"normalisation": normalisation} if normalisation else {}
        piece = Piece(path=str(path), name=name, format="repository", bytes=0)
        batches = read_repositories(
            piece, Fields(source="s", kind="code"), lambda *all_: self.reports.append(all_),
            RepositorySettings(**settings), summaries.append, **more,
        )  # fmt: skip
        self.documents: list[dict[str, Any]] = []
        for batch in batches:
            batch.validate(full=True)
            self.documents += batch.to_pylist()
        self.metas = [orjson.loads(row["meta"]) for row in self.documents]
        self.summary = summaries[0] if summaries else {}
        pa.Table.from_pylist(summaries, SUMMARY_SCHEMA).validate(full=True)
        assert all(set(summary) == set(SUMMARY_SCHEMA.names) for summary in summaries)

    @property
    def paths(self) -> list[list[str]]:
        return [meta["paths"] for meta in self.metas]

    @property
    def reasons(self) -> dict[str, str]:
        """Why each file was reported, by its path."""
        return {name.split("#", 1)[1]: reason for name, _, reason, _ in self.reports}

    @property
    def left_out(self) -> dict[str, int]:
        """How many files were left out, by reason, zeros left out."""
        known = ("repository", "place", "documents", "files", "bytes", "dependencies", "quarantined", "normalised")
        return {name: count for name, count in self.summary.items() if name not in known and count}
