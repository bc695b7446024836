"""Decoders are held against the indexes of the standard: by digests that another implementation of it gave."""

import hashlib
import json
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from webencodings.labels import LABELS

from corpusmill.dataproc.readers.charsets.decoders import REPLACED, decode, encoding_of

ENCODINGS = sorted({encoding.lower() for encoding in LABELS.values()})
DIGESTS = {
    "ibm866": "e4d6ff5ca5ada13a", "iso-8859-2": "f06000761c8bcf26", "iso-8859-3": "202a1b363622d2ae",
    "iso-8859-4": "f7076eceae60e496", "iso-8859-5": "93b826201406f5c1", "iso-8859-6": "7bd8ab9b93da30d5",
    "iso-8859-7": "6990b4f2c0f41585", "iso-8859-8": "3fece254a648dccd", "iso-8859-10": "4f9e6ea68a80234a",
    "iso-8859-13": "e0dc2e83c4600e7f", "iso-8859-14": "cc0467a122c68308", "iso-8859-15": "02da73e6cb687359",
    "iso-8859-16": "1695e6848a2fa540", "koi8-r": "4864274e118185ef", "koi8-u": "0fdfdda8e9261a58",
    "macintosh": "07da6af6067c9558", "windows-874": "17408160a539642a", "windows-1250": "01dd09bae2d209f4",
    "windows-1251": "64bc96a197c74f59", "windows-1252": "d486335e5257b059", "windows-1253": "9e4c70ccbbd0778f",
    "windows-1254": "390edd6fb0372487", "windows-1255": "eb0725777360879e", "windows-1256": "5526d72d1fce45fa",
    "windows-1257": "6df262bb978fac4d", "windows-1258": "4744ca2fc1f4eb72", "x-mac-cyrillic": "ce302a812a98d7f3",
    "gb18030": "3da857d1d8247789", "big5": "3089c866310b5788", "euc-jp": "c3acd506455f7288",
    "iso-2022-jp": "9290132800f77565", "shift_jis": "afe61df68127c081", "euc-kr": "f421ebee147d7d3f",
    "x-user-defined": "eeb486ac8bd5c248",
}  # fmt: skip
"""SHA-256 of what every sequence of `sequences` decodes to, one a line, by @exodus/bytes 1.16 (JavaScript)."""


def sequences(encoding: str) -> Iterator[bytes]:
    yield from (bytes([byte]) for byte in range(256))
    if encoding in ("big5", "euc-jp", "euc-kr", "gb18030", "shift_jis"):
        yield from (bytes([lead, trail]) for lead in range(0x80, 256) for trail in range(256))
    if encoding == "euc-jp":
        yield from (bytes([0x8F, lead, trail]) for lead in range(0xA1, 255) for trail in range(0xA1, 255))
    if encoding == "gb18030":
        yield from (
            bytes([first, second, third, fourth])
            for first in (0x81, 0x84, 0x90)
            for second in range(0x30, 0x3A)
            for third in range(0x81, 0xFF, 5)
            for fourth in range(0x30, 0x3A)
        )
    if encoding == "iso-2022-jp":
        yield from (b"\x1b$B" + bytes([row, cell]) for row in range(0x21, 0x7F) for cell in range(0x21, 0x7F))


@pytest.mark.parametrize("encoding", DIGESTS)
def test_every_sequence_decodes_as_the_standard_says(encoding: str) -> None:
    texts = "\n".join(decode(sequence, encoding) for sequence in sequences(encoding))
    assert hashlib.sha256(texts.encode("utf-8", "surrogatepass")).hexdigest()[:16] == DIGESTS[encoding]


def test_all_labels_of_the_standard_are_known_in_any_case_and_between_blanks() -> None:
    assert len(LABELS) == 228
    for label in LABELS:
        assert encoding_of(f"\t{label.upper()} \n") == LABELS[label].lower()
    for label in ("", None, "utf-7", "cp949", "shift_jis\0", "x" * 9_999):
        assert encoding_of(label) is None


@pytest.mark.parametrize(
    ("encoding", "data", "text"),
    [
        ("shift_jis", b"\x85A", "�A"),  # an ASCII byte behind a lead byte is read again
        ("shift_jis", b"\x87\x40\x81\x60\xa0", "①～�"),
        ("big5", b"\xfb\x48\xa3\xe1\x88\x62\xff", "嘅€Ê̄�"),
        ("gbk", b"\x80\x81\x30\x81", "€�"),  # what ends in the middle is one
        ("gb18030", b"\x81\x30\x81A\xfe\x59", "�0丄龴"),
        ("euc-jp", b"\xad\xa1\x8f\xb0\xa1\x8e\xb1\xa1\xc1\x8f\xa1A", "①丂ｱ～�A"),
        ("iso-2022-jp", b"\x1b$B-!\x1b(J\\\x1b(I1\x1b(B\x0e", "①¥ｱ�"),
        ("iso-2022-jp", b"\x1b$B\x1b(Ba\xe9\x1b", "�a��"),
        ("iso-8859-1", b"\x80\x81", "€\x81"),
        ("utf-8", b"\xef\xbb\xbfa\xed\xa0\x80", "a���"),
        ("utf-16le", b"\xff\xfea\0\x3d", "a�"),
        ("utf-16be", b"\xd8\0\0a", "�a"),
        ("hz-gb-2312", b"~{<:Ky~}", "�"),
        ("x-user-defined", b"a\x80", "a\uf780"),
    ],
)
def test_what_differs_from_pythons_codecs(encoding: str, data: bytes, text: str) -> None:
    assert decode(data, encoding_of(encoding) or "") == text


@given(data=st.binary(max_size=60), encoding=st.sampled_from(ENCODINGS))
def test_any_bytes_decode_and_ascii_is_never_lost_behind_sound_text(data: bytes, encoding: str) -> None:
    text = decode(data, encoding)
    assert json.loads(json.dumps(text)) == text
    if encoding.startswith("utf-16") or encoding in ("replacement", "iso-2022-jp"):
        return
    ascii_text = "mill <p> 1"
    assert decode(ascii_text.encode() + data, encoding).startswith(ascii_text)
    assert decode(data + b"\n<p>", encoding).endswith("\n<p>")  # no sequence swallows a line feed


@given(
    text=st.text("aäж漢字かなカナ한글①～嘅€", max_size=30), encoding=st.sampled_from(["shift_jis", "euc-jp", "gb18030"])
)
def test_texts_come_back(text: str, encoding: str) -> None:
    codec = {"shift_jis": "cp932", "euc-jp": "euc_jp", "gb18030": "gb18030"}[encoding]
    kept = text.encode(codec, "ignore").decode(codec)
    assert decode(kept.encode(codec), encoding) == kept.replace("〜", "～")


@pytest.mark.parametrize("encoding", ["shift_jis", "euc-jp", "big5", "gb18030", "euc-kr", "iso-2022-jp"])
def test_malformed_bytes_take_time_in_proportion(encoding: str) -> None:
    begun = time.process_time()
    assert REPLACED in decode(b"\x81\xff\x8f\x1b$\xad\xa1" * 100_000, encoding)
    assert time.process_time() - begun < 5
