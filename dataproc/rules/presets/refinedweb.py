"""RefinedWeb's line corrections: lines of web pages' furniture go, and documents that were mostly such lines."""

from corpusmill.dataproc.rules.preset import Preset, prose_rules

REFINEDWEB = "Penedo et al. 2023 (RefinedWeb), section 3.2 and appendix G.2"

PRESETS = (
    Preset(
        "refinedweb-lines",
        "Drops lines of capitals, numbers, counters, single words and calls to act; and documents that lose more than"
        " 5 % of their words by that.",
        prose_rules(
            "refinedweb-lines",
            REFINEDWEB,
            ("removed-words", "refinedweb_removed_word_fraction", None, 0.05),
        ),
        rewriters=("refinedweb-lines",),
    ),
)
