"""Cuts large files into pieces that workers read side by side, where their reader allows it (`registry`).

| file | what a piece is | how the cuts are found |
|---|---|---|
| plain JSON lines | a range of bytes | at equal distances |
| JSON lines .zst of many frames | a range of frames | block headers are walked; behind a URL as gzip's |
| JSON lines .gz of many members; web archives, compressed | a range of members | the next member after each distance |
| Parquet | a range of row groups | the footer |
| Arrow IPC, file or stream | a range of record batches | message headers are walked |

A piece holds about `target` bytes, of a compressed file a third of that, since text packs some three times. All else is
one piece: a file of one frame or member, of which a decompressor can only begin at the start, however large it is.
Ids depend on the file alone, not on where it was cut.

Cost: the headers of a local zstd file are walked at some 5 GB/s; in a file of gzip at most `SEARCHED_BYTES` are
searched for a member after each cut, and if there is none, the rest is one piece.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import pyarrow as pa

from corpusmill.dataproc import storage
from corpusmill.dataproc.decompression import Codec, codec_of
from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.readers.arrow_messages import read_layout
from corpusmill.dataproc.readers.members import find_member, frame_edges
from corpusmill.dataproc.readers.pieces import Piece
from corpusmill.dataproc.readers.registry import reader_of

PACKED_RATIO = 3
SEARCHED_BYTES = 64 << 20


def split_file(path: str, name: str, format: str, size: int, target: int) -> Iterator[Piece]:
    """Pieces of one file of about `target` bytes of text, where its format allows it.

    A file that cannot be opened or looked into is one piece: its reader will say why.
    """
    try:
        yield from list(_split(path, name, format, size, target))
    except (UserError, pa.ArrowException, ValueError, OverflowError):
        yield Piece(path=path, name=name, format=format, bytes=size)


def _split(path: str, name: str, format: str, size: int, target: int) -> Iterator[Piece]:
    codec, splits = codec_of(path), _splits(format)
    edges, sizes = [0, 0], [size]
    if codec and "members" in splits and size > 2 * target // PACKED_RATIO:
        edges = [0, *_member_cuts(path, codec, size, target // PACKED_RATIO), size]
        sizes = [stop - start for start, stop in pairwise(edges)]
    elif size > 2 * target and "bytes" in splits and not codec:
        count = size // target
        edges = [size * number // count for number in range(count)] + [size]
        sizes = [stop - start for start, stop in pairwise(edges)]
    elif size > 2 * target and "row groups" in splits:
        edges, sizes = _grouped(_row_groups(path), size, target)
    elif size > 2 * target and "record batches" in splits:
        edges, sizes = _grouped(_record_batches(path), size, target)
    if len(sizes) == 1:
        yield Piece(path=path, name=name, format=format, bytes=sizes[0])
        return
    for (start, stop), piece_bytes in zip(pairwise(edges), sizes, strict=True):
        yield Piece(path=path, name=name, format=format, bytes=piece_bytes, start=start, stop=stop)


def is_indivisible(path: str, format: str, size: int, target: int) -> bool:
    """Whether a file that came out as one piece is large enough to keep one worker busy while others wait."""
    return "members" in _splits(format) and codec_of(path) is not None and size > 2 * target // PACKED_RATIO


def _splits(format: str) -> Sequence[str]:
    reader = reader_of(format)
    return reader.splits if reader else ()


def _member_cuts(path: str, codec: Codec, size: int, target: int) -> list[int]:
    """Beginnings of members at least `target` bytes apart."""
    cuts = [0]
    with storage.open_input(path) as file:
        if codec.name == "zstd" and not storage.is_url(path):
            for edge in frame_edges(file):
                if edge >= cuts[-1] + target:
                    cuts.append(edge)
        else:
            while (least := cuts[-1] + target) < size:
                member = find_member(file, codec, least, least + SEARCHED_BYTES)
                if member is None:
                    break
                cuts.append(member)
    return [cut for cut in cuts[1:] if cut <= size - target // 2]


def _grouped(units: Sequence[int], size: int, target: int) -> tuple[list[int], list[int]]:
    """(edges, bytes) of runs of units (their bytes) of at least `target` bytes; one run where there are no units."""
    edges, sizes, run_bytes = [0], [], 0
    for number, unit in enumerate(units):
        run_bytes += unit
        if run_bytes >= target or number == len(units) - 1:
            edges.append(number + 1)
            sizes.append(run_bytes)
            run_bytes = 0
    return (edges, sizes) if sizes else ([0, 0], [size])


def _row_groups(path: str) -> list[int]:
    """Bytes of each row group, uncompressed."""
    from corpusmill.dataproc.datasets import open_part

    with open_part(path) as file:
        return [file.metadata.row_group(group).total_byte_size for group in range(file.metadata.num_row_groups)]


def _record_batches(path: str) -> list[int]:
    with storage.open_input(path) as file:
        return [batch.bytes for batch in read_layout(file).batches]
