"""Two places that are open, compared as `inspect diff` compares them: runs, datasets, shard sets or tokenizers."""

from collections.abc import Mapping, Sequence
from typing import Any

from corpusmill.dataproc.errors import UserError
from corpusmill.pipelines.inspect.diff.compare import Comparison, compare
from corpusmill.pipelines.inspect.diff.datasets import FATES, DatasetDiff
from corpusmill.pipelines.inspect.diff.runs import RunDiff
from corpusmill.pipelines.inspect.diff.shards import ShardsDiff
from corpusmill.pipelines.inspect.diff.tokenizers import Overlap, TokenizerDiff
from corpusmill.pipelines.inspect.diff.values import Change, ManifestDiff, manifest_diff
from corpusmill.pipelines.inspect.places import Place, recognise
from corpusmill.pipelines.visible import one_line
from corpusmill.pipelines.window.page import Table, Values, View, page

EXAMPLES = 3
MOST_ROWS = 200_000
"""Of either side, which take about a second; more are compared by their manifests, and whole by the command."""

Rows = list[list[str]]
Section = tuple[str, Sequence[str], Rows]


@page("compare.html")
def comparison(view: View) -> Values:
    """The page: two choices, and what differs between them."""
    places = dict(_places(view))
    first, second = view.text("a"), view.text("b")
    values: Values = {"title": "Compare", "places": list(places), "a": first, "b": second, "differs": None}
    if not (first and second):
        return values
    for name in (first, second):
        if name not in places:
            raise UserError("no such place is open", where=name[:200], hint="choose from the lists")
    rows = max(_rows(recognise(places[name])) for name in (first, second))
    large = rows > MOST_ROWS
    done = _by_manifests(places[first], places[second]) if large else compare(places[first], places[second], EXAMPLES)
    sections = [section for section in _sections(done) if section[2]]
    table = [[title, *([*line, "", "", "", ""][:5])] for title, _, lines in sections for line in lines]
    return values | {
        "command": ["inspect", "diff", places[first], places[second]],
        "what": done.what,
        "rows": rows if large else 0,
        "differs": done.differs,
        "sections": sections,
        "examples": _examples(done),
        "cuts": done.detail.cuts if isinstance(done.detail, TokenizerDiff) else [],
        "next": _next(done, places),
        "table": Table("differences", ("section", "what", "a", "b", "c", "d"), table) if table else None,
    }


def _rows(place: Place) -> int:
    """Documents or sequences that a comparison would read."""
    return sum(part.get("rows", 0) for part in place.manifest.get("parts", ())) if place.what != "run" else 0


def _by_manifests(first: str, second: str) -> Comparison:
    one, other = recognise(first), recognise(second)
    return Comparison(what="manifest", paths=(first, second), manifests=manifest_diff(one.manifest, other.manifest))


def _places(view: View) -> list[tuple[str, str]]:
    """(name, path) of all that is open: each path, and each stage of a run."""
    named: list[tuple[str, str]] = []
    for path in view.paths:
        named.append((path.key, path.path))
        named += [(f"{path.key}/{stage}", folder) for stage, folder in path.place.stages]
    return named


def _sections(done: Comparison) -> list[Section]:
    sections = _manifests(done.manifests) if done.manifests else []
    detail = done.detail
    if isinstance(detail, DatasetDiff):
        sections.append(("Columns", ("column", "A", "B"), _changes(detail.columns)))
        counted = [[fate, f"{detail.counts[fate]:,}"] for fate in FATES]
        sections.append(("Documents", ("what", "documents"), counted))
        sections += [
            (f"By {name}", (name, *FATES), _fates(counts))
            for name, counts in (("source", detail.by_source), ("language", detail.by_language))
        ]
    elif isinstance(detail, ShardsDiff):
        sections += [("Settings", ("setting", "A", "B"), _changes(detail.settings))]
        totals = [("sequences", detail.sequences), ("tokens", detail.tokens)]
        sections.append(("All", ("what", "A", "B"), [[name, f"{one:,}", f"{two:,}"] for name, (one, two) in totals]))
        sections += [
            (f"Tokens by {key}", (key, "A", "B"), [[one_line(n), f"{a:,}", f"{b:,}"] for n, (a, b) in counts.items()])
            for key, counts in detail.tokens_by.items()
        ]
        sections.append(("By source", ("source", *FATES), _fates(detail.by_source)))
    elif isinstance(detail, TokenizerDiff):
        sections += [("Settings", ("setting", "A", "B"), _changes(detail.settings))]
        sections += [("Special tokens", ("token", "A", "B"), _changes(detail.special))]
        sections += [_overlap("Vocabulary", detail.tokens), _overlap("Merges", detail.merges)]
    elif isinstance(detail, RunDiff):
        for stage in detail.stages:
            rows = [
                [name.replace("_", " "), *("" if count is None else f"{count:,}" for count in both)]
                for name, both in stage.counts.items()
                if any(both)
            ]
            state = "the same" if not stage.differs else "different"
            sections.append((f"{one_line(stage.name)}: {state}", ("count", "A", "B"), rows))
            if stage.diff:
                changed = _changes(stage.diff.settings)
                sections.append((f"{one_line(stage.name)}: settings", ("setting", "A", "B"), changed))
    return sections


def _manifests(diff: ManifestDiff) -> list[Section]:
    settings = _changes(diff.settings) if diff.stages[0] == diff.stages[1] else []
    return [("Settings", ("setting", "A", "B"), settings), ("Counts", ("count", "A", "B"), _changes(diff.counts))]


def _changes(changes: Sequence[Change]) -> Rows:
    return [[one_line(change.name), _cell(change.before), _cell(change.after)] for change in changes]


def _cell(value: Any) -> str:
    return one_line(f"{value:,}" if type(value) is int else str(value), 200)


def _fates(counts: Mapping[str, Mapping[str, int]]) -> Rows:
    return [[one_line(name), *(f"{fates[fate]:,}" for fate in FATES)] for name, fates in counts.items()]


def _overlap(title: str, overlap: Overlap) -> Section:
    rows = [
        ["all", *(f"{size:,}" for size in overlap.sizes)],
        ["only there", f"{overlap.only_first:,}", f"{overlap.only_second:,}"],
        ["common", f"{overlap.common:,}", f"{overlap.common:,}"],
    ]
    return title, ("what", "A", "B"), rows


def _examples(done: Comparison) -> list[dict[str, Any]]:
    if not isinstance(done.detail, DatasetDiff):
        return []
    return [
        {"fate": one.fate, "id": one.id, "text": [(part.kind, part.text[:4000]) for part in one.text],
         "columns": _changes(one.columns)}
        for one in done.detail.examples
    ]  # fmt: skip


def _next(done: Comparison, places: Mapping[str, str]) -> list[tuple[str, str]]:
    """Stages of two runs that can be compared in turn, by the names of places."""
    if not isinstance(done.detail, RunDiff):
        return []
    names = {path: name for name, path in places.items()}
    return [(names[one], names[two]) for one, two in done.detail.next if one in names and two in names]
