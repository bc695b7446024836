"""What lists say of a document's URL: listed domains, hosts, addresses, and words in the address.

    list            an entry means                                       column
    domains         a domain and all hosts below it                      url_domain_count
    subdomains      one host                                             url_subdomain_count
    urls            one address                                          url_exact_count
    words           a word of the address                                url_word_count
    soft-words      a word that alone says little                        url_soft_word_count, different ones
    substrings      letters and digits in a row, whatever stands between url_substring_count
    allowed         a domain and all hosts below it: nothing is counted  (all are 0)

Addresses are compared in one spelling (`dataproc.lists.urls.canonical`), lists are read by `dataproc.lists.urls.lists`,
and words are found by `dataproc.lists.phrases` in the host and the rest of the address, decoded; the scheme and a
user's name are not part of it. A document without a URL has 0 throughout.

Where this differs from datatrove's URLFilter, which has the same kinds of lists:

- a domain takes along all that lies below it, not just hosts whose registered domain it is, so that an entry
  `blog.example.com` works as well;
- the words of an address are lower-cased as the lists are (theirs are not: `PORN` passes), and read after percent
  decoding;
- an address is compared without its scheme; the entries of the list that datatrove ships have none, while it compares
  whole URLs, so that its rule never fires;
- substrings are not looked for across the scheme (`https` + `hitachi`).

Cost: 0.9 to 1.1 million URLs/s a core with all kinds of lists, 14 times datatrove's (`benchmarks/lists.py`). Memory: 12
to 24 bytes an entry of lists of names and addresses (67 MB for five million domains, 250 MB while they are loaded), and
twice the batch's URLs. Lists are loaded when the first batch is measured.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.measures.columns import Column

KINDS = ("domains", "subdomains", "urls", "words", "soft-words", "substrings", "allowed")
"""Names of lists."""


@dataclass(frozen=True, kw_only=True)
class UrlMatches:
    """Counts what a document's URL has in common with lists.

    Attributes:
        lists: {kind: path}, of `KINDS`; a path is a file, a folder of files or a glob, plain, .gz or .zst.

    Raises:
        UserError: an unknown kind, or no list; and at the first batch: a file that is not there or cannot be read, a
            list without entries, a line that is no entry.
    """

    COLUMNS: ClassVar[tuple[Column, ...]] = (
        Column("url_domain_count", "entries", "listed domains that the URL's host is or lies below", whole=True),
        Column("url_subdomain_count", "entries", "1 where the URL's host itself is listed", whole=True),
        Column("url_exact_count", "entries", "1 where the URL itself is listed", whole=True),
        Column("url_word_count", "words", "listed words of the URL, every time one occurs", whole=True),
        Column("url_soft_word_count", "words", "different listed soft words of the URL", whole=True),
        Column("url_substring_count", "entries", "listed substrings of the URL's letters and digits", whole=True),
    )

    lists: Mapping[str, str]

    def __post_init__(self) -> None:
        for kind in self.lists:
            if kind not in KINDS:
                raise UserError(f"unknown kind of list '{kind}'", "url_lists", f"kinds are {', '.join(KINDS)}")
        if not set(self.lists) - {"allowed"}:
            raise UserError("no URL list was given", "url_lists", "give domains, urls, words or substrings")

    @property
    def columns(self) -> tuple[Column, ...]:
        return self.COLUMNS

    def measure(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The numbers of each document of `batch`, by its column `url`."""
        from corpusmill.dataproc.lists.phrases import DISTINCT, FOUND, count_in_buffers
        from corpusmill.dataproc.lists.urls.canonical import canonical_urls
        from corpusmill.dataproc.lists.urls.match_kernel import match_hosts

        canonical = canonical_urls(pc.fill_null(batch.column("url").cast(pa.large_string()), ""))
        counts = np.zeros((batch.num_rows, len(self.COLUMNS)), np.int64)
        allowed = np.zeros(batch.num_rows, np.bool_)
        match_hosts(canonical, self._names, counts, allowed)
        first, second = np.zeros(batch.num_rows, np.int64), np.ones(batch.num_rows, np.int64)
        for column, kind, lists, count in (
            (3, "words", first, FOUND),
            (4, "soft-words", second, DISTINCT),
            (5, "substrings", first, FOUND),
        ):
            if kind in self.lists:
                table = self._substrings if kind == "substrings" else self._words
                counts[:, column] = count_in_buffers(canonical.data, canonical.bounds, lists, table)[:, count]
        counts[allowed] = 0
        return pa.RecordBatch.from_arrays(
            [pa.array(np.ascontiguousarray(column)) for column in counts.T],
            names=[column.name for column in self.COLUMNS],
        )

    @cached_property
    def _names(self) -> Any:
        """The lists of domains, hosts and addresses, as sets."""
        from corpusmill.dataproc.kernels.hashing import make_set
        from corpusmill.dataproc.lists.urls.lists import no_names, read_addresses, read_domains, read_hosts
        from corpusmill.dataproc.lists.urls.match_kernel import NameLists

        domains, allowed = (
            read_domains(self.lists[kind]) if kind in self.lists else no_names() for kind in ("domains", "allowed")
        )
        hosts = read_hosts(self.lists["subdomains"]) if "subdomains" in self.lists else make_set([])
        addresses = read_addresses(self.lists["urls"]) if "urls" in self.lists else make_set([])
        return NameLists(
            domains.below, domains.exactly, allowed.below, allowed.exactly, hosts=hosts, addresses=addresses
        )

    @cached_property
    def _words(self) -> Any:
        """The words and the soft words, lists 0 and 1 of one table."""
        return self._table(("words", "soft-words"), joined=False)

    @cached_property
    def _substrings(self) -> Any:
        return self._table(("substrings",), joined=True)

    def _table(self, kinds: tuple[str, ...], *, joined: bool) -> Any:
        from corpusmill.dataproc.lists.files import list_paths
        from corpusmill.dataproc.lists.phrase_table import table_of_files

        paths = [list_paths(self.lists[kind]) if kind in self.lists else [] for kind in kinds]
        return table_of_files(paths, joined=joined)
