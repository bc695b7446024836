"""Turns in a text: what goes in comes out, and a text that lost a mark is no other conversation."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpusmill.dataproc.conversations.turns import KINDS, MARK, Turn, find_turns, text_of, turns_of

WORDS = st.text(st.characters(codec="utf-8", exclude_characters=MARK), max_size=30)
TURNS = st.lists(st.builds(Turn, st.integers(0, len(KINDS) - 1), WORDS), min_size=1, max_size=12)


@given(TURNS)
def test_turns_come_back(turns):
    assert turns_of(text_of(turns)) == turns


@given(st.lists(TURNS, max_size=5))
def test_a_batch_is_its_documents_one_by_one(several):
    texts = pa.array(["", *map(text_of, several)], pa.large_string())[1:]  # a slice, whose offsets do not begin at 0
    found = find_turns(texts)
    assert not found.problem.any()
    for number, turns in enumerate(several):
        here = slice(found.bounds[number], found.bounds[number + 1])
        words = [found.data[a:b].tobytes().decode() for a, b in zip(found.begin[here], found.end[here], strict=True)]
        assert [Turn(int(kind), said) for kind, said in zip(found.kind[here], words, strict=True)] == turns


@given(TURNS, st.data())
def test_a_text_that_lost_a_line_with_a_mark_is_refused(turns, data):
    lines = text_of(turns).split("\n")
    marked = [number for number, line in enumerate(lines) if line.startswith(MARK)]
    del lines[data.draw(st.sampled_from(marked))]
    with pytest.raises(ValueError, match="mark"):
        turns_of("\n".join(lines))


def test_one_bad_text_leaves_the_others_as_they_are():
    good = text_of([Turn(1, "hi"), Turn(2, "yes\n")])
    found = find_turns(pa.array(["", good, "plain", good + MARK, good], pa.large_string()))
    assert (found.problem > 0).tolist() == [True, False, True, True, False]
    assert found.bounds.tolist() == [0, 0, 2, 2, 2, 4]


def test_a_mark_cannot_be_said():
    with pytest.raises(ValueError, match="U\\+241E"):
        text_of([Turn(1, f"I say {MARK}")])
