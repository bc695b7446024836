"""What a file is compressed by where no reader of ours undoes it, for one line that says so."""

_MARKS = (
    (b"\xfd7zXZ\0", "xz"),
    (b"BZh", "bzip2"),
    (b"PK\x03\x04", "zip"),
    (b"7z\xbc\xaf\x27\x1c", "7-Zip"),
    (b"\x02\x21\x4c\x18", "LZ4's legacy format"),
    (b"\x1f\x9d", "compress"),
    (b"\x1f\xa0", "compress"),
    (b"LZIP", "lzip"),
    (b"Rar!\x1a\x07", "RAR"),
    (b"\xff\x06\0\0sNaPpY", "Snappy"),
)


def unread_compression(head: bytes) -> str:
    """The reason to report for a file by its first 16 bytes, "" if it begins like none of these."""
    for mark, name in _MARKS:
        if head.startswith(mark) and (name != "bzip2" or head[4:10] in _BZIP2_BLOCKS):
            return f"compressed by {name}, which is not read here: decompress it, or compress it by gzip or zstd"
    return ""


_BZIP2_BLOCKS = (b"1AY&SY", b"\x17rE8P\x90")
"""What follows the mark: a block, or the end. Text may begin with the mark alone."""
