"""Training that is ended in the middle goes on from its last checkpoint, to the same merges."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from corpusmill.dataproc.errors import UserError
from corpusmill.tokenizer.counting.counts import PretokenCounts, count_pretokens, in_order
from corpusmill.tokenizer.learning.bpe import Progress, extend_merges, train_merges
from corpusmill.tokenizer.learning.checkpoints import Checkpoints, identity, load, save
from corpusmill.tokenizer.vocabulary import Vocabulary

SPECIALS = ["<begin of text>", "<end of text>"]


class Killed(Exception):
    """What stands for a kill."""


@pytest.fixture(scope="module")
def counts(source_texts: list[str]) -> PretokenCounts:
    return count_pretokens(pa.array(source_texts[:40], pa.large_string()))


@pytest.fixture(scope="module")
def uninterrupted(counts: PretokenCounts) -> Vocabulary:
    return train_merges(counts, 2000, SPECIALS)


def killed_at(merges: int) -> Callable[[Progress], None]:
    def kill(progress: Progress) -> None:
        if progress.merges >= merges:
            raise Killed

    return kill


def assert_same(one: Vocabulary, other: Vocabulary) -> None:
    assert one.tokens == other.tokens
    assert one.merges.tolist() == other.merges.tolist()


def test_what_was_killed_goes_on_from_its_last_checkpoint(
    counts: PretokenCounts, uninterrupted: Vocabulary, tmp_path: Path
) -> None:
    checkpoints = Checkpoints(str(tmp_path / "merges.arrow"), every=300)
    with pytest.raises(Killed):
        train_merges(counts, 2000, SPECIALS, checkpoints=checkpoints, progress=killed_at(1000))
    assert pa.ipc.open_file(checkpoints.path).read_all().num_rows == 1200
    seen: list[Progress] = []
    again = train_merges(counts, 2000, SPECIALS, checkpoints=checkpoints, progress=seen.append)
    assert_same(again, uninterrupted)
    assert [checkpoint.merges for checkpoint in seen] == [1500, 1742]
    assert {checkpoint.asked for checkpoint in seen} == {1742}
    assert seen[0].count > seen[1].count > 0


def test_killed_at_every_report_it_comes_to_the_same_end(
    counts: PretokenCounts, uninterrupted: Vocabulary, tmp_path: Path
) -> None:
    checkpoints, kills, done = Checkpoints(str(tmp_path / "merges.arrow"), every=250), 0, None

    def kill(progress: Progress) -> None:
        if progress.merges < progress.asked:
            raise Killed

    while done is None:
        try:
            done = train_merges(counts, 2000, SPECIALS, checkpoints=checkpoints, progress=kill)
        except Killed:
            kills += 1
    assert kills == 6
    assert_same(done, uninterrupted)


def test_extending_goes_on_from_a_checkpoint_too(
    counts: PretokenCounts, uninterrupted: Vocabulary, tmp_path: Path
) -> None:
    checkpoints = Checkpoints(str(tmp_path / "merges.arrow"), every=100)
    start, added = uninterrupted.prefix(900), {900: "<user>", 901: "<call>"}
    with pytest.raises(Killed):
        extend_merges(start, counts, 1500, added=added, checkpoints=checkpoints, progress=killed_at(350))
    again = extend_merges(start, counts, 1500, added=added, checkpoints=checkpoints, progress=killed_at(999))
    assert_same(again, extend_merges(start, counts, 1500, added=added))


def test_a_checkpoint_serves_larger_and_smaller_vocabularies(
    counts: PretokenCounts, uninterrupted: Vocabulary, tmp_path: Path
) -> None:
    checkpoints = Checkpoints(str(tmp_path / "merges.arrow"), every=400)
    assert_same(train_merges(counts, 1100, SPECIALS, checkpoints=checkpoints), uninterrupted.prefix(1100))
    assert_same(train_merges(counts, 500, SPECIALS, checkpoints=checkpoints), uninterrupted.prefix(500))
    assert_same(train_merges(counts, 2000, SPECIALS, checkpoints=checkpoints), uninterrupted)


def test_a_spelling_met_again_ends_the_checkpoints(tmp_path: Path) -> None:
    letters = train_merges(in_order(pa.array([], pa.large_binary()), np.zeros(0, np.int64)), 256, [])
    tokens = pa.concat_arrays([letters.tokens, pa.array([b"ab"], pa.large_binary())])
    start = Vocabulary(tokens, letters.merges, 0)
    table = in_order(pa.array([b"xy", b"abcdef"], pa.large_binary()), np.array([9, 5]))
    checkpoints = Checkpoints(str(tmp_path / "merges.arrow"), every=1)
    whole = extend_merges(start, table, 262, checkpoints=checkpoints)
    assert whole.merges[:, 2].tolist() == [257, 256, 258, 259, 260, 261]
    assert pa.ipc.open_file(checkpoints.path).read_all().column("new").to_pylist() == [257]
    assert_same(extend_merges(start, table, 262, checkpoints=checkpoints), whole)


def test_a_checkpoint_of_something_else_is_refused(counts: PretokenCounts, tmp_path: Path) -> None:
    checkpoints = Checkpoints(str(tmp_path / "merges.arrow"), every=100)
    train_merges(counts, 500, SPECIALS, checkpoints=checkpoints)
    other = PretokenCounts(counts.pretokens, counts.counts + 1)
    for table, specials, limits in (
        (other, SPECIALS, {}),
        (counts, SPECIALS[:1], {}),
        (counts, SPECIALS, {"min_frequency": 2}),
        (counts, SPECIALS, {"max_token_length": 8}),
        (counts, SPECIALS, {"no_merge": ("digits",)}),
    ):
        with pytest.raises(UserError, match="other counts or settings"):
            train_merges(table, 500, specials, checkpoints=checkpoints, **limits)
    (tmp_path / "merges.arrow").write_bytes(b"something else")
    with pytest.raises(UserError, match="not a checkpoint"):
        train_merges(counts, 500, SPECIALS, checkpoints=checkpoints)


def test_merges_come_back_as_they_were(counts: PretokenCounts, uninterrupted: Vocabulary, tmp_path: Path) -> None:
    checkpoints, of = Checkpoints(str(tmp_path / "merges.arrow")), identity(counts, uninterrupted, ())
    assert load(checkpoints, of).shape == (0, 3)
    save(checkpoints, of, uninterrupted.merges)
    kept = load(checkpoints, of)
    assert kept.dtype == np.int32
    assert kept.tolist() == uninterrupted.merges.tolist()
