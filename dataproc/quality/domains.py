"""Pages by registered domain: how many of each a classifier collected, and which domains that makes worth a look.

DeepSeekMath (Shao et al. 2024, section 2.1) grows its seeds so: a domain more than a tenth of whose pages were
collected is likely about the subject throughout; people look at those domains, and pages there that were not collected
become positives of the next round. So counts are of all pages of a domain, and a proposal comes with addresses to look
at.

Memory of a tally: the distinct domains of what was added, with at most `EXAMPLES` addresses each. Which addresses are
kept is drawn by the address itself, so it does not depend on the order in which pages come.
"""

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.randomness import random_keys

EXAMPLES = 5
COUNTS_SCHEMA = pa.schema([("domain", pa.string()), ("pages", pa.int64()), ("collected", pa.int64())])
EXAMPLES_SCHEMA = pa.schema([("domain", pa.string()), ("draw", pa.uint64()), ("url", pa.string())])
COLUMNS = ("accept", "domain", "path", "pages", "collected", "share", "examples")
"""Of the file that people edit: `accept` is false until they say true, `path` may narrow a domain to its beginning."""

_YES, _NO = ("true", "yes", "1"), ("false", "no", "0", "")


@dataclass(frozen=True)
class Accepted:
    """A domain whose pages are seeds; only those whose path begins with `path`, where it is not empty."""

    domain: str
    path: str = ""


def tally(domains: pa.Array, urls: pa.Array, is_collected: np.ndarray, seed: int) -> tuple[pa.Table, pa.Table]:
    """(counts, examples) of N pages, sorted by domain; pages without a domain (null) are left out.

    Args:
        domains: registered domains, string with nulls.
        urls: of the pages, string.
        is_collected: bool of shape (N,).
        seed: of the draw of examples.
    """
    known = pc.is_valid(domains).to_numpy(zero_copy_only=False)
    pages = pa.table({"domain": domains, "collected": pa.array(is_collected, pa.bool_())}).filter(pa.array(known))
    counted = pages.group_by("domain").aggregate([("collected", "count"), ("collected", "sum")])
    counts = pa.table(
        [counted["domain"], counted["collected_count"], counted["collected_sum"].cast(pa.int64())],
        schema=COUNTS_SCHEMA,
    )
    shown = pa.array(known & is_collected)
    chosen = urls.filter(shown).cast(pa.string())
    drawn = pa.array(random_keys(seed, "quality/examples", chosen), pa.uint64())
    examples = pa.table([domains.filter(shown).cast(pa.string()), drawn, chosen], schema=EXAMPLES_SCHEMA)
    return merge_counts([counts]), merge_examples([examples])


def merge_counts(tables: Sequence[pa.Table]) -> pa.Table:
    """Sums of counts by domain, sorted by domain."""
    joined = pa.concat_tables(tables).group_by("domain").aggregate([("pages", "sum"), ("collected", "sum")])
    summed = pa.table([joined["domain"], joined["pages_sum"], joined["collected_sum"]], schema=COUNTS_SCHEMA)
    return summed.sort_by("domain")


def merge_examples(tables: Sequence[pa.Table]) -> pa.Table:
    """The `EXAMPLES` addresses of each domain that drew lowest, each once, sorted by domain and draw."""
    ordered = pa.concat_tables(tables).sort_by([("domain", "ascending"), ("draw", "ascending"), ("url", "ascending")])
    if not ordered.num_rows:
        return ordered
    domain, url = ordered["domain"].combine_chunks(), ordered["url"].combine_chunks()
    starts = _changes(domain)
    ordered = ordered.filter(
        pa.array(starts | _changes(url))
    )  # the same address draws the same, so equals lie together
    starts = _changes(ordered["domain"].combine_chunks())
    rows = np.arange(len(starts))
    first = np.maximum.accumulate(np.where(starts, rows, 0))
    return ordered.filter(pa.array(rows - first < EXAMPLES))


def _changes(column: pa.Array) -> np.ndarray:
    """Which rows differ from the one before; the first does."""
    differs = pc.not_equal(column.slice(1), column.slice(0, len(column) - 1)).to_numpy(zero_copy_only=False)
    return np.concatenate([[True], differs]) if len(column) else np.zeros(0, np.bool_)


def partition_of(domains: pa.Array, partitions: int) -> np.ndarray:
    """Which of `partitions` a domain belongs to: int64 of shape (N,)."""
    spelled = domains.cast(pa.large_binary()).to_pylist()
    hashes = np.fromiter((xxhash.xxh3_64_intdigest(spelling) for spelling in spelled), np.uint64, len(spelled))
    return (hashes % np.uint64(partitions)).astype(np.int64)


def propose(counts: pa.Table, share: float, pages: int) -> pa.Table:
    """Domains of which more than `share` was collected, and that have `pages` pages or more; the most pages first."""
    wanted = pc.and_(
        pc.greater(pc.divide(pc.cast(counts["collected"], pa.float64()), counts["pages"]), share),
        pc.greater_equal(counts["pages"], pages),
    )
    return counts.filter(wanted).sort_by([("collected", "descending"), ("domain", "ascending")])


def write_review(proposed: pa.Table, examples: pa.Table) -> bytes:
    """Proposals as CSV for people: nothing is accepted yet."""
    shown: dict[str, list[str]] = {}
    for domain, url in zip(examples["domain"].to_pylist(), examples["url"].to_pylist(), strict=True):
        shown.setdefault(domain, []).append(url)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in proposed.to_pylist():
        part = f"{row['collected'] / row['pages']:.3f}"
        addresses = " ".join(" ".join(url.split()) for url in shown.get(row["domain"], []))
        writer.writerow(["false", row["domain"], "", row["pages"], row["collected"], part, addresses])
    return text.getvalue().encode()


def read_review(data: bytes, where: str) -> list[Accepted]:
    """The domains that people accepted. Raises UserError for a file that is not as `write_review` makes it."""
    try:
        rows = list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline="")))
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"not a CSV file in UTF-8 ({error})", where) from error
    accepted = []
    for number, row in enumerate(rows, 2):
        said, domain = (row.get("accept") or "").strip().lower(), (row.get("domain") or "").strip().lower()
        if said not in _YES + _NO or not domain:
            raise UserError(f"line {number} has no domain, or no true or false under accept", where)
        if said in _YES:
            accepted.append(Accepted(domain, (row.get("path") or "").strip()))
    return accepted


def is_accepted(domains: pa.Array, urls: pa.Array, accepted: Iterable[Accepted]) -> np.ndarray:
    """Which of N pages are of an accepted domain, and below its path: bool of shape (N,); a null domain is of none."""
    entries = list(accepted)
    whole = pa.array([entry.domain for entry in entries if not entry.path], pa.string())
    matches = pc.fill_null(pc.is_in(domains, value_set=whole), False).to_numpy(zero_copy_only=False)
    if not any(entry.path for entry in entries):
        return matches
    matches = matches.copy()
    paths = pc.replace_substring_regex(pc.fill_null(urls, ""), r"^[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*", "")
    for entry in entries:
        if entry.path:
            below = pc.and_(pc.equal(domains, entry.domain), pc.starts_with(paths, "/" + entry.path.lstrip("/")))
            matches |= pc.fill_null(below, False).to_numpy(zero_copy_only=False)
    return matches
