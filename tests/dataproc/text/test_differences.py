"""Word changes: they lead from one text to the other, whatever the texts are."""

from hypothesis import given
from hypothesis import strategies as st

from corpusmill.dataproc.text.differences import Change, shorten, word_changes

TEXTS = st.lists(st.sampled_from(["a", "b", "river", "river\n", " ", "漢字", "かな", "x-y"]), max_size=30).map(" ".join)


@given(TEXTS, TEXTS)
def test_the_changes_join_to_both_texts(before: str, after: str) -> None:
    changes = word_changes(before, after)
    assert "".join(change.text for change in changes if change.kind in ("same", "removed")) == before
    joined = "".join(change.text for change in changes if change.kind in ("same", "added"))
    assert "".join(joined.split()) == "".join(after.split())


@given(TEXTS)
def test_a_text_does_not_differ_from_itself_nor_by_white_space(text: str) -> None:
    assert {change.kind for change in word_changes(text, text)} <= {"same"}
    words = text.split()
    assert {change.kind for change in word_changes(" ".join(words), "\n".join(words))} <= {"same"}


def test_what_differs_is_words() -> None:
    assert word_changes("the red fox ran", "the grey fox ran off") == [
        Change("same", "the "),
        Change("removed", "red "),
        Change("added", "grey "),
        Change("same", "fox ran"),
        Change("added", "off"),
    ]
    assert word_changes("北京大学", "南京大学")[:2] == [Change("removed", "北"), Change("added", "南")]


def test_what_is_beyond_the_bound_is_left_out_and_named() -> None:
    before, after = " ".join(f"a{n}" for n in range(50)), " ".join(f"b{n}" for n in range(60))
    changes = word_changes(before, after, most_words=10)
    kinds = [change.kind for change in changes]
    assert kinds == ["removed", "added", "left out", "left out"]
    assert len(changes[2].text.split()) == 40
    assert len(changes[3].text.split()) == 50


def test_long_stretches_that_are_the_same_are_shortened_and_changes_are_not() -> None:
    long = "word " * 100
    changes = [Change("same", long), Change("removed", long), Change("same", long), Change("same", "end")]
    short = shorten(changes, 10)
    assert short[0].text == f" … {long[-10:]}"
    assert short[1].text == long
    assert short[2].text == f"{long[:10]} … {long[-10:]}"
    assert short[3].text == "end"
