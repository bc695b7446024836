"""What counting and learning hand to their tasks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class PatternSettings:
    """A pretoken pattern: its name and the expressions that split text, one after the other."""

    name: str
    splits: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class CountWork:
    """Parts to count together.

    Attributes:
        group_by: a column of the documents, or "none".
        memory: most bytes of the table, which then goes to disk as a run.
        partitions: of each run.
    """

    paths: tuple[str, ...]
    pattern: PatternSettings
    group_by: str
    most_groups: int
    memory: int
    partitions: int


@dataclass(frozen=True, kw_only=True)
class RunSource:
    """A run of counts: a partition of it, or all of it (None)."""

    run: str
    partition: int | None = None


@dataclass(frozen=True, kw_only=True)
class TableSource:
    """A file of a finished table; of one with fewer partitions, only (partition, partitions) of its rows."""

    table: str
    only: tuple[int, int] | None = None


Source = RunSource | TableSource


@dataclass(frozen=True, kw_only=True)
class CombineWork:
    """Some runs of a partition, to become one."""

    groups: Sequence[str]
    sources: tuple[Source, ...]


@dataclass(frozen=True, kw_only=True)
class MergeWork(CombineWork):
    """All that holds counts of a partition, to become a file of the table; `inputs` is a digest of the datasets'."""

    pattern: PatternSettings
    group_by: str
    min_count: int
    inputs: str


@dataclass(frozen=True, kw_only=True)
class LearnWork:
    """What merges are learned from, and by.

    Attributes:
        settings: of the stage as JSON values, which the tokenizer's record keeps.
        vocab_size … warm_pretokens: those of them that learning goes by.
        special: the layout of special tokens, as a record.
        continue_from: folder of the tokenizer to extend, if any.
        tables: files of counts.
        min_count: pretokens that were seen less often are left out here.
        balance: what each group's counts are scaled by, and what that came from.
        left_out: what was left out when the counts were made.
        corpus: identities of the datasets.
        sample: a part with texts to check the tokenizer on; "" where there is none.
    """

    settings: Mapping[str, Any]
    vocab_size: int
    pattern: str
    min_frequency: int
    max_token_length: int | None
    no_merge: Any
    checkpoint_merges: int
    warm_pretokens: int
    special: Mapping[str, Any]
    continue_from: str | None
    tables: Sequence[str]
    min_count: int
    balance: Mapping[str, Any]
    left_out: Mapping[str, Any]
    corpus: Mapping[str, Any]
    sample: str
