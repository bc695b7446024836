"""Tokenizer training: pretokens are counted, and merges are learned from the counts.

1. count, merge   documents → a table of counts (`counting.py`), `counts/`, which is kept: another size needs no text
2. learn          the table → the tokenizer folder

Tables of counts may take the place of documents, or be added to them; a single table is read where it lies. Groups of
documents (languages, sources, kinds) are weighed between counting and learning. Memory: the setting `memory` a worker
while counting; the unique pretokens of the corpus while learning.
"""

import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from pydantic import ByteSize, Field

from corpusmill.dataproc import storage
from corpusmill.dataproc.errors import UserError
from corpusmill.pipelines.datasets import folder_identities, require_distinct_ids, tokenizer_identity
from corpusmill.pipelines.engine.progress import clock
from corpusmill.pipelines.engine.stage import (
    DOCUMENT_SECONDS,
    DocumentSeconds,
    PhasePlan,
    Stage,
    StageRun,
    StageSettings,
    Summary,
    Watched,
)
from corpusmill.pipelines.engine.state import WORK
from corpusmill.pipelines.engine.task import Task
from corpusmill.pipelines.stages.tokenizer.arguments import LearnWork
from corpusmill.pipelines.stages.tokenizer.counting import Counting, plan_counting

if TYPE_CHECKING:
    from corpusmill.tokenizer.formats.files import TokenizerFiles

PROGRESS = "learning.json"


BYTES = 256
"""Ids of single bytes, which every vocabulary has."""


class TokenizerSettings(StageSettings):
    """Settings of `corpusmill tokenizer train`."""

    datasets: tuple[str, ...] = Field(default=(), description="datasets of documents; optional with --counts")
    counts: tuple[str, ...] = Field(
        default=(), description="tables of `tokenizer count`, or tokenizers trained from text, whose counts are used"
    )
    vocab_size: int = Field(
        default=128_000,
        description="number of ids, special tokens included (deepseek-v3: those after the merges come on top)",
        ge=300,
        le=1 << 20,
    )
    pattern: str = Field(default="deepseek-v3", description="how text is cut into pretokens")
    special: str = Field(
        default="deepseek-v3",
        description="layout of the special tokens: a YAML or JSON file, deepseek-v3, compact (without placeholders), "
        "gpt2, llama3, chatml or qwen2.5",
    )
    min_frequency: int = Field(default=0, description="do not merge pairs seen less often", ge=0)
    max_token_length: int | None = Field(
        default=None, description="longest token that a merge may make, in bytes", ge=2
    )
    no_merge: tuple[Literal["digits", "punctuation", "whitespace"], ...] = Field(
        default=(), description="characters that are never part of a longer token; digits spells numbers digit by digit"
    )
    continue_from: str | None = Field(
        default=None,
        description="a tokenizer folder to extend: its ids, pattern and special tokens stay, new ids follow "
        "all of them, and vocab_size counts all",
    )
    checkpoint_merges: int = Field(default=5_000, description="merges between checkpoints", ge=1)
    warm_pretokens: int = Field(
        default=700_000,
        description="most common pretokens whose ids are stored for a fast start; about 50 bytes each",
        ge=0,
    )
    group_by: Literal["none", "source", "language", "kind"] = Field(
        default="none", description="groups that weights and temperature apply to"
    )
    weights: dict[str, float] = Field(default={}, description="weights of groups of documents; 1 if not named")
    temperature: float = Field(
        default=1.0,
        description="T: groups count by size^(1/T), so more than 1 favours small ones",
        gt=0,
        allow_inf_nan=False,
    )
    balance_by: Literal["bytes", "pretokens"] = Field(
        default="bytes", description="how the size of a group is measured"
    )
    min_count: int = Field(default=1, description="leave out pretokens seen less often", ge=1)
    most_groups: int = Field(default=256, description="fail if there are more groups than this", ge=1, le=1 << 16)
    memory: ByteSize = Field(
        default=ByteSize(512 << 20), description="maximum memory of a worker's table of counts", ge=1 << 20
    )
    document_seconds: DocumentSeconds = DOCUMENT_SECONDS


class TokenizerStage(Stage):
    """Documents, or their counts, to a tokenizer folder."""

    name = "tokenizer"
    kernels = ("corpusmill.tokenizer.warmup",)
    version = 2
    Settings = TokenizerSettings
    over_documents = False
    settings: TokenizerSettings

    def inputs(self) -> dict[str, Any]:
        from corpusmill.tokenizer.special import LAYOUTS

        identities = folder_identities([*self.settings.datasets, *self.settings.counts], self.resolve)
        special = self.settings.special
        if self.settings.continue_from is not None:
            return identities | tokenizer_identity(self.settings.continue_from, self.resolve)
        return identities if special in LAYOUTS else identities | {special: self._layout()}

    def _layout(self) -> dict[str, Any]:
        """The layout of special tokens as plain values."""
        from corpusmill.pipelines.special_layouts import read_layout
        from corpusmill.tokenizer.formats.special_records import layout_record

        return layout_record(read_layout(self.settings.special))

    def check(self) -> None:
        from corpusmill.pipelines.special_layouts import read_layout
        from corpusmill.tokenizer.patterns import pattern_named

        settings = self.settings
        pattern_named(settings.pattern)
        if settings.continue_from is None:
            read_layout(settings.special).model_size(settings.vocab_size)
        elif given := settings.model_fields_set & {"pattern", "special"}:
            what = f"'{min(given)}' is fixed by the tokenizer that is continued"
            raise UserError(what, where="continue_from", hint=f"leave '{min(given)}' out")
        if not settings.datasets and not settings.counts:
            raise UserError("there is nothing to learn from", where="datasets", hint="give a dataset, or --counts")
        if settings.group_by == "none" and (settings.weights or settings.temperature != 1):
            hint = "give --group-by language, source or kind"
            raise UserError("weights and temperature are for groups of documents", where="group_by", hint=hint)

    def is_unbounded(self) -> bool:
        from corpusmill.tokenizer.patterns import PATTERNS

        old = self._continued()
        return old is not None and old.pattern.name not in PATTERNS

    def require_files(self, made: Callable[[str], bool]) -> None:
        old = self.settings.continue_from
        if old and not made(self.resolve(old)):
            tokenizer_identity(old, self.resolve)

    def check_inputs(self, folder: str) -> None:
        old, asked = self._continued(), self.settings.vocab_size
        if old is not None and asked <= old.special.vocab_size:
            what = f"this tokenizer has {old.special.vocab_size:,} ids already, but {asked:,} were requested"
            raise UserError(what, where=self.settings.continue_from or "", hint="ask for a larger vocab_size")
        counting = self._counting()
        counting.check(merging=not self._in_place(counting))
        require_distinct_ids(self.settings.datasets, self.resolve)

    def _continued(self) -> "TokenizerFiles | None":
        """The tokenizer that is extended, if one is."""
        from corpusmill.tokenizer.formats.files import read_tokenizer

        folder = self.settings.continue_from
        return None if folder is None else read_tokenizer(self.resolve(folder))

    def phases(self) -> list[PhasePlan]:
        counting = self._counting()
        learning = PhasePlan(name="learn", tasks=1, bytes=0)
        return [learning] if self._in_place(counting) else [*counting.phases(), learning]

    def _counting(self) -> Counting:
        settings = self.settings
        return plan_counting(
            datasets=settings.datasets,
            tables=settings.counts,
            resolve=self.resolve,
            pattern=settings.pattern if (old := self._continued()) is None else old.pattern,
            group_by=settings.group_by,
            most_groups=settings.most_groups,
            min_count=settings.min_count,
            memory=settings.memory,
        )

    def sizes(self) -> str:
        """What the ids will be, in words: how many there are is not always the number that was asked for."""
        from corpusmill.pipelines.special_layouts import read_layout

        asked = self.settings.vocab_size
        if (old := self._continued()) is not None:
            more = asked - old.special.vocab_size
            return f"{asked:,} ids: {old.special.vocab_size:,} of the old tokenizer and {more:,} new merges"
        layout = read_layout(self.settings.special)
        model = layout.model_size(asked)
        merges, special = model - len(layout.first) - BYTES, len(layout.first) + len(layout.last)
        total = f"{merges + BYTES + special:,} ids: {merges:,} merges, {BYTES} bytes, {special:,} special tokens"
        if layout.counted or not layout.last:
            return total
        return f"{total}; the last {len(layout.last):,} of these come on top of the {asked:,} ids asked for"

    @staticmethod
    def _in_place(counting: Counting) -> bool:
        """Whether there is one table and nothing to add to it."""
        return not counting.parts and len(counting.tables) == 1

    def run(self, run: StageRun) -> Summary:
        settings, counting = self.settings, self._counting()
        run.say(self.sizes())
        in_place = self._in_place(counting)
        counted = counting.as_counted() if in_place else counting.run(run)
        balance = self._balance(counted.table)
        learned = run.map(
            "learn",
            [
                Task(
                    id="tokenizer",
                    function="corpusmill.pipelines.stages.tokenizer.work.learning:learn_merges",
                    arguments=LearnWork(
                        settings=settings.model_dump(mode="json"),
                        vocab_size=settings.vocab_size,
                        pattern=settings.pattern,
                        min_frequency=settings.min_frequency,
                        max_token_length=settings.max_token_length,
                        no_merge=settings.no_merge,
                        checkpoint_merges=settings.checkpoint_merges,
                        warm_pretokens=settings.warm_pretokens,
                        special=self._layout(),
                        continue_from=settings.continue_from and self.resolve(settings.continue_from),
                        tables=counted.paths,
                        min_count=settings.min_count if in_place else 1,
                        balance=balance,
                        left_out=counted.table["dropped"],
                        corpus=self.inputs(),
                        sample=counting.parts[0].path if counting.parts else "",
                    ),
                    bytes=sum(entry["bytes"] for entry in counted.files),
                )
            ],
            watch=partial(_watched, run.path(WORK, PROGRESS)),
        )[0]
        names = ("fingerprint", "ids", "model_rows", "merges", "bytes_per_token", "left_out")
        facts = {name: learned[name] for name in names} | {"balance": balance}
        return Summary(
            counts={**counted.counts, "ids": learned["ids"]},
            files=[*counted.files, *learned["files"]],
            facts=facts | ({} if in_place else {"table": counted.table}),
        )

    def _balance(self, table: Mapping[str, Any]) -> dict[str, Any]:
        """What each group's counts are scaled by, in units of 2^-20, and what that came from."""
        from corpusmill.tokenizer.counting.balance import group_scales

        settings = self.settings
        sizes = {name: group[settings.balance_by] for name, group in table["groups"].items()}
        return {
            "group_by": table["group_by"],
            "temperature": settings.temperature,
            "balance_by": settings.balance_by,
            "weights": settings.weights,
            "groups": table["groups"],
            "scales": group_scales(sizes, settings.weights, settings.temperature),
        }


def _watched(path: str) -> Watched:
    """How far learning is, as the worker wrote it last; nothing where it has not, or not on this machine."""
    if storage.is_url(path) or not storage.exists(path):
        return Watched()
    learned = json.loads(storage.read_bytes(path))
    words = [f"{learned['merges']:,} of {learned['asked']:,} merges"]
    if learned["seconds_left"] is not None:
        words.append(f"{clock(learned['seconds_left'])} left")
    words.append(f"the next pair occurs {learned['count']:,} times")
    return Watched(learned["merges"] / max(1, learned["asked"]), tuple(words))
