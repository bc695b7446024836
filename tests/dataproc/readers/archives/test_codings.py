"""HTTP codings: each in every state that an archive may hold it in, with the same outcome for all."""

import gzip
import random
import zlib
from collections.abc import Callable
from contextlib import suppress

import brotli
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from corpusmill.dataproc.readers.archives.codings import Body, Broken, TooLong, decode_body
from corpusmill.dataproc.readers.archives.http import Response

WORDS = ["the", "mill", "grinds", "slowly", "and", "flour", "that", "comes", "out", "of", "it", "is", "fine", "größer"]
TEXT = " ".join(random.Random(1).choices(WORDS, k=3000)).encode()


def chunked(data: bytes) -> bytes:
    chunks = [data[at : at + 1000] for at in range(0, len(data), 1000)]
    return b"".join(b'%X ;name="v";x\r\n%b\r\n' % (len(chunk), chunk) for chunk in chunks) + b"0\r\nTrailer: x\r\n\r\n"


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


def two(pack: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    return lambda data: pack(data[:700]) + pack(data[700:])


PACKED = {
    "gzip": gzip.compress,
    "x-gzip": two(gzip.compress),
    "deflate": zlib.compress,
    "Deflate": raw_deflate,
    "br": brotli.compress,
    "zstd": two(zstandard.compress),
    "chunked": chunked,
}


def undo(data: bytes, *names: str, limit: int = 1 << 20, **headers: str) -> Body:
    values = {name.replace("_", "-"): [value] for name, value in headers.items()}
    transfer = [name for name in names if name == "chunked"]
    content = [name for name in names if name != "chunked"]
    values |= {"transfer-encoding": transfer, "content-encoding": content}
    return decode_body(Response(status=200, headers=values, body_start=0), data, limit)


@pytest.mark.parametrize("name", PACKED)
def test_a_whole_body_whatever_stands_behind_it(name: str) -> None:
    packed = PACKED[name](TEXT)
    for behind in (b"", b"\r\n", b"\0\0", b"junk <p>" * 1000):
        assert undo(packed + behind, name) == Body(data=TEXT), behind


@pytest.mark.parametrize("name", PACKED)
def test_a_body_that_is_cut_off_is_kept_and_says_so(name: str) -> None:
    packed = PACKED[name](TEXT)
    ends = len(packed) - len(b"0\r\nTrailer: x\r\n\r\n") if name == "chunked" else len(packed)
    for cut in (0, 1, 2, 9, ends // 2, ends - 9, ends - 1):
        body = undo(packed[:cut], name)
        assert TEXT.startswith(body.data)
        assert body.truncated == f"{name.lower()} cut off"
    assert name == "zstd" or len(undo(packed[: ends // 2], name).data) > len(TEXT) // 10  # zstd gives whole blocks


@pytest.mark.parametrize("name", ["x-gzip", "zstd"])
def test_a_second_stream_of_which_a_byte_is_there_is_cut_off(name: str) -> None:
    pack = {"x-gzip": gzip.compress, "zstd": zstandard.compress}[name]
    assert undo(pack(TEXT) + pack(TEXT)[:1], name) == Body(data=TEXT, truncated=f"{name} cut off")


def test_a_body_without_codings_is_compared_with_its_length() -> None:
    assert undo(TEXT, content_length=str(len(TEXT))) == Body(data=TEXT)
    assert undo(TEXT, content_length=str(len(TEXT) - 1)) == Body(data=TEXT)  # no text is thrown away
    assert undo(TEXT, content_length=str(len(TEXT) + 1)).truncated == "shorter than its Content-Length"
    assert undo(TEXT, content_length="many") == Body(data=TEXT)
    assert not undo(gzip.compress(TEXT), "gzip", content_length="999999").truncated


@pytest.mark.parametrize("name", PACKED)
def test_a_body_that_the_archive_holds_decoded_is_kept(name: str) -> None:
    for data in (TEXT, b"<html><p>a page", b"# Markdown, and more of it than a few words"):
        assert undo(data, name) == Body(data=data)


@pytest.mark.parametrize("name", PACKED)
def test_what_is_neither_is_broken(name: str) -> None:
    with pytest.raises(Broken):
        undo(b"\x07\x02 no stream \x00\xff" * 9, name)


@pytest.mark.parametrize("name", [name for name in PACKED if name != "chunked"])
def test_damage_is_broken_or_harmless(name: str) -> None:
    packed = bytearray(PACKED[name](TEXT))
    packed[len(packed) // 2 : len(packed) // 2 + 40] = b"\xff" * 40
    try:
        body = undo(bytes(packed), name)
    except Broken:
        return
    assert body.data != TEXT or name == "Deflate"  # a raw stream has no checksum
    assert name in ("br", "Deflate")


def test_a_chunk_size_that_is_none_in_the_middle_is_broken() -> None:
    with pytest.raises(Broken, match="no chunk size at byte"):
        undo(b"5\r\n<html\r\nxyz\r\nmore\r\n0\r\n\r\n", "chunked")


def test_codings_are_stacked() -> None:
    stacked = chunked(brotli.compress(gzip.compress(zlib.compress(TEXT))))
    headers = {"transfer-encoding": ["br", "chunked"], "content-encoding": ["deflate, GZIP"]}
    response = Response(status=200, headers=headers, body_start=0)
    assert decode_body(response, stacked, 1 << 20) == Body(data=TEXT)
    assert decode_body(response, stacked[:-400], 1 << 20).truncated == "chunked cut off"


def test_an_unknown_coding_is_none_where_the_body_is_text_and_reported_where_not() -> None:
    assert undo(TEXT, "utf-8") == Body(data=TEXT)
    assert undo(TEXT, "identity") == Body(data=TEXT)
    with pytest.raises(Broken, match="nothing here decodes 'compress'"):
        undo(b"\x1f\x9d\x90 lzw", "compress")


@pytest.mark.parametrize("name", [name for name in PACKED if name != "chunked"])
def test_a_bomb_is_refused_at_the_limit(name: str) -> None:
    bomb = PACKED[name](bytes(8 << 20))
    with pytest.raises(TooLong):
        undo(bomb, name, limit=100_000)


@given(data=st.binary(max_size=80), name=st.sampled_from(list(PACKED)), cut=st.integers(0, 80))
def test_any_bytes_are_decoded_or_broken(data: bytes, name: str, cut: int) -> None:
    assert undo(PACKED[name](data), name) == Body(data=data)
    with suppress(Broken):
        undo(PACKED[name](data)[cut:] + data, name)
