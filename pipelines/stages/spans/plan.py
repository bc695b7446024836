"""Repeated text inside documents: long substrings, paragraphs or lines that stood before, reported, cut or removed.

    substring            keys      block → hashes that stand for its windows, partitioned
                         shared    partition of keys → those that occur twice, by block
                         contexts  block → the text under shared keys, partitioned by key
                         repeats   partition of contexts → repeated windows, by block, compared byte by byte
    paragraph, line      tally     block → digests of its units with counts, partitioned
                         repeated  partition of digests → those counted more than `limit` times, by block
    all                  apply     block → its parts; `_spans/` lists what is repeated and where its first copy is

`report` keeps all documents as they are. `cut` takes the spans out of the texts and rejects a document of which fewer
than `minimum` characters are left. `remove` rejects a document of which more than `share` is repeated, and leaves the
others as they are. First copies are reckoned over the whole input, before anything is rejected: of two documents that
hold each other's first copies both may go, so look at a report first when `minimum` or `share` is severe.

After `cut` no N bytes that lie together in the input, and are kept together, stand twice, but where two copies overlap
(dataproc/dedup/substring.py). Where a span was taken out, its neighbours now stand together, and may by chance repeat
something there.

A block is parts of 512 MiB of text together, or a 64th of the input, or one part. Memory: a block's keys or digests (84
or 360 MB); a partition, `partition_bytes`; two row groups. Disk for intermediate files, measured on 151 MB of raw
documentation and code: 0.7 to 0.85 bytes a byte of text by substrings of 200 bytes.
"""

from collections import Counter
from dataclasses import replace
from typing import Any, Literal

from pydantic import ByteSize, Field

from corpusmill.dataproc.errors import UserError
from corpusmill.pipelines.datasets import PartReference, listed
from corpusmill.pipelines.engine.stage import PhasePlan, StageRun, StageSettings, Summary, add_counts
from corpusmill.pipelines.engine.task import Task
from corpusmill.pipelines.stages.blocks import LEAST_BLOCKS, MAX_PARTITIONS, block_tasks, partition_tasks
from corpusmill.pipelines.stages.parts import PartsStage
from corpusmill.pipelines.stages.spans.arguments import SpansWork

TASKS = "corpusmill.pipelines.stages.spans.work"
BLOCK_BYTES = 512 << 20
SORTED_KEY_BYTES = 24
UNIT_BYTES, TALLY_BYTES = 60, 120
WINDOW_BYTES = 32
"""Memory of a distinct window in a resolver, its text included (dataproc.dedup.substring)."""

SHARED_SHARE = 3
"""A third of raw text lies under shared keys: for `--dry-run`, which cannot know."""


class SpansSettings(StageSettings):
    """Settings of `corpusmill spans`."""

    datasets: tuple[str, ...] = Field(description="datasets of documents", min_length=1)
    unit: Literal["substring", "paragraph", "line"] = Field(default="substring", description="what is compared")
    length: int = Field(default=200, description="substring: minimum length of a repeat, in bytes", ge=16, le=4096)
    unit_length: int = Field(default=40, description="paragraph, line: ignore units with fewer characters", ge=1)
    limit: int = Field(default=1, description="paragraph, line: units counted more often than this are repeated", ge=1)
    count: Literal["documents", "times"] = Field(
        default="documents", description="paragraph, line: count documents with the unit, or every copy"
    )
    normalise: tuple[Literal["case", "space", "punctuation"], ...] = Field(
        default=(), description="paragraph, line: what copies may differ in"
    )
    action: Literal["report", "cut", "remove"] = Field(
        default="report", description="list repeated text, cut it out, or remove documents that are mostly repeated"
    )
    minimum: int = Field(default=100, description="cut: reject documents with fewer characters left", ge=0)
    share: float = Field(
        default=0.5, description="remove: reject documents of which a larger share is repeated", ge=0, lt=1
    )
    partition_bytes: ByteSize = Field(
        default=ByteSize(256 << 20), description="memory that a worker takes for a partition", ge=1 << 16
    )


class SpansStage(PartsStage):
    """Documents to documents without repeated stretches of text, and a list of these."""

    name = "spans"
    version = 2
    kernels = ("corpusmill.dataproc.dedup.warmup_spans",)
    Settings = SpansSettings
    settings: SpansSettings

    def check(self) -> None:
        changed = self.settings.model_fields_set & {"limit", "count", "normalise", "unit_length"}
        if self.settings.unit == "substring" and changed:
            name = sorted(changed)[0].replace("_", "-")
            raise UserError("substrings are compared as they are", f"--{name}", "give --unit paragraph or --unit line")

    def _partitions(self, memory: int) -> int:
        """Partitions for so much memory in all: a function of input and settings, so that it is the same anywhere."""
        return min(MAX_PARTITIONS, 1 + memory // self.settings.partition_bytes)

    def _first_partitions(self, parts: list[PartReference]) -> int:
        """Partitions of the first shuffle, by the input's size."""
        text = sum(part.arrow_bytes for part in parts)
        if self.settings.unit == "substring":
            return self._partitions(4 * text // self.settings.length * SORTED_KEY_BYTES)
        return self._partitions(text // UNIT_BYTES * TALLY_BYTES)

    def phases(self) -> list[PhasePlan]:
        parts = self.parts()
        blocks, text, first = (
            len(_blocks(parts)),
            sum(part.arrow_bytes for part in parts),
            self._first_partitions(parts),
        )
        if self.settings.unit == "substring":
            keys = 4 * 8 * text // self.settings.length
            phases = [
                PhasePlan(name="keys", tasks=blocks, bytes=text),
                PhasePlan(name="shared", tasks=first, bytes=keys),
                PhasePlan(name="contexts", tasks=blocks, bytes=text),
                PhasePlan(name="repeats", tasks=self._partitions(text // SHARED_SHARE * WINDOW_BYTES), bytes=text),
            ]
        else:
            phases = [
                PhasePlan(name="tally", tasks=blocks, bytes=text),
                PhasePlan(name="repeated", tasks=first, bytes=text // UNIT_BYTES * 60),
            ]
        return [*phases, PhasePlan(name="apply", tasks=blocks, bytes=text)]

    def run(self, run: StageRun) -> Summary:
        settings = self.settings
        parts = self.parts()
        blocks = _blocks(parts)
        work = SpansWork(
            unit=settings.unit,
            length=settings.length,
            unit_length=settings.unit_length,
            limit=settings.limit,
            count=settings.count,
            normalise=settings.normalise,
            action=settings.action,
            minimum=settings.minimum,
            share=settings.share,
            partitions=self._first_partitions(parts),
            blocks=len(blocks),
        )
        find = self._find_substrings if settings.unit == "substring" else self._find_units
        facts, work = find(run, blocks, work)
        applied = run.map("apply", _block_tasks(blocks, "actions:apply_block", work))
        totals = Counter[str]()
        for result in applied:
            totals.update(result["totals"])
        rule = {"cut": "characters_left", "remove": "repeated_share"}
        counts = add_counts(applied, ["documents_in", "kept", "rejected", "quarantined"])
        if settings.action in rule:
            facts["documents_that_broke"] = {rule[settings.action]: counts["rejected"]}
        return Summary(
            counts=counts,
            parts=listed(applied, "parts"),
            files=listed(applied, "files"),
            facts=facts | {name: totals[name] for name in TOTALS},
        )

    def _find_substrings(
        self, run: StageRun, blocks: list[list[PartReference]], work: SpansWork
    ) -> tuple[dict[str, Any], SpansWork]:
        """The phases that find repeated windows: facts, and the work of `apply`, which knows what files to read."""
        listed_keys = run.map("keys", _block_tasks(blocks, "searching:list_keys", work))
        size = sum(result["bytes"] for result in listed_keys)
        shared = run.map("shared", partition_tasks(f"{TASKS}.searching:share_keys", work, work.partitions, size))
        windows = sum(result["keys"] for result in shared) * (self.settings.length // 4 + 1)
        work = replace(work, applied=self._partitions(windows * WINDOW_BYTES))
        contexts = run.map("contexts", _block_tasks(blocks, "searching:ship_contexts", work))
        size = sum(result["bytes"] for result in contexts)
        repeats = run.map("repeats", partition_tasks(f"{TASKS}.searching:find_repeats", work, work.applied, size))
        return {"repeated_windows": sum(result["windows"] for result in repeats)}, work

    def _find_units(
        self, run: StageRun, blocks: list[list[PartReference]], work: SpansWork
    ) -> tuple[dict[str, Any], SpansWork]:
        """The phases that find repeated units; as `_find_substrings`."""
        tallied = run.map("tally", _block_tasks(blocks, "searching:tally_units", work))
        size = sum(result["bytes"] for result in tallied)
        repeated = run.map("repeated", partition_tasks(f"{TASKS}.searching:repeat_units", work, work.partitions, size))
        facts = {
            "units": sum(result["units"] for result in tallied),
            "distinct_repeated_units": sum(result["distinct"] for result in repeated),
        }
        return facts, replace(work, applied=work.partitions)


TOTALS = ("bytes_in", "bytes_repeated", "bytes_cut", "bytes_rejected", "spans", "documents_with_repeats")
"""Sums over documents that are facts: text that came in, lies in spans, was cut out of kept documents, was rejected."""


def _blocks(parts: list[PartReference]) -> list[list[PartReference]]:
    """Parts in order, those next to each other together until a block is full; a function of the input alone."""
    full = min(BLOCK_BYTES, sum(part.arrow_bytes for part in parts) // LEAST_BLOCKS)
    blocks: list[list[PartReference]] = []
    size = full
    for part in parts:
        if size >= full:
            blocks.append([])
            size = 0
        blocks[-1].append(part)
        size += part.arrow_bytes
    return blocks


def _block_tasks(blocks: list[list[PartReference]], function: str, work: SpansWork) -> list[Task]:
    sizes = [sum(part.arrow_bytes for part in block) for block in blocks]
    fields = [{"parts": tuple((part.task_id, part.path) for part in block)} for block in blocks]
    return block_tasks(f"{TASKS}.{function}", work, sizes, fields)
