"""A page's main content and what it says of itself, by our own extractor.

The page is read once (`parsing`), each block of its text becomes a row of numbers (`features`), a first forest of small
trees scores the rows, and a second one scores them again with the first scores of their neighbours, of the elements
around them and of blocks built alike (`model`). Blocks above a threshold are kept: a higher one in a page that calls
itself an article, where lists of other articles are not content. Comments are blocks that the page calls comments; they
are kept only on request.

The same page gives the same text on every machine of a kind: no clock, no random number, no order of threads. Cost and
quality are measured by `benchmarks/extraction.py`. Memory: twice the page, and 1.6 KB a block, of which there are at
most `MOST_BLOCKS` (210 MB); for a usual page under 1 MB. Text behind the last block is kept where anything is.
"""

import numpy as np

from corpusmill.dataproc.extraction import blocks as b
from corpusmill.dataproc.extraction.class_words import BIT
from corpusmill.dataproc.extraction.content import Content
from corpusmill.dataproc.extraction.metadata import read_metadata
from corpusmill.dataproc.extraction.model import load_model, score
from corpusmill.dataproc.extraction.pages import Seen, add_second, look_at
from corpusmill.dataproc.extraction.rendering import render
from corpusmill.dataproc.extraction.states import MOST_BLOCKS

LOWEST = 0.1
"""Where no block reaches the threshold, those are kept that reach half of the best score, if it is at least this."""
COMMENT_WORDS = 4


def extract(html: str, *, comments: bool = False) -> Content:
    """The main content of a page; with its readers' comments, if they are wanted."""
    page = html.encode("utf-8", "replace")
    seen = look_at(page)
    keep = _kept(seen, comments)
    if seen.page.hiding and not keep.any():  # all that is seen is a notice, say, and scripts show the rest
        seen = look_at(page, showing=True)
        keep = _kept(seen, comments)
    parsed = seen.page
    return Content(text=render(parsed.out, parsed.blocks, keep), meta=read_metadata(page, parsed.marks))


def _kept(seen: Seen, comments: bool) -> np.ndarray:
    """bool (N,): the blocks that are main content."""
    blocks = seen.page.blocks
    if not len(blocks):
        return np.zeros(0, bool)
    model = load_model()
    add_second(seen, score(seen.matrix, model.first))
    scores = score(seen.matrix, model.second)
    keep = scores > (model.article_threshold if seen.is_article else model.threshold)
    if not keep.any() and (best := float(scores.max())) >= LOWEST:
        keep = scores >= best / 2
    if comments:
        keep |= _are_comments(blocks, keep)
    if len(blocks) == MOST_BLOCKS:  # the last one holds all text behind it, of which its numbers say nothing
        keep[-1] |= keep.any()
    return keep


def _are_comments(blocks: np.ndarray, keep: np.ndarray) -> np.ndarray:
    """bool (N,): text of readers, not the links and buttons around it.

    Where most of the content lies in what is called comments, as in a page that says so of its body, only names close
    to a block count.
    """
    named = (blocks[:, b.MASK] & BIT["COMMENT"]) != 0
    if 2 * np.count_nonzero(named & keep) > np.count_nonzero(keep):
        named = (blocks[:, b.NEAR] & BIT["COMMENT"]) != 0
    mostly_text = 2 * blocks[:, b.LINK_BYTES] < blocks[:, b.END] - blocks[:, b.BEGIN]
    return named & mostly_text & (blocks[:, b.WORDS] >= COMMENT_WORDS)
