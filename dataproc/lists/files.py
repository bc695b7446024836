"""Lists that a user names by path: domains, URLs, words. One entry a line, `#` begins a comment, plain, .gz or .zst.

Lists are read by `dataproc.storage`, so a URL will do. Small ones (words) become Python strings; long ones (millions of
domains) are read in chunks of whole lines, so that a list needs no more memory than what is made of it. What cannot be
read is an error that names the file and the line: a list that is silently shorter than its file would be a rule that
silently does not fire.

A comment begins at a `#` that stands first in its line or after white space, so that `/page#part` is an entry.
"""

import re
import unicodedata
from collections.abc import Iterator

from corpusmill.dataproc import storage
from corpusmill.dataproc.decompression import ENDINGS, BrokenStream, codec_of, open_decompressed
from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.finding import find_files

CHUNK_BYTES = 8 << 20
"""How much of a list is looked at a time, at least; no line may be longer."""

_COMMENT = re.compile(r"(?:^|\s)#.*")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def list_paths(pattern: str) -> list[str]:
    """The files of a path, a folder or a glob, sorted. Raises UserError where there is none."""
    return [path for path, _ in find_files(pattern)]


def stem(name: str) -> str:
    """A file's name without the endings of a list: `de` for `lists/de.txt.gz`."""
    name = name.rsplit("/", 1)[-1]
    for ending in (*ENDINGS, ".txt"):
        name = name.removesuffix(ending)
    return name


def read_chunks(path: str) -> Iterator[bytes]:
    """The lines of a list, in chunks of whole lines of CHUNK_BYTES or so, each with its last line break.

    Raises:
        UserError: no such file, a compressed file that is broken or cut off, or a line longer than a chunk.
    """
    rest, beginning = b"", True
    for block in _blocks(path):
        if beginning:
            block, beginning = block.removeprefix(_BYTE_ORDER_MARK), False
        head, line_break, tail = block.rpartition(b"\n")
        if line_break:
            yield rest + head + line_break
            rest = tail
        else:
            rest += block
        if len(rest) > CHUNK_BYTES:
            raise UserError(
                f"a line of this list is longer than {CHUNK_BYTES >> 20} MiB", path, "check that this file is a list"
            )
    if rest:
        yield rest + b"\n"


def _blocks(path: str) -> Iterator[bytes]:
    codec = codec_of(path)
    with storage.open_input(path) as file:
        stream = open_decompressed(file, codec)
        while True:
            try:
                block = stream.read(CHUNK_BYTES)
            except (BrokenStream, OSError) as error:
                what = f"this {codec.name} file is broken or cut off" if codec else "this list cannot be read"
                raise UserError(f"{what} ({error})", path, "download it again") from error
            if not block:
                return
            yield block


def read_entries(path: str) -> list[tuple[int, str]]:
    """(line number, entry) of each line of a small list that holds one, without comments, in Unicode's form NFC.

    Raises:
        UserError: as `read_chunks`, bytes that are not UTF-8, and a list without entries.
    """
    entries, number = [], 0
    for chunk in read_chunks(path):
        for line in chunk.split(b"\n")[:-1]:
            number += 1
            try:
                text = line.decode("utf-8")
            except UnicodeDecodeError as error:
                raise UserError(
                    "bytes that are not UTF-8", f"{path}, line {number}", "save the list as UTF-8"
                ) from error
            entry = _COMMENT.sub("", text).strip()
            if entry:
                entries.append((number, unicodedata.normalize("NFC", entry)))
    if not entries:
        raise no_entries(path)
    return entries


def no_entries(path: str) -> UserError:
    """The error for a list that holds nothing."""
    return UserError("this list has no entries", path, "write one entry a line, or omit the list")
