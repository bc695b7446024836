"""Streams of compressed files: all their members, and where they break."""

import gzip
import io
import itertools
import random
import zlib
from pathlib import Path

import pytest
import zstandard

from corpusmill.dataproc.decompression import (
    GZIP,
    ZSTD,
    BrokenStream,
    Codec,
    DecompressedFile,
    Feed,
    codec_of,
    decode_member,
    open_decompressed,
)

TEXT = b"".join(b"%d\n" % (number * 7919 % 100_003) for number in range(40_000))
CODECS = pytest.mark.parametrize("codec", [GZIP, ZSTD], ids=["gzip", "zstd"])


def pack(codec: Codec, data: bytes) -> bytes:
    return gzip.compress(data) if codec is GZIP else zstandard.ZstdCompressor(write_checksum=True).compress(data)


@pytest.mark.parametrize(
    ("path", "codec"),
    [("a.jsonl.gz", GZIP), ("a.bgz", GZIP), ("a.zst", ZSTD), ("a.csv.zstd", ZSTD), ("a.jsonl", None), ("gz", None)],
)
def test_a_codec_goes_by_the_ending(path: str, codec: Codec | None) -> None:
    assert codec_of(path) is codec


@CODECS
def test_a_stream_is_all_members_one_after_another(codec: Codec) -> None:
    packed = b"".join(pack(codec, TEXT[start : start + 100_000]) for start in range(0, len(TEXT), 100_000))
    assert open_decompressed(io.BytesIO(packed), codec).read() == TEXT
    assert list(open_decompressed(io.BytesIO(packed), codec)) == TEXT.splitlines(keepends=True)


def test_a_plain_file_is_its_own_stream() -> None:
    file = io.BytesIO(TEXT)
    assert open_decompressed(file, None) is file


@CODECS
@pytest.mark.parametrize("left", [0, 1, 1000, -1])
def test_a_file_that_is_cut_off_gives_what_came_before_and_says_so(codec: Codec, left: int) -> None:
    packed = pack(codec, TEXT)[:left]
    stream, read = open_decompressed(io.BytesIO(packed), codec), b""
    with pytest.raises(BrokenStream, match=f"cut off at compressed byte {len(packed)}"):
        while piece := stream.read1():
            read += piece
    assert TEXT.startswith(read)
    assert (len(read) == len(TEXT)) == (left == -1)


@pytest.mark.parametrize("known", [True, False], ids=["sizes in headers", "no sizes"])
def test_zstd_cut_off_anywhere_is_noticed(known: bool) -> None:
    """The library alone takes a cut for the end. What is between frames is not cut off."""
    passed_over = b"\x50\x2a\x4d\x18" + (3).to_bytes(4, "little") + b"abc"
    compressor = zstandard.ZstdCompressor(write_checksum=known, write_content_size=known)
    frames = [compressor.compress(b"first" * 9), passed_over, compressor.compress(bytes(300_000)), passed_over]
    packed, edges = b"".join(frames), set(itertools.accumulate(map(len, frames)))
    for cut in range(len(packed) + 1):
        try:
            open_decompressed(io.BytesIO(packed[:cut]), ZSTD).read()
        except BrokenStream:
            assert cut not in edges
        else:
            assert cut in edges


@CODECS
def test_what_is_no_stream_is_broken(codec: Codec) -> None:
    with pytest.raises(BrokenStream, match=f"broken {codec.name} stream (at|before) compressed byte"):
        open_decompressed(io.BytesIO(b"this is plain text"), codec).read()
    with pytest.raises(BrokenStream, match=f"broken {codec.name} stream (at|before) compressed byte"):
        open_decompressed(io.BytesIO(pack(codec, TEXT) + b"garbage"), codec).read()


@CODECS
def test_a_stream_may_end_at_its_break_as_if_the_file_did(codec: Codec) -> None:
    stream = DecompressedFile(io.BytesIO(pack(codec, TEXT)[:-1]), codec, ends_at_break=True)
    assert stream.readall() == TEXT
    assert "cut off" in stream.problem


def test_a_window_beyond_the_bound_is_refused() -> None:
    wide = zstandard.ZstdCompressor(
        compression_params=zstandard.ZstdCompressionParameters(window_log=25, enable_ldm=True)
    ).compressobj()
    packed = wide.compress(random.Random(0).randbytes(1 << 20)) + wide.flush()
    assert len(open_decompressed(io.BytesIO(packed), ZSTD).read()) == 1 << 20
    with pytest.raises(BrokenStream, match="broken zstd stream"):
        open_decompressed(io.BytesIO(packed), ZSTD, window_bytes=1 << 20).read()


def test_a_break_is_where_zlib_finds_it() -> None:
    """igzip finds breaks by the slice, with what came before in it lost, and passes over some."""
    draw, broken = random.Random(0), 0
    for _ in range(150):
        packed = bytearray(gzip.compress(TEXT[: draw.choice((10, 1000, 100_000))]))
        at = draw.randrange(3, 12) if draw.random() < 0.3 else draw.randrange(3, len(packed))
        packed[at] ^= 1 << draw.randrange(8)
        machine, expected, problem = zlib.decompressobj(wbits=31), b"", ""
        for place in range(len(packed)):
            try:
                expected += machine.decompress(packed[place : place + 1])
            except zlib.error:
                problem = f"broken gzip stream at compressed byte {place} "
                break
        else:
            problem = "" if machine.eof else f"gzip stream cut off at compressed byte {len(packed)}"
        decoded, read = decode_member(Feed(io.BytesIO(packed), 0, GZIP), GZIP), b""
        try:
            while True:
                read += next(decoded)
        except StopIteration as end:
            assert end.value.startswith(problem) and bool(end.value) == bool(problem)
        assert read == expected
        broken += bool(problem)
    assert broken > 100


def test_reserved_flags_in_a_header_are_refused_and_cost_the_next_member_nothing(tmp_path: Path) -> None:
    packed = b"\x1f\x8b\x08\xe0garbage" + gzip.compress(TEXT)
    with pytest.raises(BrokenStream, match="unknown header flags set"):
        open_decompressed(io.BytesIO(packed), GZIP).read()


def test_output_that_igzip_keeps_back_at_the_end_of_its_input_is_not_lost() -> None:
    """A member whose size is a chunk's, or a byte more or less, ends with the bound of the output."""
    for size in ((4 << 20) - 1, 4 << 20, (4 << 20) + 1, 12 << 20):
        assert len(open_decompressed(io.BytesIO(gzip.compress(bytes(size))), GZIP).read()) == size
