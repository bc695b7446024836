"""What a file is by its first bytes, where its name says text and it is none."""

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
MAGIC = {
    b"\x1f\x8b\x08": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"PK\x03\x04": "a ZIP archive",
    b"%PDF-": "a PDF",
    b"\x89PNG\r\n\x1a\n": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"7z\xbc\xaf": "a 7z archive",
    b"Rar!\x1a": "a RAR archive",
    b"\xd0\xcf\x11\xe0": "an OLE document",
    b"\x7fELF": "an ELF program",
    b"PAR1": "Parquet",
    b"ARROW1": "Arrow",
    b"\xff\xfe\0\0": "UTF-32",
    b"\0\0\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}


BINARY_IN_UTF8 = ("a ZIP archive", "a PDF", "a RAR archive", "an ELF program")
"""What may happen to be valid UTF-8, and no text begins with."""


def foreign_format(head: bytes) -> str:
    """What a file is by its first bytes that is not text in UTF-8; "" where they say nothing."""
    return next((name for magic, name in MAGIC.items() if head.startswith(magic)), "")


def binary_format(head: bytes) -> str:
    """What a file is by its first bytes that is not text in any character set; "" where they say nothing."""
    name = foreign_format(head)
    return "" if name.startswith("UTF-") else name
