"""Common Crawl as an input: `commoncrawl:CC-MAIN-2024-22` names the files of a crawl by the crawl's own list.

    commoncrawl:CC-MAIN-2024-22                     the pages as they were fetched (WARC): 90,000 files of a gigabyte
    commoncrawl:CC-MAIN-2024-22/wet                 their text as Common Crawl extracted it: 90,000 of a tenth of that
    commoncrawl:CC-MAIN-2024-22?sample=100&seed=1   a hundred files, the same whoever draws them

A crawl's list is one small file (`crawl-data/CC-MAIN-2024-22/warc.paths.gz`), so planning takes a few requests, and no
file is asked for its size: what was published does not change, and sizes count as nominal ones. Each file is one task,
so a run that goes on does so inside the list. A sample takes the files of the smallest keys of (seed, purpose, path):
a larger sample of the same seed holds the smaller one.

`CORPUSMILL_COMMONCRAWL` names another place of the same layout: `s3://commoncrawl` (which needs credentials, and costs
nothing within its region), a mirror, a folder. Over HTTP files are read politely (`http_polite.py`).
"""

import gzip
import io
import os
import re
import zlib
from dataclasses import dataclass
from urllib.parse import parse_qsl

from corpusmill.dataproc import storage
from corpusmill.dataproc.errors import UserError, suggest

SCHEME = "commoncrawl:"
VARIABLE = "CORPUSMILL_COMMONCRAWL"
PUBLIC = "https://data.commoncrawl.org"
KINDS = {"warc": 1_100_000_000, "wet": 110_000_000}
"""What may be read, and about how many bytes a file of it has."""
MOST_LISTED_BYTES = 64 << 20
"""Of a list, unpacked; those of 2013 to 2026 have 4 to 14 MB."""
EXAMPLE = "as in commoncrawl:CC-MAIN-2024-22/wet?sample=100&seed=1"

_CRAWL = re.compile(r"CC-MAIN-\d{4}(?:-\d{2,4})?(?:-\d{2})?")
_NUMBER = re.compile(r"[0-9]{1,18}")
_PATH = re.compile(r"crawl-data/(?!.*(?:^|/)\.\.?(?:/|$))[\w.+=@/-]+")


@dataclass(frozen=True, kw_only=True)
class CrawlInput:
    """What an input asks for: a crawl, what kind of its files, and how many of them (0: all) by which seed."""

    crawl: str
    kind: str = "warc"
    sample: int = 0
    seed: int = 0


@dataclass(frozen=True)
class CrawlFile:
    """A file of a crawl: its path or URL, and its name below `crawl-data/`."""

    path: str
    name: str


def is_crawl(path: str) -> bool:
    """Whether an input names a crawl."""
    return path.startswith(SCHEME)


def base_address() -> str:
    """Where crawls are read: a URL or a folder."""
    return (os.environ.get(VARIABLE) or PUBLIC).rstrip("/")


def parse_crawl(written: str) -> CrawlInput:
    """An input as it is written. Raises UserError that says what is wrong with it."""
    place, _, query = written.removeprefix(SCHEME).partition("?")
    crawl, _, kind = place.partition("/")
    if not _CRAWL.fullmatch(crawl):
        raise UserError("this names no crawl of Common Crawl", where=written, hint=EXAMPLE)
    kind = kind or "warc"
    if kind == "wat":
        raise UserError("WAT files hold metadata of pages and no text", where=written, hint="use /wet, or the pages")
    if kind not in KINDS:
        raise UserError(f"crawls have no files '{kind}'", where=written, hint=f"use /wet; {suggest(kind, list(KINDS))}")
    numbers = {"sample": 0, "seed": 0}
    given = parse_qsl(query, keep_blank_values=True)
    for name, value in given:
        if name not in numbers or not _NUMBER.fullmatch(value) or (name == "sample" and int(value) == 0):
            raise UserError(f"'{name}={value[:40]}' is not understood", where=written[:80], hint=EXAMPLE)
        numbers[name] = int(value)
    if len({name for name, _ in given}) < len(given):
        raise UserError("a setting is given twice", where=written, hint=EXAMPLE)
    if numbers["seed"] and not numbers["sample"]:
        raise UserError("a seed is for a sample", where=written, hint=EXAMPLE)
    return CrawlInput(crawl=crawl, kind=kind, **numbers)


def list_crawl(asked: CrawlInput) -> list[CrawlFile]:
    """The files, in the order of the crawl's list. Raises UserError for a crawl that does not exist."""
    base = base_address()
    paths = _read_list(storage.join(base, "crawl-data", asked.crawl, f"{asked.kind}.paths.gz"), asked)
    if asked.sample:
        paths = sample_paths(paths, asked.sample, asked.seed)
    return [CrawlFile(storage.join(base, path), path.removeprefix("crawl-data/")) for path in paths]


def sample_paths(paths: list[str], count: int, seed: int) -> list[str]:
    """So many of the paths, in their order: those of the smallest keys."""
    from corpusmill.dataproc.randomness import random_key  # numba behind it takes a second to import

    keys = {path: (random_key(seed, "commoncrawl", path), path) for path in paths}
    chosen = set(sorted(paths, key=keys.__getitem__)[:count])
    return [path for path in paths if path in chosen]


def _read_list(url: str, asked: CrawlInput) -> list[str]:
    try:
        data = storage.read_bytes(url)
    except UserError as error:
        if "no such file" in error.what:
            hint = "see https://commoncrawl.org/overview for the crawls there are"
            raise UserError(f"there is no crawl {asked.crawl} with {asked.kind} files", url, hint) from error
        raise
    try:
        with gzip.open(io.BytesIO(data)) as file:
            text = file.read(MOST_LISTED_BYTES + 1)
        lines = text.decode("ascii").split()
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise UserError(f"this is not a list of paths ({error})", where=url) from error
    if len(text) > MOST_LISTED_BYTES:
        raise UserError(f"a list of more than {MOST_LISTED_BYTES >> 20} MiB", where=url)
    for line in lines:
        if not _PATH.fullmatch(line):
            raise UserError(f"{line[:200]!r} is not a path of a crawl", where=url)
    if not lines or len(set(lines)) != len(lines):
        raise UserError("a list that is empty, or names a path twice", where=url)
    return lines
