"""Headers of Parquet pages as other people's bytes: what is none gives none."""

import io

import pytest

from corpusmill.dataproc.readers.parquet_pages import _read_page

# Thrift's compact protocol: kind 0, 10 bytes unpacked, 10 packed, then field 5, the header of a page of data.
START = bytes([0x15, 0, 0x15, 20, 0x15, 20, 0x2C])


def test_a_page_of_three_values() -> None:
    page = _read_page(io.BytesIO(START + bytes([0x15, 6, 0x15, 0, 0, 0])), 0)
    assert page is not None
    assert (page.at, page.bytes, page.packed, page.values, page.encoding) == (13, 10, 10, 3, 0)


@pytest.mark.parametrize(
    "inner", [[0x1C, 0], [0x15, 6, 0x1C, 0], [0x15, 5]], ids=["values-a-struct", "encoding-a-struct", "fewer-than-none"]
)
def test_a_header_of_other_types_is_none(inner: list[int]) -> None:
    assert _read_page(io.BytesIO(START + bytes([*inner, 0, 0])), 0) is None


def test_before_the_file_is_no_page() -> None:
    assert _read_page(io.BytesIO(START), -1) is None
