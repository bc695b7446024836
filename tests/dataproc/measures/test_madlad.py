"""Questionable sentences, held against Python's own regular expressions."""

import re

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.dataproc.measures.madlad import CURSED, MadladSentences

LONG_TITLES = "The Big Red Fox And The Small Blue Hen went out For A Walk Today"
PIECES = [
    "A quiet sentence of ordinary length", LONG_TITLES, "Short", "x" * 501, "1 + 2 (3 + 4) > 5/6 {7}", "Download now",
    "follow us on Facebook today friends", "Это предложение о реке и мельнице", "今天天气很好", "\n\n", " ", "Vol", "é",
]  # fmt: skip
ENDS = [". ", "! ", "?\n", "...\n", "。", "", " ", ".x"]
NAMES = [column.name for column in MadladSentences.COLUMNS]


def slow(text: str) -> list[float]:
    pieces = [piece.strip() for piece in re.split(r"[.!?]+[ \n]+|[。！？]+[ \n]*", text)]
    sentences = [piece for piece in pieces if piece]
    flags = []
    for sentence in sentences:
        tokens = sentence.split()
        capitals = sum(token[0].isupper() for token in tokens)
        technical = len(re.findall(r"[0-9{}+/()>]", sentence))
        flags.append(
            (
                len(tokens) >= 12 and capitals > len(tokens) / 2,
                not 20 <= len(sentence) <= 500,
                technical > 0.2 * len(sentence),
                re.search(CURSED, sentence) is not None,
            )
        )
    rows = [(*four, any(four), four[0] or four[3]) for four in flags]
    shares = [sum(column) / len(rows) for column in zip(*rows, strict=True)] if rows else [0.0] * 6
    return [len(sentences), *shares]


def measured(texts: list[str]) -> list[list[float]]:
    batch = pa.RecordBatch.from_pydict({"text": pa.array(texts, pa.large_string())})
    measured = MadladSentences().measure(batch)
    assert measured.schema.names == NAMES
    return [[row[name] for name in NAMES] for row in measured.to_pylist()]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.lists(st.tuples(st.sampled_from(PIECES), st.sampled_from(ENDS)), max_size=6).map(
            lambda pairs: "".join(map("".join, pairs))
        ),
        max_size=4,
    )
)
def test_numbers_are_those_of_plain_python(texts):
    assert measured(texts) == [slow(text) for text in texts]


def test_each_rule_by_an_example():
    plain = "This sentence is about a mill that stands beside a river. "
    texts = [plain * 5, plain + LONG_TITLES + ". ", plain + "Short. ", plain + "1 + 2 (3 + 4) > 5/6 {7}. "]
    texts += [plain + "You may download it or listen to the mp3 file. ", ""]
    assert [row[1:] for row in measured(texts)] == [
        [0, 0, 0, 0, 0, 0],
        [0.5, 0, 0, 0, 0.5, 0.5],
        [0, 0.5, 0, 0, 0.5, 0],
        [0, 0, 0.5, 0, 0.5, 0],
        [0, 0, 0, 0.5, 0.5, 0.5],
        [0, 0, 0, 0, 0, 0],
    ]
