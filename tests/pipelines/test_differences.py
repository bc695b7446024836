"""Two texts word by word: nothing is lost or made up, and the difference is the shortest."""

import time

from hypothesis import given
from hypothesis import strategies as st

from corpusmill.pipelines.inspect.differences import MOST_EDITS, Difference, around, differences, first_changes, marked

TEXTS = st.text(alphabet="ab \n.漢é", max_size=40)


@given(TEXTS, TEXTS)
def test_what_is_not_new_is_the_first_text_and_what_is_not_gone_the_second(before: str, after: str) -> None:
    stretches = differences(before, after)
    assert "".join(stretch.text for stretch in stretches if stretch.kind != "new") == before
    assert "".join(stretch.text for stretch in stretches if stretch.kind != "gone") == after
    assert all(stretch.text for stretch in stretches)


@given(st.lists(st.sampled_from("abc"), max_size=10), st.lists(st.sampled_from("abc"), max_size=10))
def test_as_few_words_differ_as_the_longest_common_subsequence_leaves(first: list[str], second: list[str]) -> None:
    stretches = differences(".".join(first), ".".join(second))
    changed = sum(len(stretch.text) for stretch in stretches if stretch.kind != "same")
    one, other = ".".join(first), ".".join(second)
    assert changed == len(one) + len(other) - 2 * _longest_common(one, other)


def _longest_common(first: str, second: str) -> int:
    lengths = [0] * (len(second) + 1)
    for letter in first:
        before = lengths[:]
        for at, other in enumerate(second):
            lengths[at + 1] = before[at] + 1 if letter == other else max(before[at + 1], lengths[at])
    return lengths[-1]


def test_a_changed_word_is_marked_as_git_marks_it() -> None:
    assert marked(differences("the quick fox ran", "the slow fox ran")) == "the [-quick-]{+slow+} fox ran"
    assert marked(differences("one two three", "four five six")) == "[-one two three-]{+four five six+}"
    assert marked(differences("我喜欢茶", "我喜欢水")) == "我喜欢[-茶-]{+水+}"


def test_words_without_spaces_between_them_differ_by_the_character() -> None:
    assert differences("東京都", "東京") == [Difference("same", "東京"), Difference("gone", "都")]


def test_equal_and_empty_texts_have_no_difference() -> None:
    assert differences("", "") == []
    assert differences("same", "same") == [Difference("same", "same")]


def test_texts_that_share_too_little_are_replaced_whole_and_soon() -> None:
    before = " ".join(f"a{number}" for number in range(50_000))
    after = " ".join(f"b{number}" for number in range(50_000))
    started = time.perf_counter()
    assert differences(before, after) == [Difference("gone", before), Difference("new", after)]
    assert time.perf_counter() - started < 5


def test_a_line_that_was_rewritten_leaves_the_others_compared_by_words() -> None:
    many = [f"line {number}\n" for number in range(3 * MOST_EDITS)]
    before = "".join(["begin one\n", *many, "end two\n"])
    after = "".join(["begin 1\n", *many, "end 2\n"])
    changed = [(stretch.kind, stretch.text) for stretch in differences(before, after) if stretch.kind != "same"]
    assert changed == [("gone", "one"), ("new", "1"), ("gone", "two"), ("new", "2")]


def test_what_did_not_change_is_cut_to_what_is_near_a_change() -> None:
    before, after = f"{'a ' * 50}old{' z' * 50}", f"{'a ' * 50}new{' z' * 50}"
    assert marked(around(differences(before, after), 4)) == "…a a [-old-]{+new+} z z…"


def test_a_text_with_many_changes_shows_the_first_and_counts_the_others() -> None:
    stretches = differences("a b c d e f", "a 1 c 2 e 3")
    shown, more = first_changes(stretches, 2)
    assert (marked(shown), more) == ("a [-b-]{+1+} c [-d-]{+2+} e ", 1)
    assert first_changes(stretches, 3) == (stretches, 0)
    assert first_changes(differences("x", "y z"), 1) == (differences("x", "y z"), 0)
