"""Runs on disk and their merge: the sums that a plain tally gives, from any number of runs, cut anywhere."""

from collections import Counter as Tally
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.dataproc.errors import UserError
from corpusmill.tokenizer.counting import merging, runs
from corpusmill.tokenizer.counting.merging import CountMerge, group_numbers
from corpusmill.tokenizer.counting.rows import CountRows, partition_numbers, sorted_rows
from corpusmill.tokenizer.counting.runs import Run, write_run, write_stream
from corpusmill.tokenizer.counting.weighing import Dropped

Plain = dict[tuple[bytes, int], int]

ROWS = st.dictionaries(
    st.tuples(st.one_of(st.binary(min_size=1, max_size=3), st.binary(min_size=7, max_size=20)), st.integers(0, 2)),
    st.integers(1, 1 << 40),
    max_size=30,
)


def rows_of(rows: Plain) -> CountRows:
    words = pa.array([word for word, _ in rows], pa.large_binary())
    groups, counts = [group for _, group in rows], [*rows.values()]
    return sorted_rows(words, np.array(groups, np.int32), np.array(counts, np.int64))


def plain(pieces: list[CountRows]) -> list[tuple[tuple[bytes, int], int]]:
    return [
        ((word, group), count)
        for rows in pieces
        for word, group, count in zip(rows.pretokens.to_pylist(), rows.groups, rows.counts, strict=True)
    ]


def merged(runs: list[Plain], min_count: int = 1, groups: int = 3) -> tuple[list[CountRows], CountMerge]:
    numbers = np.arange(groups, dtype=np.int32)
    merge = CountMerge([([rows_of(run)], numbers) for run in runs], groups, min_count)
    return list(merge), merge


@settings(max_examples=200, deadline=None)
@given(st.lists(ROWS, max_size=5), st.integers(1, 4), st.integers(3, 9), st.integers(1, 1 << 41))
def test_a_merge_is_a_tally_and_leaves_out_what_is_rare(
    runs: list[Plain], buffer_rows: int, output_rows: int, min_count: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:  # so small that everything is refilled, handed on and widened
        for name, value in (("BUFFER_ROWS", buffer_rows), ("BUFFER_BYTES", 16), ("OUTPUT_BYTES", 32)):
            patch.setattr(merging, name, value)
        patch.setattr(merging, "OUTPUT_ROWS", output_rows)
        pieces, merge = merged(runs, min_count)
    tally: Tally[tuple[bytes, int]] = Tally()
    for run in runs:
        tally.update(run)
    whole: Tally[bytes] = Tally()
    for (word, _), count in tally.items():
        whole[word] += count
    rare = {word for word, count in whole.items() if count < min_count}
    assert plain(pieces) == sorted(item for item in tally.items() if item[0][0] not in rare)
    assert merge.unique == len(whole) - len(rare)
    assert merge.dropped == Dropped(
        len(rare), sum(whole[word] for word in rare), sum(whole[word] * len(word) for word in rare)
    )
    for group in range(3):
        of_group = [(len(word), count) for (word, number), count in tally.items() if number == group]
        assert merge.totals[group].tolist() == [sum(c for _, c in of_group), sum(n * c for n, c in of_group)]
    words = [set(rows.pretokens.to_pylist()) for rows in pieces]
    assert sum(map(len, words)) == len(set().union(*words)), "a pretoken is never in two pieces"


def test_what_was_taken_back_is_gone() -> None:
    pieces, merge = merged([{(b"a", 0): 3, (b"b", 0): 2}, {(b"a", 0): -3, (b"b", 0): -1}])
    assert plain(pieces) == [((b"b", 0), 1)] and merge.unique == 1 and merge.dropped == Dropped()


@pytest.mark.parametrize("word", [b"a", b"some longer word"])
def test_sums_past_63_bits_are_an_error(word: bytes) -> None:
    most = (2**63 - 1) // len(word)
    assert plain(merged([{(word, 0): most - 5}, {(word, 0): 5}])[0]) == [((word, 0), most)]
    bytes_of_others = {(word, 0): most - 5, (word + b"!", 0): 6}
    over_groups = {(word, group): most for group in range(3)} | {(word, 1): 2**63 - 1 - most}
    for these in ([{(word, 0): most - 5}, {(word, 0): 6}], [bytes_of_others], [over_groups]):
        with pytest.raises(UserError, match="exceeds 2"):
            merged(these)


@settings(max_examples=30, deadline=None)
@given(rows=ROWS, partitions=st.integers(1, 5), batch=st.integers(1, 7))
def test_a_run_gives_back_its_rows_by_partition(
    tmp_path_factory: pytest.TempPathFactory, rows: Plain, partitions: int, batch: int
) -> None:
    folder, names = tmp_path_factory.mktemp("run"), ["", "en", "zh"]
    table = rows_of(rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "BATCH_ROWS", batch)
        write_run(str(folder / "run.arrow"), table, names, partitions)
        write_stream(str(folder / "stream.arrow"), [table, table.slice(0, 0)], names)
    assert Run(str(folder / "run.arrow")).names == names
    numbers = partition_numbers(table, partitions)
    for number in range(partitions):
        expected = [row for row, partition in zip(plain([table]), numbers, strict=True) if partition == number]
        assert plain(list(Run(str(folder / "run.arrow"), number))) == expected
    assert plain(list(Run(str(folder / "stream.arrow")))) == sorted(rows.items())


def test_finer_partitions_lie_in_coarser_ones() -> None:
    rows = rows_of({(f"word {number}".encode(), 0): 1 for number in range(300)})
    assert (partition_numbers(rows, 8) % 4 == partition_numbers(rows, 4)).all()
    assert set(partition_numbers(rows, 8).tolist()) == set(range(8))


def test_groups_are_numbered_as_in_the_whole() -> None:
    assert group_numbers(["en", "zh"], ["", "de", "en", "zh"]).tolist() == [2, 3]


@pytest.mark.parametrize("content", [b"", b"no arrow file at all"])
def test_a_broken_run_ends_in_a_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "run.arrow").write_bytes(content)
    with pytest.raises(UserError, match="damaged file of counts"):
        Run(str(tmp_path / "run.arrow"))
