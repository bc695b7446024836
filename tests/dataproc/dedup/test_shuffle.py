"""The file shuffle: every row arrives once, in the partition of its key."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.dataproc import storage
from corpusmill.dataproc.dedup.shuffle import (
    ROW_SCHEMA,
    key_ranges,
    partition_order,
    partition_rows,
    partition_slices,
    read_partition,
    read_pieces,
    row_batch,
    rows_between,
    slices_by_number,
    spread,
    write_partitions,
)
from corpusmill.dataproc.errors import UserError


@settings(deadline=None)
@given(st.lists(st.integers(0, 2**64 - 1), max_size=50), st.integers(1, 9))
def test_partitions_are_ranges_of_the_key_in_stable_order(keys, partitions):
    rows = partition_rows(np.array(keys, np.uint64), np.arange(len(keys), dtype=np.uint64), partitions)
    assert len(rows) == partitions
    expected = [[] for _ in range(partitions)]
    for address, key in enumerate(keys):
        expected[((key >> 32) * partitions) >> 32].append((key, address))
    assert [list(zip(k.tolist(), a.tolist(), strict=True)) for k, a in rows] == expected


@settings(deadline=None)
@given(st.lists(st.integers(0, 2**64 - 1), max_size=50), st.integers(1, 9))
def test_slices_of_a_table_hold_the_rows_of_their_partition_in_order(keys, partitions):
    keys = np.array(keys, np.uint64)
    table = pa.table({"key": keys, "name": [f"row {number}" for number in range(len(keys))]})
    whole = pa.chunked_array([table["name"].combine_chunks().slice(0, 1), table["name"].combine_chunks().slice(1)])
    table = table.set_column(1, "name", whole)  # chunks as a batch of several parts has them
    slices = partition_slices(table, keys, partitions)
    order, bounds = partition_order(keys, partitions)
    assert [part["name"].to_pylist() for part in slices] == [
        table["name"].take(pa.array(order[bounds[k] : bounds[k + 1]])).to_pylist() for k in range(partitions)
    ]
    assert all(part.schema == table.schema for part in slices)


@settings(deadline=None)
@given(st.lists(st.integers(0, 6), max_size=50))
def test_slices_by_number_hold_the_rows_of_their_number_in_order(numbers):
    table = pa.table({"row": np.arange(len(numbers))})
    slices = slices_by_number(table, np.array(numbers, np.int64), 7)
    expected = [[row for row, number in enumerate(numbers) if number == wanted] for wanted in range(7)]
    assert [part["row"].to_pylist() for part in slices] == expected


def test_spread_numbers_are_different_and_fill_partitions_evenly():
    labels = (np.arange(3000, dtype=np.uint64) // np.uint64(100) << np.uint64(32)) + np.arange(3000, dtype=np.uint64)
    keys = spread(labels)
    assert len(set(keys.tolist())) == 3000
    _, bounds = partition_order(keys, 10)
    assert np.abs(np.diff(bounds) - 300).max() < 60


def test_most_and_too_many_partitions():
    order, bounds = partition_order(np.array([2**64 - 1, 0], np.uint64), 1 << 16)
    assert order.tolist() == [1, 0] and bounds[-2:].tolist() == [1, 2]
    for partitions in (0, (1 << 16) + 1):
        with pytest.raises(ValueError, match="partitions"):
            partition_order(np.zeros(1, np.uint64), partitions)


def test_reduce_task_reads_its_rows_of_all_files(tmp_path):
    draw = np.random.default_rng(0)
    everything = []
    for number in range(3):
        keys, addresses = (
            draw.integers(0, 2**64, 1000, dtype=np.uint64),
            np.arange(1000, dtype=np.uint64) + number * 1000,
        )
        batches = [row_batch(*rows) for rows in partition_rows(keys, addresses, 5)]
        size, digest = write_partitions(str(tmp_path / f"map-{number}.arrow"), batches)
        assert size == (tmp_path / f"map-{number}.arrow").stat().st_size
        assert write_partitions(str(tmp_path / "again.arrow"), batches) == (size, digest)
        everything += list(zip(keys.tolist(), addresses.tolist(), strict=True))
    seen = []
    for partition in range(5):
        for number in range(3):
            batch = read_partition(str(tmp_path / f"map-{number}.arrow"), partition)
            assert batch.schema == ROW_SCHEMA
            seen += list(zip(batch["key"].to_pylist(), batch["address"].to_pylist(), strict=True))
    assert sorted(seen) == sorted(everything)


@pytest.mark.parametrize("partitions", [1, 7, 4096, 5000])
@pytest.mark.parametrize("rows", [0, 50, 20_000])
def test_a_file_of_a_store_is_read_by_its_end_and_gives_the_same(partitions, rows, tmp_path):
    keys = np.random.default_rng(rows).integers(0, 2**64, rows, dtype=np.uint64)
    batches = [row_batch(*part) for part in partition_rows(keys, np.arange(rows, dtype=np.uint64), partitions)]
    url, path = f"memory://shuffle-{partitions}-{rows}/f.arrow", str(tmp_path / "f.arrow")
    assert write_partitions(url, batches) == write_partitions(path, batches)
    for partition in {0, partitions // 2, partitions - 1}:
        assert read_partition(url, partition).equals(read_partition(path, partition))
    with pytest.raises(UserError, match="no such partition"):
        read_partition(url, partitions)


@pytest.mark.parametrize("left", [10, 33_000, 200_000])
def test_a_truncated_file_of_a_store_is_named(left, tmp_path):
    rows = np.arange(20_000, dtype=np.uint64)
    write_partitions(str(tmp_path / "f.arrow"), [row_batch(rows, rows)])
    storage.commit_bytes("memory://short/f.arrow", (tmp_path / "f.arrow").read_bytes()[:left])
    with pytest.raises(UserError, match="incomplete or damaged shuffle file"):
        read_partition("memory://short/f.arrow", 0)
    with pytest.raises(UserError, match="incomplete or damaged shuffle file"):
        read_partition("memory://short/gone.arrow", 0)


def test_further_columns_travel_with_their_row(tmp_path):
    batch = pa.record_batch({"key": pa.array([1 << 63, 5], pa.uint64()), "low": pa.array([8, 9], pa.uint64())})
    order, bounds = partition_order(batch["key"].to_numpy(), 2)
    parts = [batch.take(pa.array(order[bounds[k] : bounds[k + 1]])) for k in range(2)]
    write_partitions(str(tmp_path / "f.arrow"), parts)
    assert read_partition(str(tmp_path / "f.arrow"), 1)["low"].to_pylist() == [8]


def test_truncated_missing_and_short_files_are_named(tmp_path):
    path = tmp_path / "f.arrow"
    write_partitions(str(path), [row_batch(np.arange(9, dtype=np.uint64), np.arange(9, dtype=np.uint64))])
    with pytest.raises(UserError, match="partition 1"):
        read_partition(str(path), 1)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(UserError, match=r"f\.arrow"):
        read_partition(str(path), 0)
    with pytest.raises(UserError, match="no such file"):
        read_partition(str(tmp_path / "none.arrow"), 0)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(0, 2**64 - 1), max_size=80),
    st.integers(1, 9),
    st.integers(1, 7),
)
def test_passes_go_through_a_partition_by_ranges_of_its_keys(values, partitions, passes):
    keys = np.array([*values, *values[:9], 0, 2**64 - 1], np.uint64)
    table = pa.table({"key": keys, "address": np.arange(len(keys), dtype=np.uint64)})
    whole = partition_slices(table, keys, partitions)
    sorted_ones = partition_slices(table, keys, partitions, by_key=True)
    for partition in range(partitions):
        ranges = key_ranges(partition, partitions, passes)
        slices = [rows_between(sorted_ones[partition], "key", *bounds) for bounds in ranges]
        assert len(slices) == passes
        addresses = [address for piece in slices for address in piece.column("address").to_pylist()]
        assert sorted(addresses) == sorted(whole[partition].column("address").to_pylist())
        for (first, stop), piece in zip(ranges, slices, strict=True):
            assert all(first <= key < stop for key in piece.column("key").to_pylist())


def test_rows_that_come_in_pieces_are_read_by_partition(tmp_path):
    path = str(tmp_path / "f.arrow")
    pieces = [[row_batch(*(np.array([10 * piece + part], np.uint64),) * 2) for part in range(3)] for piece in range(4)]
    write_partitions(path, (batch for piece in pieces for batch in piece))
    for part in range(3):
        read = [batch["key"].to_pylist() for batch in read_pieces(path, part, 3)]
        assert read == [[10 * piece + part] for piece in range(4)]
