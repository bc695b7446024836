"""What `inspect diff` prints: tables of what differs, then examples; numbers of A to the left of those of B."""

import json
import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.text import Text

from corpusmill.pipelines.inspect.diff.compare import Comparison
from corpusmill.pipelines.inspect.diff.datasets import FATES, DatasetDiff, DocumentDifference
from corpusmill.pipelines.inspect.diff.runs import RunDiff, StageDiff
from corpusmill.pipelines.inspect.diff.shards import ShardsDiff
from corpusmill.pipelines.inspect.diff.tokenizers import Cut, Overlap, TokenizerDiff
from corpusmill.pipelines.inspect.diff.values import Change, ManifestDiff
from corpusmill.pipelines.inspect.differences import Difference, marked
from corpusmill.pipelines.terminal import Column, pairs, table, wrapped
from corpusmill.pipelines.visible import one_line, visible

CELL = 120
SHOWN = 40
"""Rows of a table before the rest is only counted."""
SPECIAL_SHOWN = 8
STYLES = {"gone": "red strike", "new": "green", "same": ""}
SHADES = ("on grey23", "on grey37")
"""Backgrounds of tokens that take turns, so that each shows where it ends."""

Lines = list[Text]


def sections(done: Comparison, width: int, coloured: bool) -> Iterable[Lines]:
    """The lines of each section; what does not differ has none."""
    kind = {"run": "runs", "dataset": "datasets", "shards": "shard sets", "tokenizer": "tokenizers"}
    yield [Text(f"{kind.get(done.what, 'manifests')}: {'different' if done.differs else 'the same'}", style="bold")]
    yield pairs([("A", one_line(done.paths[0])), ("B", one_line(done.paths[1]))], width)
    if done.manifests:
        yield from _manifests(done.manifests, width, whole=done.detail is None)
    if isinstance(done.detail, DatasetDiff):
        yield from _datasets(done.detail, width, coloured)
    elif isinstance(done.detail, ShardsDiff):
        yield from _shards(done.detail, width)
    elif isinstance(done.detail, TokenizerDiff):
        yield from _tokenizers(done.detail, width, coloured)
    elif isinstance(done.detail, RunDiff):
        yield from _runs(done.detail, width)


def _manifests(diff: ManifestDiff, width: int, *, whole: bool) -> Iterable[Lines]:
    if diff.stages[0] == diff.stages[1]:
        yield _changes("settings", diff.settings, width)
        yield _changes("inputs", diff.inputs, width)
    else:
        yield pairs([("made by", f"{diff.stages[0]} (A), {diff.stages[1]} (B), whose settings differ")], width)
    yield _changes("counts", diff.counts, width)
    if whole:
        yield _changes("facts", diff.facts, width)
        yield _changes("made by", diff.other, width)
        if diff.same_outputs is not None:
            yield [Text(f"files: {'the same' if diff.same_outputs else 'different'}", style="bold")]


def _datasets(diff: DatasetDiff, width: int, coloured: bool) -> Iterable[Lines]:
    yield _changes("columns", diff.columns, width)
    rows = [("documents", *(f"{count:,}" for count in diff.documents))]
    yield _heading("documents", table([Column(""), Column("A", right=True), Column("B", right=True)], rows, width))
    counts = diff.counts
    yield pairs(
        [
            ("  same", f"{counts['same']:,}"),
            (
                "  changed",
                f"{counts['changed']:,}" + (f" ({diff.changed_text:,} in text)" if counts["changed"] else ""),
            ),
            ("  gone (only in A)", f"{counts['gone']:,}{_megabytes(diff.text_bytes[0])}"),
            ("  new (only in B)", f"{counts['new']:,}{_megabytes(diff.text_bytes[1])}"),
            *([("  gone and new again, by another id", f"{diff.renamed:,}")] if diff.renamed else []),
            *([("  ids that repeat in A, in B", f"{diff.repeated[0]:,}, {diff.repeated[1]:,}")] * any(diff.repeated)),
        ],
        width,
    )
    yield _fates("by source", diff.by_source, width)
    yield _fates("by language", diff.by_language, width)
    for example in diff.examples:
        yield _example(example, width, coloured)


def _shards(diff: ShardsDiff, width: int) -> Iterable[Lines]:
    yield _changes("settings", diff.settings, width)
    yield _changes("counts", diff.counts, width)
    sides = [Column(""), Column("A", right=True), Column("B", right=True)]
    totals = [
        (name, *(f"{n:,}" for n in both)) for name, both in (("sequences", diff.sequences), ("tokens", diff.tokens))
    ]
    yield _heading("all", table(sides, totals, width))
    if len(diff.by_group) > 1:
        columns = [Column("")] + [Column(name, right=True) for name in ("sequences A", "B", "tokens A", "B")]
        rows = [(one_line(name or "(none)"), *(f"{n:,}" for n in values)) for name, values in diff.by_group.items()]
        yield _heading("by group", _limited_table(columns, rows, width))
    for key, counted in diff.tokens_by.items():
        rows = [(one_line(name), *_with_shares(values, counted)) for name, values in counted.items()]
        columns = [Column("")] + [Column(name, right=True) for name in ("A", "share", "B", "share")]
        yield _heading(f"tokens by {key}", _limited_table(columns, rows, width))
    if diff.order is None:
        yield [Text("files: the same", style="bold")]
        return
    order, first = diff.order, diff.order.first_difference
    yield _heading(
        "sequences",
        pairs(
            [
                ("  at the same place", f"{order.same_place:,}"),
                ("  at another place", f"{order.moved:,}"),
                ("  only in A", f"{order.only_first:,}"),
                ("  only in B", f"{order.only_second:,}"),
                ("  first difference", "none" if first is None else f"sequence {first:,}"),
            ],
            width,
        ),
    )
    names = {"same": "same tokens", "changed": "other tokens", "gone": "only in A", "new": "only in B"}
    rows = [(names[fate], f"{diff.documents[fate]:,}", f"{diff.tokens_of[fate]:,}") for fate in FATES]
    columns = [Column(""), Column("documents", right=True), Column("tokens", right=True)]
    yield _heading("documents", table(columns, rows, width))
    yield _fates("by source", diff.by_source, width)
    for example in diff.examples:
        tokens = f"{example.tokens[0]:,} → {example.tokens[1]:,} tokens"
        yield wrapped(Text(f"{example.fate}  {one_line(example.id)} ({one_line(example.source)}): {tokens}"), width)


def _tokenizers(diff: TokenizerDiff, width: int, coloured: bool) -> Iterable[Lines]:
    yield _changes("tokenizer", diff.settings, width)
    yield _changes("special tokens", diff.special, width, SPECIAL_SHOWN)
    yield from _overlap("vocabulary", diff.tokens, width)
    yield from _overlap("merges", diff.merges, width)
    if diff.cuts:
        rows = [(cut.name, f"{len(cut.first):,}", f"{len(cut.second):,}", *_ratio(cut)) for cut in diff.cuts]
        columns = [Column(""), *(Column(name, right=True) for name in ("A", "B", "B/A"))]
        yield _heading("tokens of a text", table(columns, rows, width))
    for cut in diff.cuts:
        yield [Text(one_line(f"{cut.name}{': cut the same way' if cut.same_pieces else ''}"), style="bold")]
        sides = (("", cut.first),) if cut.same_pieces else (("A ", cut.first), ("B ", cut.second))
        for side, pieces in sides:
            yield [Text(f"  {side}") + _pieces(pieces, coloured)]


def _runs(diff: RunDiff, width: int) -> Iterable[Lines]:
    for stage in diff.stages:
        yield _heading(one_line(f"{stage.name}: {_verdict(stage)}"), _counts(stage, width))
        if stage.diff:
            yield _changes("  settings", stage.diff.settings, width)
            yield _changes("  made by", stage.diff.other, width)
    if diff.next:
        commands = [f"corpusmill inspect diff {shlex.quote(one)} {shlex.quote(other)}" for one, other in diff.next]
        yield _heading("next", [Text(f"  {one_line(command)}") for command in commands])


def _verdict(stage: StageDiff) -> str:
    if stage.diff is None:
        return "only in A" if stage.folders[0] else "only in B"
    if "unfinished" in stage.states:
        return f"{stage.states[0]} in A, {stage.states[1]} in B"
    if not stage.differs:
        return "the same"
    return "the same files by other settings or inputs" if stage.diff.same_outputs else "different"


def _counts(stage: StageDiff, width: int) -> Lines:
    rows = [
        (f"  {name.replace('_', ' ')}", *("" if count is None else f"{count:,}" for count in both))
        for name, both in stage.counts.items()
        if any(both)
    ]
    return table([Column(""), Column("A", right=True), Column("B", right=True)], rows, width) if rows else []


def _overlap(title: str, overlap: Overlap, width: int) -> Iterable[Lines]:
    share = overlap.common / max(min(overlap.sizes), 1)
    yield _heading(
        title,
        pairs(
            [
                ("  of A, of B", f"{overlap.sizes[0]:,}, {overlap.sizes[1]:,}"),
                ("  common", f"{overlap.common:,} ({share:.1%} of the smaller)"),
                ("  only in A", f"{overlap.only_first:,}{_named(overlap.first_missing[0])}"),
                ("  only in B", f"{overlap.only_second:,}{_named(overlap.first_missing[1])}"),
                ("  common at the same rank", f"{overlap.same_rank:,}"),
                ("  the same from the first rank on", f"{overlap.common_prefix:,}"),
                ("  median shift of rank", f"{overlap.median_shift:,.0f}"),
            ],
            width,
        ),
    )
    if overlap.most_moved:
        columns = [Column("  moved most"), Column("rank in A", right=True), Column("in B", right=True)]
        rows = [(f"  '{one_line(what, CELL)}'", f"{one:,}", f"{other:,}") for what, one, other in overlap.most_moved]
        yield table(columns, rows, width)


def _named(missing: Sequence[tuple[str, int]]) -> str:
    names = ", ".join(f"'{one_line(what, CELL)}'" for what, _ in missing)
    return f" (first: {names})" if names else ""


def _ratio(cut: Cut) -> tuple[str]:
    return (f"{len(cut.second) / max(len(cut.first), 1):.2f}",)


def _pieces(pieces: Sequence[tuple[str, int]], coloured: bool) -> Text:
    """Tokens one after the other: on alternating shades, or with a bar between them."""
    line = Text()
    for number, (piece, _) in enumerate(pieces):
        if not coloured and number:
            line.append("|")
        line.append(one_line(piece), style=SHADES[number % len(SHADES)] if coloured else "")
    return line


def _example(example: DocumentDifference, width: int, coloured: bool) -> Lines:
    about = [str(example.values[name]) for name in ("source", "language") if example.values.get(name)]
    title = f"{example.fate}  {example.id}" + (f" ({', '.join(about)})" if about else "")
    lines = wrapped(Text(one_line(title), style="bold"), width)
    lines += _rows(example.columns, width)
    lines += _text(example.text, coloured).split("\n") if example.text else []
    more = f"… and {example.more_changes:,} more changes"
    return [*lines, *([Text(more, style="dim")] if example.more_changes else [])]


def _text(stretches: Sequence[Difference], coloured: bool) -> Text:
    """Changed words in colours, or between the marks of git."""
    shown = [Difference(stretch.kind, visible(stretch.text)) for stretch in stretches]
    if not coloured:
        return Text(marked(shown))
    text = Text()
    for stretch in shown:
        text.append(stretch.text, style=STYLES[stretch.kind])
    return text


def _changes(title: str, changes: Sequence[Change], width: int, most: int = SHOWN) -> Lines:
    return _heading(title, _rows(changes, width, most)) if changes else []


def _rows(changes: Sequence[Change], width: int, most: int = SHOWN) -> Lines:
    rows = [(f"  {one_line(change.name, CELL)}", *map(_cell, (change.before, change.after))) for change in changes]
    return _limited_table([Column(""), Column("A"), Column("B")], rows, width, most) if rows else []


def _cell(value: Any) -> str:
    shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return one_line(f"{value:,}" if type(value) is int else shown, CELL)


def _fates(title: str, counted: Mapping[str, Mapping[str, int]], width: int) -> Lines:
    """A table of documents by fate, those with most that differ first."""
    ordered = sorted(counted.items(), key=lambda item: (item[1]["same"] - sum(item[1].values()), item[0]))
    rows = [(f"  {one_line(name, CELL)}", *(f"{fates[fate]:,}" for fate in FATES)) for name, fates in ordered]
    if not rows:
        return []
    return _heading(title, _limited_table([Column(""), *(Column(fate, right=True) for fate in FATES)], rows, width))


def _with_shares(values: tuple[int, int], counted: Mapping[str, tuple[int, int]]) -> tuple[str, str, str, str]:
    totals = [max(sum(both[side] for both in counted.values()), 1) for side in (0, 1)]
    shares = [f"{value / total:.1%}" for value, total in zip(values, totals, strict=True)]
    return f"{values[0]:,}", shares[0], f"{values[1]:,}", shares[1]


def _limited_table(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int, most: int = SHOWN) -> Lines:
    more = [Text(f"  … and {len(rows) - most:,} more", style="dim")] if len(rows) > most else []
    return [*table(columns, rows[:most], width), *more]


def _heading(title: str, lines: Lines) -> Lines:
    return [Text(title, style="bold"), *lines]


def _megabytes(size: int) -> str:
    return f" ({size / 1e6:,.1f} MB of text)" if size else ""
