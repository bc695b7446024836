"""C4: line rules that rewrite, and rules on what the lines left.

`c4` is the whole of it: the rewriter `c4-lines` drops lines and citations, and the rules look at what is left of a
document. `c4-document` asks the same of the document as it came, and rewrites nothing; there sentences end in the marks
of any script. `mc4` is the multilingual heir of both.
"""

from corpusmill.dataproc.rules.preset import WITHOUT_MARKS, Preset, prose_rules

_C4 = "Raffel et al. 2020 (T5, C4), section 2.2; datatrove C4QualityFilter"

PRESETS = (
    Preset(
        "c4",
        "C4: drops lines without a closing mark, with fewer than three words, about JavaScript or cookies; then five"
        " sentences, no lorem ipsum, no curly bracket. Not asked of text whose sentences end otherwise than in . ? or !"
        " (see mc4). Without its list of bad words: see the preset toxicity.",
        prose_rules(
            "c4",
            _C4,
            ("sentences", "c4_sentence_count", 5.0, None),
            ("lorem-ipsum", "c4_lorem_ipsum_count", None, 0.0),
            ("curly-brackets", "c4_curly_bracket_count", None, 0.0),
            only_if="c4_asked",
        ),
        rewriters=("c4-lines",),
    ),
    Preset(
        "c4-document",
        "The rules of C4 that look at a whole document, asked of the document as it came; rewrites nothing.",
        (
            *prose_rules("c4-document", _C4, ("sentences", "sentence_count", 5.0, None), not_languages=WITHOUT_MARKS),
            *prose_rules(
                "c4-document",
                _C4,
                ("lorem-ipsum", "lorem_ipsum_count", None, 0.0),
                ("curly-brackets", "curly_bracket_count", None, 0.0),
            ),
        ),
    ),
    Preset(
        "mc4",
        "mC4's rule for text of any language, which has no line rules: three lines of 200 characters or more.",
        prose_rules("mc4", "Xue et al. 2021 (mT5, mC4), section 3.1", ("long-lines", "long_line_count", 3.0, None)),
    ),
)
