"""Labels of blocks by the text that is a page's content."""

from corpusmill.dataproc.extraction.labels import label_blocks

TRUTH = "A heading\n\nThe first paragraph has some words. The second one, too.\n\nWhy\n\nBecause of all that."


def test_blocks_of_the_truth_are_content_and_others_are_not() -> None:
    blocks = ["Home", "A heading", "The first paragraph has some words.", "The second one, TOO", "words", "Why",
              "Because of all that.", "Read more of this here", "all", "..."]  # fmt: skip
    assert label_blocks(blocks, TRUTH).tolist() == [
        False, True, True, True, False, True, True, False, False, False,
    ]  # fmt: skip


def test_without_a_truth_nothing_is_content() -> None:
    assert not label_blocks(["a b c d e", "f"], "").any()
