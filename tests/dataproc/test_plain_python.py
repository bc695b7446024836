"""What takes Arrow takes plain Python as well, with the same answers, and names what is no text."""

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest

from corpusmill import MinHashSettings, UserError, decide, measure, resolve_rules, signatures
from corpusmill.dataproc.kernels.buffers import text_array

TEXTS = ["The quick brown fox jumps over the lazy dog.", "", "敏捷的棕色狐狸跳过了懒狗。", "a\n\nb <|endoftext|>"]
ARROW = pa.array(TEXTS, pa.large_string())


def test_texts_may_be_a_list_an_iterator_or_any_array_of_arrow() -> None:
    expected = measure(ARROW)
    for texts in (
        TEXTS,
        tuple(TEXTS),
        iter(TEXTS),
        np.array(TEXTS),
        pa.array(TEXTS),
        pa.chunked_array([TEXTS[:1], TEXTS[1:]]),
    ):
        assert measure(texts).equals(expected)
    assert text_array(ARROW) is ARROW
    assert measure([]).num_rows == 0 and measure(pa.chunked_array([], pa.string())).num_rows == 0


def test_languages_kinds_and_statistics_may_be_lists() -> None:
    languages = ["en", None, "zh", "de"]
    numbers = measure(TEXTS, languages)
    assert numbers.equals(measure(ARROW, pa.array(languages, pa.string())))
    rules = resolve_rules(["gopher-quality", "code"])
    kinds = ["web", "code", "web", "web"]
    expected = decide(numbers, pa.array(kinds), rules)
    for given in (numbers, numbers.to_pydict()):
        decision = decide(given, kinds, rules)
        assert decision.kept.tolist() == expected.kept.tolist() and decision.ledger.equals(expected.ledger)
    with pytest.raises(ValueError, match="3 languages of 4 texts"):
        measure(TEXTS, languages[:3])
    with pytest.raises(ValueError, match="1 kinds of 4 documents"):
        decide(numbers, ["web"], rules)


def test_signatures_of_a_list_are_those_of_an_array() -> None:
    settings = MinHashSettings(permutations=32, ngram=2)
    assert (signatures(TEXTS, settings) == signatures(ARROW, settings)).all()
    assert signatures(TEXTS).shape == (4, 128)


@pytest.mark.parametrize("function", [measure, signatures])
@pytest.mark.parametrize(
    ("texts", "line"),
    [
        (["a", 3], "text 1: not text, but int; give strings"),
        (["a", None], "text 1: not text, but NoneType; give strings"),
        ([b"a"], "text 0: not text, but bytes; give strings"),
        ("a text", "one text was given where a list of texts is expected; put it in a list"),
        (["a", "b\ud800"], "text 1: this text has a lone surrogate"),
    ],
)
def test_what_is_no_text_is_named_in_one_line(function: Callable[[object], object], texts: object, line: str) -> None:
    with pytest.raises(UserError) as caught:
        function(texts)
    assert line in str(caught.value) and "\n" not in str(caught.value)
