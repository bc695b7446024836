"""Texts in NFC against `unicodedata`, and places in them against the texts that they were made of."""

import unicodedata
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.dataproc.kernels.buffers import text_buffers
from corpusmill.dataproc.text.canonical import places_before, to_nfc

TROUBLE = [
    *"aAeE=<y가각ㄱกकΩÅéáǭạñ漢か語 \n\U0001f600",
    *"\u0300\u0301\u0302\u0307\u0308\u0316\u0319\u031b\u0323\u0338\u0344\u0345\u093c\u09be\u09c7\u102e\u1025",
    *"\u1100\u1161\u11a8\u0958\u212a\u212b\u2126\u3099\u309a\uf900\ufb1d\u0e38\u0e48\u0e4d\u0f71\u0f73\u0f74\u0374\u037e",
    *"\u1b05\u1b35\U00011099\U000110ba\U0001d15e\u2adc\u1e9b",
]
TEXTS = st.text(st.one_of(st.sampled_from(TROUBLE), st.characters(exclude_categories=["Cs"])), max_size=14)
ORDINARY = [
    "Hello, world — “quoted” … d'été à la façon, Straße, ČSR, tiếng Việt rất đẹp",
    "Ελληνικά κείμενα, русский текст ёй, العربيّة مَكتوبة, עִבְרִית",
    "हिन्दी में लिखा की, বাংলা ভাষায়, தமிழ் மொழி கொ, සිංහල, മലയാളം",
    "ภาษาไทยที่นี่น้ำ ພາສາລາວ ភាសាខ្មែរ မြန်မာဘာသာ བོད་སྐད",
    "中文文本。日本語のテキストがぎ 한국어 문서",
]


def nfc(texts: list[bytes]) -> tuple[list[bytes], list[int]]:
    array = pa.array([b"before", *texts], pa.large_binary()).slice(1)  # offsets that do not begin at 0
    offsets, data, rows = to_nfc(*text_buffers(array))
    return [bytes(data[start:stop]) for start, stop in pairwise(offsets)], rows.tolist()


@settings(max_examples=500, deadline=None)
@given(st.lists(TEXTS, max_size=5))
def test_texts_are_what_unicodedata_makes_of_them(texts: list[str]) -> None:
    made, rows = nfc([text.encode() for text in texts])
    assert made == [unicodedata.normalize("NFC", text).encode() for text in texts]
    assert set(rows) >= {row for row, text in enumerate(texts) if not unicodedata.is_normalized("NFC", text)}


def test_no_character_is_passed_over_in_the_middle_of_long_text() -> None:
    """Each one that is not NFC by itself, or not after an "e", at each place in a block of comparisons in turn."""
    others = [chr(code) for code in range(0x80, 0x110000) if not 0xD800 <= code < 0xE000]
    texts = [f"{'x' * (place % 70)}e{other}{'y' * 90}" for place, other in enumerate(others)]
    texts = [text for text in texts if unicodedata.normalize("NFC", text) != text]
    assert len(texts) > 1000
    assert nfc([text.encode() for text in texts])[0] == [unicodedata.normalize("NFC", text).encode() for text in texts]


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_text_in_nfc_is_passed_without_a_copy(text: str) -> None:
    text = unicodedata.normalize("NFC", text)
    offsets, data = text_buffers([text, 9 * text])
    again = to_nfc(offsets, data)
    assert len(again[2]) == 0
    assert again[1].ctypes.data == data.ctypes.data
    assert nfc([unicodedata.normalize("NFD", text).encode()])[0] == [text.encode()]


@pytest.mark.parametrize("text", [b"\xff\xcc\x81e\xcc\x81\xe4", b"\xcc", b"e\xcc\x81\xf4\x90\x80\x80", b"\xed\xa0\x80"])
def test_bytes_that_are_not_utf8_stay(text: bytes) -> None:
    expected = unicodedata.normalize("NFC", text.decode("utf-8", "surrogateescape"))
    assert nfc([text, b"plain"])[0] == [expected.encode("utf-8", "surrogateescape"), b"plain"]


@settings(max_examples=300, deadline=None)
@given(TEXTS.filter(bool), st.data())
def test_a_stretch_of_the_nfc_stands_in_the_place_that_it_came_from(text: str, data: st.DataObject) -> None:
    made = unicodedata.normalize("NFC", text)
    start = data.draw(st.integers(0, len(made) - 1))
    stop = data.draw(st.integers(start + 1, len(made)))
    first, last = (np.array([len(made[:at].encode())]) for at in (start, stop))
    begins, ends = places_before(text.encode(), first, last)
    piece = text.encode()[begins[0] : ends[0]].decode()
    assert made[start:stop] in unicodedata.normalize("NFC", piece)
    if text == made and text.isascii():
        assert piece == made[start:stop]
