"""What a run of ingest says beside its counts: before it reads, what is worth a line; and afterwards, its facts."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from corpusmill.dataproc.errors import UserError
from corpusmill.pipelines.engine.task import Task


@dataclass(frozen=True, kw_only=True)
class Planned:
    """The tasks of an ingest, and what was noticed on the way to them.

    Attributes:
        indivisible: bytes of each large file that is one piece because it is one member or frame.
        as_text: files of no ending that is known, of which no format was named: each becomes one document.
        left_out: links that are not followed, folders that may not be listed, pipes, sockets and devices.
    """

    tasks: list[Task]
    indivisible: Mapping[str, int]
    as_text: Sequence[str]
    left_out: Sequence[str]

    def notes(self) -> Iterator[str]:
        """Lines for whoever runs it."""
        if self.indivisible:
            largest = max(self.indivisible, key=lambda path: (self.indivisible[path], path))
            files = _number(self.indivisible, "large file")
            yield f"{files} of a single gzip member or zstd frame, which one worker reads ({largest})"
        if self.as_text:
            files = _number(self.as_text, "file")
            yield f"{files} read as plain text, one document a file, by the ending ({self.as_text[0]}); see --format"
        if self.left_out:
            why = "links to folders or out of the input, folders that may not be listed, pipes, sockets and devices"
            yield f"{_number(self.left_out, 'path')} not read ({self.left_out[0]}): {why} are left out"

    def facts(self) -> dict[str, Any]:
        facts: dict[str, Any] = {}
        if self.indivisible:
            facts["indivisible"] = dict(self.indivisible)
        if self.left_out:
            facts["left_out"] = len(self.left_out)
        return facts


def facts_of(results: Sequence[Mapping[str, Any]], tasks: Sequence[Task]) -> dict[str, Any]:
    """What tasks counted: texts changed by normalisation, pieces not read to their ends, files of repositories."""
    facts: dict[str, Any] = {}
    changed, marked, passed_over, repositories = (Counter[str]() for _ in range(4))
    for result in results:
        changed.update(result.get("normalised", {}))
        marked.update(result.get("marked", {}))
        passed_over.update(result.get("passed_over", {}))
        repositories.update(result.get("repositories", {}))
    if normalised := {name: changed[name] for name in ("mojibake", "NFC") if name in changed}:
        facts["normalised"] = normalised
    if marked:
        facts["marked"] = dict(sorted(marked.items()))
    if passed_over:
        facts["passed_over"] = dict(sorted(passed_over.items()))
    if unread := _unread(results):
        total = sum(piece.bytes for task in tasks for piece in task.arguments.pieces)
        facts["unread"] = {"pieces": len(unread), "bytes": sum(piece["bytes"] for piece in unread), "of_bytes": total}
    if repositories:
        facts["repositories"] = dict(sorted(repositories.items()))
    return facts


def require_some(results: Sequence[Mapping[str, Any]], tasks: Sequence[Task]) -> None:
    """Raises UserError where the settings go with no file at all: then it is they that are wrong, and not the files."""
    pieces, unread = sum(len(task.arguments.pieces) for task in tasks), _unread(results)
    if not unread or len(unread) < pieces or any(result["kept"] for result in results):
        return
    if all("mismatch" in piece for piece in unread):
        what, _, hint = unread[0]["mismatch"].rpartition("; ")
        many = f"none of the {pieces:,} files or pieces can be read: " if pieces > 1 else ""
        raise UserError(many + (what or hint), where=unread[0]["path"], hint=hint if what else "")


def _unread(results: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [piece for result in results for piece in result.get("unread", ())]


def _number(things: Sequence[str] | Mapping[str, int], name: str) -> str:
    if len(things) == 1:
        return f"1 {name}"
    return f"{len(things):,} {name.replace(' or ', 's or ')}s"
