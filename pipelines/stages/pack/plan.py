"""Pack: documents to tokens, fill-in-the-middle, best-fit packing, and Arrow shards of equal size.

Two phases. A task of the first takes parts up to about `task_bytes` of text, which is the packing window, and writes
the full shards that they give; a task of the second joins what was left of several tasks into one more. A document is
held back, rearranged and split by draws of its own id.

With `chat` documents are conversations: their tokens follow the tokenizer's chat template, shards say which of them are
learned (answers), nothing is rearranged or split, and one that is longer than a sequence is left out, with a row in
`_ledger/`, and never cut. Memory: about 10 bytes for each byte of a task's text, and two
shards.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Literal

from pydantic import ByteSize, Field, field_validator, model_validator

from corpusmill.pipelines.datasets import (
    PartReference,
    check_chat_template,
    check_roles_needed,
    has_known_pattern,
    listed,
    tokenizer_identity,
)
from corpusmill.pipelines.engine.stage import (
    DOCUMENT_SECONDS,
    DocumentSeconds,
    PhasePlan,
    StageRun,
    StageSettings,
    Summary,
    add_counts,
)
from corpusmill.pipelines.engine.task import Task
from corpusmill.pipelines.stages.pack.arguments import FimSettings, PackWork
from corpusmill.pipelines.stages.pack.gathering import gather_tasks
from corpusmill.pipelines.stages.pack.linting import lint_facts
from corpusmill.pipelines.stages.parts import PartsStage

OF_TEXT = frozenset(
    ("bos", "eos", "fim_rate", "fim_rates", "fim_mode", "fim_split", "fim_minimum", "fim_maximum", "boundary_split")
)
"""Settings that say nothing of conversations."""


class PackSettings(StageSettings):
    """Settings of `corpusmill pack`."""

    datasets: tuple[str, ...] = Field(description="datasets of documents", min_length=1)
    tokenizer: str = Field(description="a tokenizer folder")
    sequence_length: int = Field(default=4096, description="tokens per sequence", ge=16, le=1 << 20)
    packing: Literal["best-fit", "concat", "none"] = Field(default="best-fit", description="how sequences are filled")
    bos: bool = Field(default=False, description="begin each document with the beginning-of-sequence token")
    eos: bool = Field(default=True, description="end each document with the end-of-sequence token")
    fim_rate: float = Field(default=0.1, description="share of documents rearranged to fill in the middle", ge=0, le=1)
    fim_rates: dict[str, float] = Field(
        default={}, description="overrides of the share by kind, or by source as source:NAME"
    )
    fim_mode: Literal["psm", "spm"] = Field(default="psm", description="prefix-suffix-middle or suffix-prefix-middle")
    fim_split: Literal["character", "line", "token"] = Field(
        default="character", description="unit at which documents are cut for FIM"
    )
    fim_minimum: int = Field(
        default=16, description="documents shorter than this, in characters, are not rearranged", ge=1
    )
    fim_maximum: int = Field(
        default=1 << 20, description="documents longer than this, in characters, are not rearranged", ge=1
    )
    chat: bool = Field(
        default=False,
        description="documents are conversations, as 'ingest --format chat' makes them: by the tokenizer's chat "
        "template, with a mask of what is learned; longer ones than a sequence are left out",
    )
    boundary_split: float = Field(
        default=0.1,
        description="share of tokens joining punctuation and line breaks to split; 0.1 is our choice",
        ge=0,
        le=1,
    )
    validation_share: float = Field(default=0.0, description="share of documents held back for validation", ge=0, lt=1)
    group_by: Literal["none", "source", "kind", "language"] = Field(
        default="none", description="pack these groups of documents separately, so that training can weight them"
    )
    length_buckets: tuple[int, ...] = Field(
        default=(), description="pack documents of up to this many tokens separately from longer ones; ascending bounds"
    )
    storage: Literal["plain", "packed", "zstd"] = Field(
        default="plain", description="how shards store tokens: 4 bytes each, 3 bytes, or compressed"
    )
    shard_tokens: int = Field(default=1 << 23, description="tokens per shard, padding included", ge=16)
    task_bytes: ByteSize = Field(
        default=ByteSize(128 << 20), description="text that one task packs together", ge=1 << 16
    )
    document_seconds: DocumentSeconds = DOCUMENT_SECONDS

    @field_validator("fim_rates")
    @classmethod
    def _shares(cls, rates: dict[str, float]) -> dict[str, float]:
        for name, rate in rates.items():
            if not 0 <= rate <= 1:
                raise ValueError(f"the share for {name} is {rate}: give 0 to 1")
        return rates

    @model_validator(mode="after")
    def _no_rearranging_of_conversations(self) -> "PackSettings":
        fields = type(self).model_fields  # a flag that is not given has its default
        given = sorted(name for name in OF_TEXT if getattr(self, name) != fields[name].default)
        if self.chat and given:
            raise ValueError(f"{given[0]} is for text, and these are conversations (chat): leave it out")
        if self.chat and self.packing == "concat":
            raise ValueError("concat cuts documents anywhere, and conversations (chat) are never cut: use best-fit")
        return self

    @field_validator("length_buckets")
    @classmethod
    def _rising(cls, bounds: tuple[int, ...]) -> tuple[int, ...]:
        if any(low >= high for low, high in zip((0, *bounds), bounds, strict=False)):
            raise ValueError("give ascending numbers of tokens above 0")
        return bounds


class PackStage(PartsStage):
    """Documents and a tokenizer to token shards."""

    name = "pack"
    kernels = (
        "corpusmill.tokenizer.warmup",
        "corpusmill.dataproc.sequences.warmup",
        "corpusmill.dataproc.lint.warmup",
    )
    version = 2
    Settings = PackSettings
    settings: PackSettings

    def check_inputs(self, folder: str) -> None:
        super().check_inputs(folder)
        self._check_tokenizer()

    def require_files(self, made: Callable[[str], bool]) -> None:
        if not made(self.resolve(self.settings.tokenizer)):
            self._check_tokenizer()

    def _check_tokenizer(self) -> None:
        check_roles_needed(self.settings.tokenizer, self.resolve, self.roles())
        if self.settings.chat:
            check_chat_template(self.settings.tokenizer, self.resolve)

    def is_unbounded(self) -> bool:
        return not has_known_pattern(self.settings.tokenizer, self.resolve)

    def roles(self) -> dict[str, str]:
        """What special tokens the settings need, and what for."""
        settings = self.settings
        roles = {"eos": "ends documents", "pad": "pads sequences"}
        if settings.chat:
            return roles
        if settings.bos:
            roles |= {"bos": "begins documents (bos)"}
        if settings.fim_rate > 0 or any(rate > 0 for rate in settings.fim_rates.values()):
            roles |= dict.fromkeys(("fim_begin", "fim_hole", "fim_end"), "fills in the middle (fim_rate)")
        return roles

    def inputs(self) -> dict[str, Any]:
        return super().inputs() | tokenizer_identity(self.settings.tokenizer, self.resolve)

    def windows(self) -> list[list[PartReference]]:
        """Consecutive parts that are packed together."""
        windows: list[list[PartReference]] = []
        size = 0
        for part in self.parts():
            if not windows or size + part.arrow_bytes > self.settings.task_bytes:
                windows.append([])
                size = 0
            windows[-1].append(part)
            size += part.arrow_bytes
        return windows

    @property
    def shard_sequences(self) -> int:
        """Sequences of every shard but the last of a group."""
        return max(1, self.settings.shard_tokens // self.settings.sequence_length)

    def work(self) -> PackWork:
        """What all tasks are given."""
        settings = self.settings
        return PackWork(
            tokenizer=self.resolve(settings.tokenizer),
            sequence_length=settings.sequence_length,
            packing=settings.packing,
            boundary_split=settings.boundary_split,
            bos=settings.bos,
            eos=settings.eos,
            fim=FimSettings(
                rate=settings.fim_rate,
                rates=settings.fim_rates,
                mode=settings.fim_mode,
                split=settings.fim_split,
                minimum=settings.fim_minimum,
                maximum=settings.fim_maximum,
            ),
            seed=self.seed,
            storage=settings.storage,
            shard_sequences=self.shard_sequences,
            group_by=settings.group_by,
            length_buckets=settings.length_buckets,
            validation_share=settings.validation_share,
            chat=settings.chat,
        )

    def phases(self) -> list[PhasePlan]:
        windows = self.windows()
        total = sum(part.arrow_bytes for window in windows for part in window)
        return [PhasePlan(name="pack", tasks=len(windows), bytes=total)]

    def run(self, run: StageRun) -> Summary:
        work = self.work()
        vocabulary = run.map(
            "vocabulary",
            [
                Task(
                    id="vocabulary",
                    function="corpusmill.pipelines.stages.pack.work.shard_writing:write_vocabulary",
                    arguments=work,
                )
            ],
        )[0]
        windows = self.windows()
        results = run.map(
            "pack",
            [
                Task(
                    id=f"window-{number:05d}",
                    function="corpusmill.pipelines.stages.pack.work.packing:pack_documents",
                    arguments=replace(work, paths=tuple(part.path for part in window), number=number),
                    bytes=sum(part.arrow_bytes for part in window),
                )
                for number, window in enumerate(windows)
            ],
        )
        gathered = run.map("gather", gather_tasks(work, listed(results, "tails"), len(windows)))
        entries = [result["entry"] for result in gathered]
        apart = [entry for entry in entries if "/" in entry["path"]]
        parts = [*listed(results, "parts"), *(entry for entry in entries if "/" not in entry["path"])]
        return Summary(
            counts=add_counts(results, COUNTS) | (add_counts(results, ("rejected",)) if self.settings.chat else {}),
            parts=parts,
            files=[*listed([vocabulary, *results], "files"), *apart],
            facts=_facts(results, parts, self.settings.boundary_split)
            | {"tokenizer": vocabulary["fingerprint"]}
            | (add_counts(results, ("learned",)) if self.settings.chat else {})
            | lint_facts(run, work, parts, encoded=True),
        )


COUNTS = (
    "documents_in", "kept", "quarantined", "tokens", "sequences", "padding", "validation_documents",
    "validation_sequences", "fim_documents", "boundary_splits", "text_bytes", "cut", "cut_needlessly",
    "tokens_past_a_cut",
)  # fmt: skip


def _facts(results: Sequence[dict[str, Any]], parts: Sequence[dict[str, Any]], boundary: float) -> dict[str, Any]:
    """What the manifest tells beside the counts: fill, bytes a token, tokens by column and group, the share of joined
    tokens to split (`boundary`) and of all tokens that were, what packing cost and what cutting a stream every L tokens
    would have."""
    by: dict[str, dict[str, int]] = {}
    for result in results:
        for column, tokens in result.get("tokens_by", {}).items():
            for value, count in tokens.items():
                by.setdefault(column, {})[value] = by.setdefault(column, {}).get(value, 0) + count
    groups: dict[str, dict[str, int]] = {}
    for part in parts:
        group = groups.setdefault(part["group"], {"sequences": 0, "tokens": 0})
        group["sequences"] += part["rows"]
        group["tokens"] += part["tokens"]
    costs = ("cut", "cut_needlessly", "tokens_past_a_cut")
    summed = ("tokens", "padding", "text_bytes", "boundary_splits", *costs, *(f"concat_{name}" for name in costs))
    counts = add_counts(results, summed)
    space, tokens = counts["tokens"] + counts["padding"], max(1, counts["tokens"])
    encoded = sum(by.get("kind", {}).values())  # those of held-back documents, whose text is counted, too

    def cost(prefix: str) -> dict[str, Any]:
        cut = {name: counts[prefix + name] for name in costs[:2]}
        return cut | {"lost_context": round(counts[f"{prefix}tokens_past_a_cut"] / tokens, 6)}

    fill = round(counts["tokens"] / space, 6) if space else 0.0
    return {
        "fill": fill,
        "bytes_per_token": round(counts["text_bytes"] / encoded, 4) if encoded else 0.0,
        "boundary_split": {
            "probability": boundary,
            "share_of_tokens": round(counts["boundary_splits"] / encoded, 6) if encoded else 0.0,
        },
        "tokens_by": by,
        "groups": groups,
        "packing": {"fill": fill, "padding": counts["padding"], **cost(""), "concat": cost("concat_")},
    }
