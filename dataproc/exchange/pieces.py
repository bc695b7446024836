"""What an import reads, and in which portions: a large file is several pieces, so that it is not one worker's.

Every reader yields `Tokens`: some items, as they lie in the file. What they mean (where documents end, what is padding)
is decided in `dataproc/exchange/documents.py`, the same for all formats.
"""

from typing import NamedTuple

import numpy as np

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.storage import is_url, join, list_names, open_input

BATCH_TOKENS = 1 << 22
"""About how many tokens a reader gives at once (16 MiB of int32)."""


class Piece(NamedTuple):
    """A part of a file: items (of a flat file tokens, of Parquet row groups) `first` up to `last`, which hold so many
    bytes as int32."""

    path: str
    first: int
    last: int
    bytes: int


class ReadOptions(NamedTuple):
    """What a file may not say about itself.

    Attributes:
        eos: id of the end token, at which a flat file is cut.
        column: of tokens, in formats with columns; "" takes the first of `TOKEN_COLUMNS` that is there.
        dtype: of a flat file that nothing describes ("uint16", "uint32"), else "".
        refuse_masks: whether files that say which tokens are learned are an error.
    """

    eos: int
    column: str = ""
    dtype: str = ""
    refuse_masks: bool = False


TOKEN_COLUMNS = ("input_ids", "tokens")
LENGTHS_COLUMN = "segment_lengths"
MASK_COLUMNS = ("assistant_masks", "completion_mask", "loss_mask")
"""Columns by which other trainers say which tokens are learned."""


class Tokens(NamedTuple):
    """N items as they were read.

    Attributes:
        first: number of the first item in its file; where a file has no items, the place of the first token.
        offsets: int64 (N + 1,).
        tokens: any integer type (T,).
        lengths: (offsets int64 (N + 1,), lengths (G,)) of the segments of each item, where the file records them; what
            an item holds beyond them is padding.
        has_items: False for a flat file, of which this is one stretch.
    """

    first: int
    offsets: np.ndarray
    tokens: np.ndarray
    lengths: tuple[np.ndarray, np.ndarray] | None = None
    has_items: bool = True


def read_range(path: str, offset: int, count: int, dtype: np.dtype) -> np.ndarray:
    """`count` values from byte `offset` on; of a local file a view of its map. Raises UserError where it is shorter."""
    wanted = count * dtype.itemsize
    with open_input(path) as file:
        size = file.seek(0, 2)
        if offset + wanted > size:
            what = f"this file has {size:,} bytes, and {offset + wanted:,} were expected"
            raise UserError(what, where=path, hint="it may be truncated: download or rewrite it")
        if not count:
            return np.zeros(0, dtype)
        if not is_url(path):
            return np.memmap(path, dtype, "r", offset, (count,))
        file.seek(offset)
        return np.frombuffer(file.read(wanted), dtype)


def file_bytes(path: str) -> int:
    """Bytes of a file. Raises UserError if there is no such file."""
    with open_input(path) as file:
        return file.seek(0, 2)


def files_in(path: str, ending: str, what: str) -> list[str]:
    """The file itself, or the files of a folder with that ending. Raises UserError if there are none."""
    if path.endswith(ending):
        return [path]
    files = [join(path, name) for name in list_names(path) if name.endswith(ending)]
    if not files:
        raise UserError(f"no {what} here (*{ending})", where=path, hint="name a file, or the folder that contains them")
    return files


def equal_pieces(path: str, offsets: np.ndarray, piece_bytes: int) -> list[Piece]:
    """Pieces of about `piece_bytes` of int32 from where each item begins: int64 (N + 1,), in tokens from 0."""
    if len(offsets) < 2:
        return []
    size = max(1, piece_bytes // 4)
    goals = np.arange(size, int(offsets[-1]) + 1, size)
    cuts = np.unique(np.concatenate([[0], np.searchsorted(offsets, goals), [len(offsets) - 1]]))
    return [
        Piece(path, first, last, int(4 * (offsets[last] - offsets[first])))
        for first, last in zip(cuts[:-1].tolist(), cuts[1:].tolist(), strict=True)
    ]


def slices(first: int, last: int, offsets: np.ndarray) -> list[tuple[int, int]]:
    """Ranges of items from `first` to `last` with about `BATCH_TOKENS` tokens each; `offsets` are of all items from
    `first` on, in tokens."""
    cuts = equal_pieces("", offsets - offsets[0], 4 * BATCH_TOKENS) if last > first else []
    return [(first + piece.first, first + piece.last) for piece in cuts]
