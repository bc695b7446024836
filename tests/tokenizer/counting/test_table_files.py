"""The table that is kept says how it was made, and gives the counts that a vocabulary is learned from."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from corpusmill.dataproc.errors import UserError
from corpusmill.tokenizer.counting.balance import ONE
from corpusmill.tokenizer.counting.rows import CountRows, sorted_rows
from corpusmill.tokenizer.counting.table_files import TableFile, TableInfo, load_counts, whole_pretokens
from corpusmill.tokenizer.counting.weighing import Dropped
from corpusmill.tokenizer.patterns import pattern_named

INFO = TableInfo(pattern_named("gpt2"), "language", ("", "en", "zh"), 1, "f" * 32)
PLAIN = [(b"a", "", 5), (b"a", "en", 2), (b"a", "zh", 1), (b"b", "zh", 8), (b"c", "en", 1)]


def rows_of(plain: list[tuple[bytes, str, int]]) -> CountRows:
    words, groups, counts = zip(*plain, strict=True)
    numbers = np.array([INFO.groups.index(group) for group in groups], np.int32)
    return sorted_rows(pa.array(words, pa.large_binary()), numbers, np.array(counts, np.int64))


def write(path: Path, plain: list[tuple[bytes, str, int]], group_rows: int = 2) -> str:
    pq.write_table(pa.Table.from_batches([INFO.to_batch(rows_of(plain))]), path, row_group_size=group_rows)
    return str(path)


def counted(paths: list[str], **options: object) -> dict[bytes, int]:
    table, _ = load_counts(paths, **options)  # type: ignore[arg-type]
    return dict(zip(table.pretokens.to_pylist(), table.counts.tolist(), strict=True))


def test_anyone_can_read_it(tmp_path: Path) -> None:
    path = write(tmp_path / "t.parquet", PLAIN)
    rows = pq.read_table(path).to_pylist()
    assert [(row["pretoken"], row["group"], row["count"]) for row in rows] == PLAIN
    assert TableFile(path).info == INFO


@pytest.mark.parametrize("group_rows", [1, 2, 3, 100])
def test_groups_are_weighed_and_added_up_wherever_row_groups_end(tmp_path: Path, group_rows: int) -> None:
    path = write(tmp_path / "t.parquet", PLAIN, group_rows)
    other = write(tmp_path / "u.parquet", [(b"z", "en", 7)])
    assert counted([path, other]) == {b"a": 8, b"b": 8, b"c": 1, b"z": 7}
    assert [*counted([path, other])] == [b"a", b"b", b"z", b"c"], "commonest first, ties by bytes"
    scales = {"": 0, "en": 3 * ONE, "zh": ONE}
    assert counted([path], scales=scales) == {b"a": 7, b"b": 8, b"c": 3}
    _, dropped = load_counts([path], min_count=2)
    assert dropped == Dropped(1, 1, 1)
    assert counted([path], min_count=8) == {b"a": 8, b"b": 8}


def test_pieces_have_all_rows_of_their_pretokens() -> None:
    rows = rows_of(PLAIN)
    for size in range(1, 6):
        pieces = list(whole_pretokens(rows.slice(first, min(size, 5 - first)) for first in range(0, 5, size)))
        words = [piece.pretokens.to_pylist() for piece in pieces]
        assert [word for some in words for word in some] == [word for word, _, _ in PLAIN]
        assert all(left[-1] != right[0] for left, right in pairwise(words))


def test_other_files_end_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "no.parquet").write_bytes(b"nothing")
    with pytest.raises(UserError, match="not a readable Parquet file"):
        TableFile(str(tmp_path / "no.parquet"))
    pq.write_table(pa.table({"a": [1]}), tmp_path / "other.parquet")
    with pytest.raises(UserError, match="not a table of counts"):
        TableFile(str(tmp_path / "other.parquet"))
