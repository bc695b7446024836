"""Export: token shards as files of another trainer.

One task a shard, each writing files of its own; what a format has once (an index, a card) a last small task writes.
With `unit: document`, documents are put together again: those that lie in several shards meet in a second phase.
Padding is never written as if it were text: Megatron and flat files have none, in MDS and Hugging Face datasets the
segment lengths of a row end before it. `_validation/` is exported beside, to a folder of that name.

Memory: 20 MiB of tokens for sequences; for documents several times a shard's tokens, 0.6 GB at the default size.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

from pydantic import Field

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.sequences.shard_folder import held_back_folder
from corpusmill.dataproc.sequences.shards import ShardEntry, shard_entries
from corpusmill.dataproc.storage import exists
from corpusmill.pipelines.datasets import folder_identities, listed, require_shards
from corpusmill.pipelines.engine.stage import PhasePlan, Stage, StageRun, StageSettings, Summary, add_counts
from corpusmill.pipelines.engine.task import Task
from corpusmill.pipelines.stages.export.arguments import ExportWork, FinishWork, JoinWork

SIDES = ("", "validation")


class ExportSettings(StageSettings):
    """Settings of `corpusmill export`."""

    shards: str = Field(description="a folder of token shards")
    to: Literal["megatron", "mds", "huggingface", "flat"] = Field(description="the format to write")
    unit: Literal["sequence", "document"] = Field(
        default="sequence", description="what an item is: a packed sequence, or a document reassembled from its pieces"
    )


class ExportStage(Stage):
    """Token shards to another format."""

    name = "export"
    over_documents = False
    Settings = ExportSettings
    settings: ExportSettings

    def check_inputs(self, folder: str) -> None:
        manifest = require_shards(self.resolve(self.settings.shards))
        if manifest["settings"].get("chat"):
            what = "these shards say which tokens of conversations are learned, and no format here carries that"
            hint = "train on them here, or give other trainers the conversations and the tokenizer's chat template"
            raise UserError(what, self.settings.shards, hint)

    def inputs(self) -> dict[str, Any]:
        return folder_identities([self.settings.shards], self.resolve)

    def _shards(self) -> list[tuple[str, ShardEntry]]:
        """("" or "validation", shard) of every shard."""
        shards = self.resolve(self.settings.shards)
        folders = zip(SIDES, (shards, held_back_folder(shards)), strict=True)
        return [(side, entry) for side, folder in folders if exists(folder) for entry in shard_entries(folder)]

    def phases(self) -> list[PhasePlan]:
        shards = self._shards()
        return [PhasePlan(name="export", tasks=len(shards), bytes=sum(entry.bytes for _, entry in shards))]

    def run(self, run: StageRun) -> Summary:
        shards = self._shards()
        work = ExportWork(to=self.settings.to, unit=self.settings.unit, partitions=max(1, len(shards)))
        results = run.map(
            "export",
            [
                Task(
                    id=_stem(entry) if not side else f"{side}-{_stem(entry)}",
                    function="corpusmill.pipelines.stages.export.work:export_shard",
                    arguments=replace(work, path=entry.path, stem=_stem(entry), folder=side),
                    bytes=entry.bytes,
                )
                for side, entry in shards
            ],
        )
        if shards and self.settings.unit == "document":
            results += run.map("join", _join_tasks(work, shards, results))
        entries = listed(results, "entries")
        path = shards[0][1].path if shards else ""
        finish = FinishWork(
            to=work.to, unit=work.unit, partitions=work.partitions, path=path, entries=entries, folders=SIDES
        )
        task = Task(id="finish", function="corpusmill.pipelines.stages.export.work:write_beside", arguments=finish)
        files = run.map("finish", [task])[0]["files"] if shards else []
        first = [entry for entry in entries if "rows" in entry and "/" not in entry["path"]]
        names = ["items", "tokens", "padding", "validation_items", "validation_tokens", "incomplete_documents"]
        counts = add_counts(results, names)
        size = sum(entry["bytes"] for entry in first)
        return Summary(
            counts=counts,
            parts=first,
            files=[*(entry for entry in entries if entry not in first), *files],
            facts={"bytes_per_token": round(size / counts["tokens"], 4) if counts["tokens"] else 0.0},
        )


def _stem(entry: ShardEntry) -> str:
    return entry.path.rpartition("/")[2].removesuffix(".arrow")


def _join_tasks(
    work: ExportWork, shards: Sequence[tuple[str, ShardEntry]], results: Sequence[dict[str, Any]]
) -> list[Task]:
    """A task for each partition of documents that lie in several shards, as far as there are any."""
    tasks = []
    for side in SIDES:
        made = [(entry, result) for (here, entry), result in zip(shards, results, strict=True) if here == side]
        for number in range(work.partitions):
            pieces = [(entry, result["pieces"][number]) for entry, result in made if result["pieces"]]
            if not (tokens := sum(count for _, count in pieces)):
                continue
            stem = f"joined-{number:05d}"
            tasks.append(
                Task(
                    id=stem if not side else f"{side}-{stem}",
                    function="corpusmill.pipelines.stages.export.work:export_joined",
                    arguments=JoinWork(
                        to=work.to,
                        unit=work.unit,
                        partitions=work.partitions,
                        path=made[0][0].path,
                        stem=stem,
                        folder=side,
                        number=number,
                        pieces=tuple(_stem(entry) for entry, count in pieces if count),
                    ),
                    bytes=4 * tokens,
                )
            )
    return tasks
