"""Pack: documents to tokens, fill-in-the-middle, best-fit packing, and Arrow shards of equal sequences.

One task takes parts up to about `task_bytes` of text and writes one shard (and one of held-back documents), so the
packing window is a task. A document is held back, rearranged and split by draws of its own id. Memory: about 12 bytes
for each byte of a task's text, at the most.
"""

from typing import Any, Literal

from pydantic import ByteSize, Field

from pipelines.datasets import PartReference, folder_identities, list_parts, listed
from pipelines.engine.stage import PhasePlan, Stage, StageRun, StageSettings, Summary, add_counts
from pipelines.engine.task import Task


class PackSettings(StageSettings):
    """Settings of `corpusmill pack`."""

    datasets: tuple[str, ...] = Field(description="datasets of documents", min_length=1)
    tokenizer: str = Field(description="a tokenizer folder")
    sequence_length: int = Field(default=4096, description="tokens of a sequence", ge=16, le=1 << 20)
    packing: Literal["best-fit", "concat", "none"] = Field(default="best-fit", description="how sequences are filled")
    bos: bool = Field(default=False, description="begin each document with the beginning-of-sequence token")
    fim_rate: float = Field(default=0.1, description="share of documents rearranged to fill in the middle", ge=0, le=1)
    fim_mode: Literal["psm", "spm"] = Field(default="psm", description="prefix-suffix-middle or suffix-prefix-middle")
    fim_kinds: tuple[str, ...] = Field(default=(), description="kinds that may be rearranged; all if left out")
    fim_minimum: int = Field(default=16, description="shorter documents stay plain (characters)", ge=1)
    fim_maximum: int = Field(default=1 << 20, description="longer documents stay plain (characters)", ge=1)
    boundary_split: float = Field(
        default=0.1, description="share of tokens joining punctuation and line breaks that are split", ge=0, le=1
    )
    validation_share: float = Field(default=0.0, description="share of documents held back for validation", ge=0, lt=1)
    task_bytes: ByteSize = Field(
        default=ByteSize(128 << 20), description="text that is packed together into one shard", ge=1 << 16
    )


class PackStage(Stage):
    """Documents and a tokenizer to token shards."""

    name = "pack"
    Settings = PackSettings
    settings: PackSettings

    def check_inputs(self, folder: str) -> None:
        list_parts(self.settings.datasets, self.resolve)

    def inputs(self) -> dict[str, Any]:
        return folder_identities([*self.settings.datasets, self.settings.tokenizer], self.resolve)

    def _groups(self) -> list[list[PartReference]]:
        """Consecutive parts that are packed together."""
        groups: list[list[PartReference]] = []
        held = 0
        for part in list_parts(self.settings.datasets, self.resolve):
            if not groups or held + part.arrow_bytes > self.settings.task_bytes:
                groups.append([])
                held = 0
            groups[-1].append(part)
            held += part.arrow_bytes
        return groups

    def phases(self) -> list[PhasePlan]:
        groups = self._groups()
        total = sum(part.arrow_bytes for group in groups for part in group)
        return [PhasePlan(name="shards", tasks=len(groups), bytes=total)]

    def run(self, run: StageRun) -> Summary:
        settings = self.settings.model_dump(mode="json") | {"datasets": [], "seed": self.seed}
        settings["tokenizer"] = self.resolve(self.settings.tokenizer)
        vocabulary = run.map(
            "vocabulary",
            [Task(id="vocabulary", function="pipelines.tasks.pack:write_vocabulary", arguments=settings)],
        )[0]
        results = run.map(
            "shards",
            [
                Task(
                    id=f"shard-{number:05d}",
                    function="pipelines.tasks.pack:pack_shard",
                    arguments=settings | {"paths": [part.path for part in group]},
                    bytes=sum(part.arrow_bytes for part in group),
                )
                for number, group in enumerate(self._groups())
            ],
        )
        names = ["documents_in", "kept", "quarantined", "tokens", "sequences", "padding", "validation_documents"]
        names += ["validation_sequences", "fim_documents", "boundary_splits", "text_bytes", "cut", "cut_needlessly"]
        counts = add_counts(results, names)
        space = counts["tokens"] + counts["padding"]
        by: dict[str, dict[str, int]] = {}
        for result in results:
            for column, tokens in result["tokens_by"].items():
                for value, count in tokens.items():
                    by.setdefault(column, {})[value] = by.setdefault(column, {}).get(value, 0) + count
        encoded = sum(by.get("kind", {}).values())  # those of held-back documents, whose text is counted, too
        return Summary(
            counts=counts,
            parts=listed(results, "parts"),
            files=listed([vocabulary, *results], "files"),
            facts={
                "fill": round(counts["tokens"] / space, 6) if space else 0.0,
                "bytes_per_token": round(counts["text_bytes"] / encoded, 4) if encoded else 0.0,
                "tokens_by": by,
                "tokenizer": vocabulary["fingerprint"],
            },
        )
