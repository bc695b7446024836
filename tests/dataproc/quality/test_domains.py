"""Domains: counts of all pages, however they arrive, proposals for people, and what people accepted."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.quality.domains import (
    EXAMPLES,
    Accepted,
    is_accepted,
    merge_counts,
    merge_examples,
    partition_of,
    propose,
    read_review,
    tally,
    write_review,
)

pages = st.lists(st.tuples(st.sampled_from(["a.org", "b.co.uk", "c.de", None]), st.integers(0, 12), st.booleans()))


def counted(rows: list[tuple[str | None, int, bool]]) -> tuple[pa.Table, pa.Table]:
    domains = pa.array([domain for domain, _, _ in rows], pa.string())
    urls = pa.array([f"https://{domain}/{page}" for domain, page, _ in rows], pa.string())
    return tally(domains, urls, np.array([taken for _, _, taken in rows], bool), 0)


@given(pages, st.integers(0, 20))
def test_counts_are_of_all_pages_and_do_not_depend_on_parts(rows: list[tuple[str | None, int, bool]], cut: int) -> None:
    counts, examples = counted(rows)
    expected = {}
    for domain, _, taken in rows:
        if domain:
            before = expected.get(domain, (0, 0))
            expected[domain] = (before[0] + 1, before[1] + taken)
    rows_counted = counts.to_pylist()
    assert {row["domain"]: (row["pages"], row["collected"]) for row in rows_counted} == expected
    assert [row["domain"] for row in rows_counted] == sorted(expected)
    pieces = [counted(rows[:cut]), counted(rows[cut:])]
    assert merge_counts([counts for counts, _ in pieces]).equals(counts)
    assert merge_examples([examples for _, examples in pieces]).equals(examples)


@given(pages)
def test_examples_are_some_collected_addresses_each_once(rows: list[tuple[str | None, int, bool]]) -> None:
    _, examples = counted(rows)
    shown: dict[str, list[str]] = {}
    for row in examples.to_pylist():
        shown.setdefault(row["domain"], []).append(row["url"])
    for domain in ("a.org", "b.co.uk", "c.de"):
        there = {f"https://{domain}/{page}" for row_domain, page, taken in rows if row_domain == domain and taken}
        assert set(shown.get(domain, [])) <= there
        assert len(shown.get(domain, [])) == min(EXAMPLES, len(there))


def test_proposed_are_domains_with_enough_pages_of_which_enough_were_collected() -> None:
    rows = [("a.org", 0, True)] * 2 + [("a.org", 0, False)] * 8
    rows += [("b.co.uk", 0, True)] + [("b.co.uk", 0, False)] * 9
    rows += [("c.de", 0, True)] * 5
    counts, _ = counted(rows)
    assert propose(counts, 0.1, 10)["domain"].to_pylist() == ["a.org"]
    assert propose(counts, 0.1, 5)["domain"].to_pylist() == ["c.de", "a.org"]
    assert propose(counts, 0.0, 1)["domain"].to_pylist() == ["c.de", "a.org", "b.co.uk"]


def test_nothing_is_accepted_until_people_say_so() -> None:
    counts, examples = counted([("a.org", page, True) for page in range(3)] + [("c.de", 1, True)])
    data = write_review(propose(counts, 0.1, 1), examples)
    assert data.decode().splitlines()[0] == "accept,domain,path,pages,collected,share,examples"
    assert data.decode().splitlines()[1].startswith("false,a.org,,3,3,1.000,https://a.org/")
    assert read_review(data, "review.csv") == []
    edited = data.decode().replace("false,a.org,", "TRUE,a.org,/maths").replace("false,c.de", "yes,C.de")
    assert read_review(edited.encode(), "review.csv") == [Accepted("a.org", "/maths"), Accepted("c.de")]


def test_an_address_with_line_ends_and_commas_stays_in_its_cell() -> None:
    examples = pa.table({"domain": ["a.org"], "url": ['https://a.org/a,b\n"true",x']})
    counts = pa.table({"domain": ["a.org"], "pages": [1], "collected": [1]})
    assert read_review(write_review(counts, examples), "review.csv") == []


@pytest.mark.parametrize(
    "text", ["accept,domain\nmaybe,a.org\n", "accept,domain\ntrue,\n", "domain\na.org\n", "accept,domain,path\ntrue\n"]
)
def test_a_review_that_says_neither_yes_nor_no_is_one_line(text: str) -> None:
    if text.startswith("domain"):  # no column that accepts: nothing is accepted
        assert read_review(text.encode(), "review.csv") == []
        return
    with pytest.raises(UserError, match=r"review\.csv: line 2"):
        read_review(text.encode(), "review.csv")


def test_a_page_is_accepted_by_its_domain_and_below_the_path() -> None:
    urls = [
        "https://q.org/questions/1",
        "https://www.q.org/tags",
        "http://a.org",
        "https://b.org/questions/2",
        None,
        "https://q.org/questions",
    ]
    domains = pa.array(["q.org", "q.org", "a.org", "b.org", None, "q.org"])
    accepted = [Accepted("q.org", "questions"), Accepted("a.org")]
    are_accepted = is_accepted(domains, pa.array(urls), accepted)
    assert are_accepted.tolist() == [True, False, True, False, False, True]
    assert is_accepted(domains, pa.array(urls), []).tolist() == [False] * 6


def test_partitions_are_of_the_domain_alone() -> None:
    domains = pa.array(["a.org", "b.org", "a.org", "c.org"])
    places = partition_of(domains, 7)
    assert places[0] == places[2]
    assert ((places >= 0) & (places < 7)).all()
    assert partition_of(domains.slice(2), 7).tolist() == places[2:].tolist()
