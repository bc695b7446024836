"""How repositories become documents: settings that a plan can import without the readers."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class RepositorySettings:
    """How repositories become documents.

    Attributes:
        depth: how far below a path its repositories are (0, 1, 2); None to find out.
        documents: "component" (the files of a connected subgraph), "repository", or "file".
        document_bytes: a longer document is split, between files; a file is never cut.
        maximum_file_bytes: a longer file is left out, and counted.
        archive_bytes: an archive that holds more than this, uncompressed, is read up to there.
        exclude: patterns of paths to leave out.
    """

    depth: int | None = None
    documents: str = "component"
    document_bytes: int = 1 << 20
    maximum_file_bytes: int = 1 << 20
    archive_bytes: int = 16 << 30
    exclude: tuple[str, ...] = ()
