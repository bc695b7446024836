"""How much a row group of Parquet takes once it is decoded, by the headers of its pages, before any is decoded.

A footer says how many bytes pages take uncompressed. That is not what they decode to: a value of a dictionary page is
stored once and may stand in every row, DELTA_BYTE_ARRAY stores what a value shares with the one before as a number, and
a run of levels stands for any number of values of a nested column. So a file of some KB can ask for many GB. From the
kind, encoding and number of values of each page follows how many rows can be decoded at a time in `GROUP_BYTES`,
however unevenly they are filled; only where a dictionary might be the trouble, it is unpacked to find its longest
value.

Format: parquet.thrift (PageHeader) in Thrift's compact protocol. Nothing is trusted: a header that is none ends the
walk, as it ends pyarrow's, and a page larger than `MAXIMUM_PAGE_BYTES` makes its column unreadable. Cost: a small read
a page of a local file; behind a URL only the first pages are looked at, since each look may be a request, and the
rest is taken for what these are.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from corpusmill.dataproc.readers.decoded_sizes import VALUE_BYTES

GROUP_BYTES = 64 << 20
"""What the rows that are decoded at a time may take, unless one row takes more."""
NESTED_BYTES = 512 << 20
NESTED_RATIO = 16
"""A nested column that takes more than both (bytes, and times its bytes in the file) is not decoded: all of it may be
one row's."""
MAXIMUM_PAGE_BYTES = 512 << 20
SEARCHED_DICTIONARY_BYTES = 8 << 20
HEADER_BYTES, LONGEST_HEADER_BYTES = 512, 16 << 20
DATA_PAGE, DICTIONARY_PAGE, DATA_PAGE_V2 = 0, 2, 3
PLAIN_DICTIONARY, DELTA_BYTE_ARRAY, RLE_DICTIONARY = 2, 7, 8
WIDTHS = {"BOOLEAN": 1, "INT32": 4, "INT64": 8, "INT96": 12, "FLOAT": 4, "DOUBLE": 8}


@dataclass(frozen=True, kw_only=True)
class GroupShape:
    """How a row group can be read.

    Attributes:
        rows: how many rows to decode at a time.
        unreadable: {column: why it cannot be decoded in bounded memory}.
        values: rows that the pages of a flat column hold, by column, where all of them were looked at.
    """

    rows: int
    unreadable: dict[str, str] = field(default_factory=dict)
    values: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Page:
    """A page by its header; `at` is where its body begins."""

    kind: int
    at: int
    bytes: int
    packed: int
    values: int
    encoding: int


@dataclass
class _Leaf:
    """A leaf column of a row group.

    Attributes:
        plain: bytes of each page, as far as they are its own.
        rows: values of each page.
        coded: values that stand for others, which may be as long as `longest`.
    """

    plain: list[int]
    rows: list[int]
    coded: int = 0
    longest: int = 0

    def bytes(self) -> int:
        return sum(self.plain) + self.coded * self.longest + VALUE_BYTES * sum(self.rows)

    def bytes_of(self, rows: int) -> int:
        """The most that any `rows` rows that follow each other take, of a column that is not nested."""
        if not self.rows:
            return 0
        ends, total = np.cumsum(self.rows), np.concatenate([[0], np.cumsum(self.plain)])
        last = np.minimum(np.searchsorted(ends, ends + rows), len(ends) - 1)
        return int((total[last + 1] - total[:-1]).max()) + min(self.coded, rows) * self.longest


def shape_of_group(
    file: BinaryIO, parquet: pq.ParquetFile, group: int, names: Sequence[str], wanted: int, *, whole: bool = True
) -> GroupShape:
    """How to read columns of a row group so that what is decoded at a time is bounded.

    Args:
        file: the file of `parquet`, at any place.
        names: the columns.
        wanted: the most rows to decode at a time.
        whole: whether all pages are looked at, or the first of each column.
    """
    metadata, flat = parquet.metadata.row_group(group), list[_Leaf]()
    rows, nested_bytes = wanted, 0
    unreadable: dict[str, str] = {}
    values: dict[str, int] = {}
    for number in range(metadata.num_columns):
        column, kind = metadata.column(number), parquet.schema.column(number)
        name = next((name for name in names if kind.path == name or kind.path.startswith(f"{name}.")), None)
        if name is None:
            continue
        pages, complete = _pages(file, column, whole)
        if any(page.bytes > MAXIMUM_PAGE_BYTES for page in pages):
            unreadable[name] = f"a page of more than {MAXIMUM_PAGE_BYTES} bytes"
            continue
        leaf = _leaf(file, column, kind, pages, wanted)
        if not complete and not whole:
            leaf.coded = max(leaf.coded, metadata.num_rows if leaf.longest else 0)
        if not kind.max_repetition_level:
            flat.append(leaf)
            if complete and kind.path == name:
                values[name] = sum(leaf.rows)
        elif leaf.bytes() > max(NESTED_BYTES, NESTED_RATIO * column.total_compressed_size):
            unreadable[name] = f"its values may take {leaf.bytes()} bytes in one row"
        else:
            nested_bytes += leaf.bytes()
    if nested_bytes > GROUP_BYTES:
        rows = max(1, min(rows, GROUP_BYTES * metadata.num_rows // nested_bytes))
    while rows > 1 and sum(leaf.bytes_of(rows) for leaf in flat) > GROUP_BYTES:
        rows //= 2
    return GroupShape(rows=rows, unreadable=unreadable, values=values)


def _leaf(
    file: BinaryIO, column: pq.ColumnChunkMetaData, kind: pq.ColumnSchema, pages: Sequence[_Page], wanted: int
) -> _Leaf:
    data = [page for page in pages if page.kind != DICTIONARY_PAGE]
    leaf = _Leaf([0] * len(data), [page.values for page in data])
    if column.physical_type in WIDTHS:
        leaf.plain = [page.values * WIDTHS[column.physical_type] for page in data]
        return leaf
    if column.physical_type == "FIXED_LEN_BYTE_ARRAY":
        leaf.coded, leaf.longest = sum(leaf.rows), kind.length
        return leaf
    in_dictionary = 0
    for number, page in enumerate(data):
        if page.encoding in (PLAIN_DICTIONARY, RLE_DICTIONARY):
            in_dictionary += page.values
        elif page.encoding == DELTA_BYTE_ARRAY:
            leaf.coded += page.values
            leaf.longest = max(leaf.longest, 2 * page.bytes)  # pyarrow puts values together before it copies them
        else:
            leaf.plain[number] = page.bytes
    dictionary = next((page for page in pages if page.kind == DICTIONARY_PAGE), None)
    if dictionary is not None and in_dictionary:
        longest = dictionary.bytes
        if min(in_dictionary, wanted) * longest > GROUP_BYTES // 4:
            longest = _longest_value(file, column, dictionary)
        leaf.coded, leaf.longest = leaf.coded + in_dictionary, max(leaf.longest, longest)
    return leaf


def _longest_value(file: BinaryIO, column: pq.ColumnChunkMetaData, page: _Page) -> int:
    """The bytes of the longest value of a dictionary page; all of it where that cannot be found out cheaply."""
    if page.bytes > SEARCHED_DICTIONARY_BYTES:
        return page.bytes
    file.seek(page.at)
    data: Any = file.read(page.packed)
    try:
        if column.compression != "UNCOMPRESSED":
            data = pa.decompress(data, page.bytes, codec=column.compression.lower(), asbytes=True)
    except (pa.ArrowException, OSError, ValueError):
        return page.bytes
    at = longest = 0
    while at + 4 <= len(data):
        length = int.from_bytes(data[at : at + 4], "little")
        longest = max(longest, length)
        at += 4 + length
    return min(longest, page.bytes)


def _pages(file: BinaryIO, column: pq.ColumnChunkMetaData, whole: bool) -> tuple[list[_Page], bool]:
    """The pages of a column chunk up to its end, to a header that is none, or to the first of data; and if all are."""
    at = column.data_page_offset
    if column.has_dictionary_page and 0 < (column.dictionary_page_offset or 0) < at:
        at = column.dictionary_page_offset
    end, pages, values = at + column.total_compressed_size, list[_Page](), 0
    while at < end and values < column.num_values:
        page = _read_page(file, at)
        if page is None:
            return pages, False
        pages.append(page)
        at = page.at + page.packed
        if page.kind != DICTIONARY_PAGE:
            values += page.values
            if not whole:
                return pages, values >= column.num_values
    return pages, values >= column.num_values


def _read_page(file: BinaryIO, at: int) -> _Page | None:
    if at < 0:  # a damaged footer
        return None
    count = HEADER_BYTES
    while True:
        file.seek(at)
        data = file.read(count)
        try:
            header, length = _struct(data, 0)
        except IndexError:
            if len(data) < count or count >= LONGEST_HEADER_BYTES:
                return None
            count *= 8
            continue
        except (ValueError, RecursionError):
            return None
        break
    kind, unpacked, packed = header.get(1), header.get(2), header.get(3)
    if not isinstance(kind, int) or not isinstance(unpacked, int) or not isinstance(packed, int):
        return None
    inner = header.get({DATA_PAGE: 5, DICTIONARY_PAGE: 7, DATA_PAGE_V2: 8}.get(kind, 0), {})
    if not isinstance(inner, dict):
        return None
    values, encoding = inner.get(1, 0), inner.get(4 if kind == DATA_PAGE_V2 else 2, 0)
    if not isinstance(values, int) or not isinstance(encoding, int) or min(unpacked, packed, values) < 0:
        return None
    return _Page(kind=kind, at=at + length, bytes=unpacked, packed=packed, values=values, encoding=encoding)


def _struct(data: bytes, at: int, depth: int = 0) -> tuple[dict[int, Any], int]:
    """The fields of a struct of Thrift's compact protocol by their numbers, and where it ends.

    Raises IndexError where the data end first, and ValueError for what is no struct.
    """
    if depth > 8:
        raise ValueError
    fields: dict[int, Any] = {}
    number = 0
    while (head := data[at]) != 0:
        at += 1
        if head >> 4:
            number += head >> 4
        else:
            number, at = _varint(data, at)
            number = number >> 1 ^ -(number & 1)
        fields[number], at = _value(data, at, head & 15, depth)
    return fields, at + 1


def _value(data: bytes, at: int, kind: int, depth: int) -> tuple[Any, int]:
    if kind in (1, 2):
        return kind == 1, at
    if kind == 3:
        return data[at], at + 1
    if kind in (4, 5, 6):
        number, at = _varint(data, at)
        return number >> 1 ^ -(number & 1), at
    if kind == 7:
        return None, at + 8
    if kind == 8:
        length, at = _varint(data, at)
        if at + length > len(data):
            raise IndexError
        return None, at + length
    if kind == 12:
        return _struct(data, at, depth + 1)
    raise ValueError  # page headers have no lists, sets or maps


def _varint(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = data[at]
        number |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return number, at
        if shift > 63:
            raise ValueError
