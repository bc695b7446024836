"""Tokenizer training: pretokens are counted by part, merged by hash partition, and merges are learned from the counts.

1. count   part → pretokens and counts, partitioned
2. merge   partition → one table, `counts/partition-0000.parquet`, which is kept: another vocabulary size needs no text
3. learn   all tables → the tokenizer folder

Memory: phases 1 and 2 by the unique pretokens of a part and of a partition; phase 3 by those of the corpus.
"""

from typing import Any, Literal

from pydantic import Field

from pipelines.datasets import folder_identities, list_parts, listed
from pipelines.engine.stage import PhasePlan, Stage, StageRun, StageSettings, Summary
from pipelines.engine.task import Task

PARTITION_TEXT_BYTES = 4 << 30
MAX_PARTITIONS = 1024


class TokenizerSettings(StageSettings):
    """Settings of `corpusmill tokenizer train`."""

    datasets: tuple[str, ...] = Field(description="datasets of documents", min_length=1)
    vocab_size: int = Field(
        default=128_000, description="ids in all (deepseek-v3: before the placeholders)", ge=300, le=1 << 20
    )
    pattern: str = Field(default="deepseek-v3", description="how text is cut into pretokens")
    special: Literal["deepseek-v3", "compact"] = Field(
        default="deepseek-v3", description="layout of the special tokens; compact has no placeholders"
    )
    min_frequency: int = Field(default=0, description="a pair that is seen less often is not merged", ge=0)
    max_token_length: int | None = Field(default=None, description="longest token made of a merge, in bytes", ge=2)


class TokenizerStage(Stage):
    """Documents to a tokenizer folder."""

    name = "tokenizer"
    Settings = TokenizerSettings
    over_documents = False
    settings: TokenizerSettings

    def check_inputs(self, folder: str) -> None:
        list_parts(self.settings.datasets, self.resolve)

    def inputs(self) -> dict[str, Any]:
        return folder_identities(self.settings.datasets, self.resolve)

    def check(self) -> None:
        from tokenizer.patterns import pattern_named

        pattern_named(self.settings.pattern)

    def _partitions(self, total: int) -> int:
        return min(MAX_PARTITIONS, 1 + total // PARTITION_TEXT_BYTES)

    def phases(self) -> list[PhasePlan]:
        parts = list_parts(self.settings.datasets, self.resolve)
        total = sum(part.arrow_bytes for part in parts)
        return [
            PhasePlan(name="count", tasks=len(parts), bytes=total),
            PhasePlan(name="merge", tasks=self._partitions(total), bytes=0),
            PhasePlan(name="learn", tasks=1, bytes=0),
        ]

    def run(self, run: StageRun) -> Summary:
        settings = self.settings
        parts = list_parts(settings.datasets, self.resolve)
        partitions = self._partitions(sum(part.arrow_bytes for part in parts))
        counted = run.map(
            "count",
            [
                Task(
                    id=part.task_id,
                    function="pipelines.tasks.tokenizer.counting:count_part",
                    arguments={"path": part.path, "pattern": settings.pattern, "partitions": partitions},
                    bytes=part.arrow_bytes,
                )
                for part in parts
            ],
        )
        names = [part.task_id for part in parts]
        merged = run.map(
            "merge",
            [
                Task(
                    id=f"partition-{number:04d}",
                    function="pipelines.tasks.tokenizer.counting:merge_partition",
                    arguments={"partition": number, "parts": names},
                    bytes=sum(result["bytes"] for result in counted) // partitions,
                )
                for number in range(partitions)
            ],
        )
        learned = run.map(
            "learn",
            [
                Task(
                    id="tokenizer",
                    function="pipelines.tasks.tokenizer.learning:learn_merges",
                    arguments={
                        "settings": settings.model_dump(mode="json"),
                        "partitions": partitions,
                        "corpus": self.inputs(),
                        "sample": parts[0].path if parts else "",
                    },
                    bytes=sum(result["bytes"] for result in merged),
                )
            ],
        )[0]
        return Summary(
            counts={
                "documents_in": sum(result["documents_in"] for result in counted),
                "quarantined": sum(result["quarantined"] for result in counted),
                "pretokens": sum(result["total"] for result in merged),
                "unique_pretokens": sum(result["unique"] for result in merged),
                "ids": learned["ids"],
            },
            files=listed([*counted, *merged, learned], "files"),
            facts={name: learned[name] for name in ("fingerprint", "ids", "model_rows", "merges", "bytes_per_token")},
        )
