"""Normalisation that is asked for changes what it names, counts it, and leaves all else as it was."""

import unicodedata

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpusmill.dataproc.readers.normalisation import Normalisation


def apply(texts: list[str], metas: list[str | None] | None = None, **steps: object) -> tuple[list[str], dict[str, int]]:
    metas = metas or [None] * len(texts)
    batch = pa.record_batch({"text": pa.array(texts, pa.large_string()), "meta": pa.array(metas, pa.string())})
    normalised, changed = Normalisation(**steps).apply(batch)  # type: ignore[arg-type]
    normalised.validate(full=True)
    return normalised.column("text").to_pylist(), changed


@given(st.lists(st.text(alphabet="ae\u0301\u0308é\uac00\u1100\u1161 \u212b", max_size=12), max_size=6))
def test_nfc_is_that_of_the_standard(texts: list[str]) -> None:
    expected = [unicodedata.normalize("NFC", text) for text in texts]
    changed = sum(before != after for before, after in zip(texts, expected, strict=True))
    assert apply(texts, form="NFC") == (expected, {"NFC": changed})


def test_mojibake_is_repaired_and_good_text_left_alone() -> None:
    pytest.importorskip("ftfy")
    written = ["cafÃ© au lait", "naïve café", "plain", "“quotes” &amp; ｗｉｄｅ", "L’Humanitï¿½", ""]
    repaired, changed = apply(written, mojibake=True)
    assert repaired[0] == "café au lait" and repaired[1:4] == written[1:4] and repaired[5] == ""
    assert changed["mojibake"] == sum(before != after for before, after in zip(written, repaired, strict=True))


def test_repair_comes_before_composition() -> None:
    pytest.importorskip("ftfy")
    written = "cafe\u0301".encode().decode("latin-1")
    assert apply([written], form="NFC", mojibake=True) == (["café"], {"mojibake": 1, "NFC": 1})


def test_texts_that_offsets_point_into_are_left_alone() -> None:
    assert apply(["e\u0301"] * 2, ['{"file_starts":[0]}', "{}"], form="NFC") == (["e\u0301", "é"], {"NFC": 1})


def test_nothing_is_done_unless_asked_for() -> None:
    assert apply(["e\u0301 cafÃ©"]) == (["e\u0301 cafÃ©"], {})
