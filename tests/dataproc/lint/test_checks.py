"""Single checks on arrays: entropy, lengths, repeats in bounded memory, shapes of ids, drift, masks."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.dataproc.exchange.pieces import Tokens
from corpusmill.dataproc.lint.blocks import UNKNOWN, Block, as_int32, foreign_block, holds_packed
from corpusmill.dataproc.lint.drift import Build, drift, jensen_shannon
from corpusmill.dataproc.lint.entropy import entropy_bits, uniform_bits
from corpusmill.dataproc.lint.expected import Expected
from corpusmill.dataproc.lint.findings import percent
from corpusmill.dataproc.lint.identity import id_shape
from corpusmill.dataproc.lint.lengths import cut_length
from corpusmill.dataproc.lint.linter import Linter, Report
from corpusmill.dataproc.lint.masks import Masks
from corpusmill.dataproc.lint.measures import Totals, scanned_block
from corpusmill.dataproc.lint.repeats import Repeats
from corpusmill.dataproc.sequences.shards import SpecialIds

EOS, PAD, VOCABULARY = 1, 2, 64


def block_of(rows: list[list[int]], shard: str = "a", first: int = 0, eos: int | None = EOS) -> Block:
    offsets = np.append(0, np.cumsum([len(row) for row in rows])).astype(np.int64)
    tokens = np.array([token for row in rows for token in row], np.int32)
    return foreign_block(Tokens(first, offsets, tokens), shard, eos, PAD, first)


def report_of(blocks: list[Block], **more: object) -> Report:
    special = SpecialIds(eos=EOS, pad=PAD)
    values = {"vocab_size": VOCABULARY, "names_vocabulary": True, "special": special, **more}
    linter = Linter(Expected(**values))
    for block in blocks:
        linter.add(block)
    return linter.report()


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=50))
def test_entropy_is_that_of_the_definition(counts: list[int]) -> None:
    whole = sum(counts)
    expected = -sum(count / whole * math.log2(count / whole) for count in counts if count) if whole else 0.0
    assert entropy_bits(np.array(counts)) == pytest.approx(expected, abs=1e-9)


def test_uniform_ids_have_the_entropy_that_is_expected_of_a_sample() -> None:
    ids = np.random.default_rng(0).integers(0, 500, 4000)
    assert entropy_bits(np.bincount(ids, minlength=500)) == pytest.approx(uniform_bits(4000, 500), abs=0.02)


def test_a_heap_of_lengths_is_where_documents_were_cut_and_nothing_else_is() -> None:
    draw = np.random.default_rng(0)
    lengths = draw.lognormal(5, 1, 20_000).astype(int) + 1
    assert cut_length(np.bincount(lengths)) == (0, 0, 0)
    cut = np.minimum(lengths, 300)
    assert cut_length(np.bincount(cut)) == (300, int((lengths >= 300).sum()), 0)
    some = np.where(draw.random(len(cut)) < 0.01, lengths, cut)  # a few escaped
    assert cut_length(np.bincount(some))[0] == 300
    assert cut_length(np.zeros(1000, int)) == (0, 0, 0)


@settings(deadline=None)
@given(st.lists(st.integers(0, 40), min_size=2, max_size=200), st.integers(1, 50))
def test_repeats_are_counted_exactly_and_in_bounded_memory(texts: list[int], size: int) -> None:
    """Sequence i is text texts[i]; blocks of any size give the same."""
    rows = [[10 + text, 3, EOS] for text in texts]
    totals = Totals(np.zeros(VOCABULARY + 1, np.int64))
    repeats, bounded = Repeats(Expected()), Repeats(Expected(), most=8)
    for first in range(0, len(rows), size):
        block = block_of(rows[first : first + size], "a", first)
        scanned = scanned_block(block, VOCABULARY)
        totals.add(block, scanned)
        repeats.add(block, scanned)
        bounded.add(block, scanned)
        assert sum(len(kept[0]) for kept in bounded._kept) <= 8
    again = len(texts) - len(set(texts))
    findings = list(repeats.findings(totals))
    assert len(findings) == bool(again)
    if again:
        assert f"({again:,})" in findings[0].seen
        seen: set[int] = set()
        first_again = next(number for number, text in enumerate(texts) if text in seen or seen.add(text))  # type: ignore[func-returns-value]
        assert f"a sequence {first_again}" in findings[0].where
    for finding in bounded.findings(totals):  # a share of the sequences: nothing is invented
        assert again and finding.severity in ("note", "warning")


def test_ids_of_a_wrong_type_are_known_by_their_shape() -> None:
    ids = np.minimum(np.random.default_rng(0).zipf(1.3, 4000), 30_000).astype("<u4")
    vocabulary = 32_000

    def shape(values: np.ndarray) -> str:
        return id_shape(as_int32(values), vocabulary)

    assert shape(ids) == ""
    assert "read as 16" in shape(ids.view("<u2"))
    assert "read as 32" in shape(ids.astype("<u2").view("<u4"))
    assert "two bytes" in shape(ids.astype("<u2").byteswap())
    assert "four bytes" in shape(ids.byteswap())
    assert "read as 16" in id_shape(as_int32(ids.view("<u2")), 0)  # even where the vocabulary is not known
    assert shape(np.full(4000, 7, "<u4")) == ""  # constant is not a type


def test_what_no_vocabulary_has_is_never_in_it() -> None:
    wide = np.array([1 << 31, (1 << 32) - 1, 5], np.uint32)
    assert as_int32(wide).tolist() == [-(1 << 31), -1, 5]
    assert as_int32(np.array([1 << 40, -1, 5], np.int64)).tolist() == [-1, -1, 5]


def test_items_are_documents_or_packed_sequences() -> None:
    documents = Tokens(0, np.array([0, 3, 7]), np.array([4, 5, EOS, 4, 5, 6, EOS]))
    assert not holds_packed(documents, EOS)
    assert holds_packed(documents._replace(tokens=np.array([4, EOS, 5, 4, EOS, 6, EOS])), EOS)
    assert holds_packed(documents._replace(offsets=np.array([0, 3, 6]), tokens=np.arange(6)), EOS)
    recorded = (np.array([0, 1, 3]), np.array([2, 2, 1]))
    assert holds_packed(documents._replace(lengths=recorded), EOS)
    block = foreign_block(documents._replace(lengths=recorded), "a", EOS, PAD, 0, packed=True)
    assert block.used.tolist() == [2, 3] and block.start.tolist() == [UNKNOWN] * 3
    assert [(int(a), int(n)) for a, n in zip(block.begin, block.length, strict=True)] == [(0, 2), (3, 2), (5, 1)]
    flat = foreign_block(Tokens(0, np.array([0, 7]), documents.tokens, has_items=False), "a", EOS, PAD, 4)
    assert flat.begins.tolist() == [0, 3] and flat.used.tolist() == [3, 4] and flat.places(np.array([1])) == [5]


def test_documents_of_a_foreign_set_that_lack_their_end_are_counted() -> None:
    whole = [[5 + number % 20, 7, number % 11 + 5, EOS] + [5] * 0 for number in range(40)]
    rows = [row if number % 4 else row[:-1] for number, row in enumerate(whole)]
    assert [problem.check for problem in report_of([block_of(whole)]).findings if problem.severity == "error"] == []
    bad = [problem for problem in report_of([block_of(rows)]).findings if problem.check == "end-tokens"]
    assert bad[0].severity == "error" and bad[0].seen.startswith("10 documents")
    assert bad[0].where == ["a sequence 0", "a sequence 4", "a sequence 8"]


def test_unknown_tokens_are_an_error_when_they_are_many() -> None:
    rows = [[9 if place % 50 == 0 else 10 + place % 40 for place in range(100)] + [EOS] for _ in range(40)]
    report = report_of([block_of(rows)], unknown=np.array([9]))
    assert ["unknown-tokens", "error"] in [[problem.check, problem.severity] for problem in report.findings]


def test_drift_names_what_moved() -> None:
    def build(tokens: int, web: int, counts: list[int], tokenizer: str = "t") -> Build:
        shares = {"source": {"web": web, "code": 100 - web}}
        return Build(
            sequences=10, tokens=tokens, documents=10, tokenizer=tokenizer, settings={}, tokens_by=shares,
            counts=np.array(counts),
        )  # fmt: skip

    old = build(1000, 50, [5, 5, 5, 5])
    assert list(drift(build(1050, 51, [6, 5, 5, 5]), old)) == []
    seen = {problem.seen: problem.severity for problem in drift(build(1200, 80, [20, 0, 0, 0]), old)}
    assert seen["1,200 tokens (+20%)"] == "warning" and "source: code 20.0% for 50.0%; web 80.0% for 50.0%" in seen
    assert len(seen) == 4
    assert [problem.severity for problem in drift(build(100, 50, [5, 5, 5, 5]), old)] == ["error"]
    assert [problem.seen for problem in drift(build(1000, 50, [1, 1], "u"), old)] == ["tokenizer u"]


@given(st.lists(st.integers(0, 9), min_size=4, max_size=4), st.lists(st.integers(0, 9), min_size=4, max_size=4))
def test_divergence_is_symmetric_and_between_0_and_1(one: list[int], other: list[int]) -> None:
    p, q = np.array(one), np.array(other)
    assert -1e-9 <= jensen_shannon(p, q) <= 1 + 1e-9
    assert jensen_shannon(p, q) == pytest.approx(jensen_shannon(q, p))
    assert jensen_shannon(p, 3 * p) == pytest.approx(0, abs=1e-9)


def test_labels_may_be_the_tokens_or_the_next_ones() -> None:
    tokens = np.random.default_rng(0).integers(3, VOCABULARY, (8, 40)).tolist()
    block = block_of([[*row[:-1], EOS] for row in tokens])
    offsets = np.arange(9) * 40

    def findings(shift: int) -> list[str]:
        masks = Masks("labels")
        values = np.roll(block.tokens, -shift)
        masks.add(block, offsets, values)
        return [problem.seen for problem in masks.findings()]

    assert findings(0) == findings(1) == []
    assert findings(2) == ["labels are the tokens +2 places on"]
    assert findings(-1) == ["labels are the tokens -1 places on"]


def test_shares_are_written_with_two_digits() -> None:
    assert [percent(part, 1000) for part in (0, 1, 15, 500)] == ["0.0%", "0.1%", "1.5%", "50.0%"]
    assert percent(1, 3_000_000) == "3.3e-05%"
