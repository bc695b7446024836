"""Toxicity by lists of words: C4's rule, and data-juicer's for pages that only quote a listed word.

The list is the user's own (`word_list`): none comes with this. C4 used the List of Dirty, Naughty, Obscene and
Otherwise Bad Words. Such lists reject medical, legal and minority text along with what they mean to reject (Dodge et
al. 2021, section 5), so look at `_rejected/` before a corpus goes without.
"""

from corpusmill.dataproc.rules.preset import Preset, prose_rules

C4 = "Raffel et al. 2020 (T5, C4), section 2.2; datatrove C4BadWordsFilter with keep_fraction 0"
DATA_JUICER = "Chen et al. 2023 (Data-Juicer); flagged_words_filter, max_ratio"

PRESETS = (
    Preset(
        "toxicity",
        "Rejects a document with any word or phrase of the list given by word_list, as C4 does.",
        prose_rules("toxicity", C4, ("listed-words", "listed_word_count", None, 0.0)),
    ),
    Preset(
        "toxicity-share",
        "Rejects a document of which more than 4.5 % of the words are on the list given by word_list, as data-juicer"
        " does.",
        prose_rules("toxicity-share", DATA_JUICER, ("listed-word-share", "listed_word_fraction", None, 0.045)),
    ),
)
