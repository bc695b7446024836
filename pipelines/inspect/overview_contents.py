"""The sections of an overview on what a folder holds, where it came from and what to ask next."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from corpusmill.pipelines.inspect.contents import Contents, Lengths
from corpusmill.pipelines.inspect.kinds import Description
from corpusmill.pipelines.inspect.places import Place, chain

Lines = list[tuple[str, ...]]
Section = tuple[str, Lines]
VALUES_SHOWN, COLUMNS_SHOWN, BAR = 8, 20, 24


def contents_sections(contents: Contents) -> list[Section]:
    """Columns, sources, languages, lengths and quantiles."""
    columns: Lines = [(name, kind) for name, kind in list(contents.columns.items())[:COLUMNS_SHOWN]]
    sections: list[Section] = [("columns", columns)]
    for name, counts in contents.counted.items():
        sections.append((f"{name}, in {contents.counted_unit}", _shares(counts)))
    for number, lengths in enumerate(contents.lengths):
        title = _of_sample(f"lengths of {lengths.of} in {lengths.unit}", lengths.sampled, lengths.rows)
        sections.append((title, _bars(lengths) if number == 0 else _bars(lengths)[-1:]))  # one histogram says the shape
    if contents.statistics:
        title = _of_sample("quantiles of statistics", contents.statistics_sampled, contents.statistics_rows)
        heads = next(iter(contents.statistics.values()))
        rows: Lines = [("", *(f"{float(share):.0%}" for share in heads))]
        rows += [
            (name, *(f"{value:,.4g}" for value in quantiles.values()))
            for name, quantiles in contents.statistics.items()
        ]
        sections.append((title, rows))
    return [(title, rows) for title, rows in sections if rows]


def contents_values(contents: Contents) -> dict[str, Any]:
    """The same as JSON values (docs/output.md)."""
    return asdict(contents)


def lineage(place: Place) -> list[dict[str, Any]]:
    """The folders that a stage's folder was made of, back to what was ingested: itself first."""
    return [
        {
            "name": link.name,
            "stage": link.stage or None,
            "path": link.place.path if link.place else None,
            "note": link.note,
        }
        for link in chain(place).values()
    ]


def lineage_section(links: list[dict[str, Any]]) -> Section:
    """The lineage, a line a folder; nothing for what was made of raw files alone."""
    rows: Lines = [
        (link["name"], link["stage"] or "gone", (link["path"] or "") + (f" ({link['note']})" if link["note"] else ""))
        for link in links[1:]
    ]
    return "made from", rows


def described_sections(title: str, description: Description) -> list[Section]:
    """What is known of a folder without a manifest: plain values first, then each group of them."""
    plain: Lines = [(name, _spelled(value)) for name, value in description.items() if not isinstance(value, Mapping)]
    groups: list[Section] = [
        (name, [(key, _spelled(item)) for key, item in value.items()])
        for name, value in description.items()
        if isinstance(value, Mapping) and value
    ]
    return [(title, plain), *groups]


def _shares(counts: Mapping[str, int]) -> Lines:
    """The commonest values with their shares."""
    whole = sum(counts.values())
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    rows: Lines = [(name, f"{count:,}", f"{count / max(whole, 1):.1%}") for name, count in ordered[:VALUES_SHOWN]]
    if len(ordered) > VALUES_SHOWN:
        rest = sum(count for _, count in ordered[VALUES_SHOWN:])
        rows.append((f"and {len(ordered) - VALUES_SHOWN:,} more", f"{rest:,}", f"{rest / max(whole, 1):.1%}"))
    return rows


def _bars(lengths: Lengths) -> Lines:
    """The histogram, a line a power of two (`16,384+`, a single word, is never wrapped), and the quantiles below."""
    if not lengths.sampled:
        return []
    most = max(lengths.counts)
    rows: Lines = [
        (f"{edge:,}+", f"{count:,}", f"{count / lengths.sampled:.1%}", "█" * -(-count * BAR // most))
        for edge, count in zip(lengths.edges, lengths.counts, strict=False)
    ]
    spelled = ", ".join(f"{float(share):.0%} {value:,.0f}" for share, value in lengths.quantiles.items())
    return [*rows, ("quantiles", spelled)]


def _of_sample(title: str, sampled: int, rows: int) -> str:
    if rows and sampled >= rows:
        return title
    return f"{title} (of a sample of {sampled:,}{f' of {rows:,}' if rows else ''})"


def _spelled(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return "-" if value is None else str(value)
