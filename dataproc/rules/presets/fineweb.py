"""FineWeb's own rules, which came out of comparing statistics of good and bad crawls.

FineWeb runs them after the URL list, language, Gopher's repetition and quality, and C4 without its rule on how lines
end; before de-duplication.
"""

from corpusmill.dataproc.rules.preset import WITHOUT_MARKS, Preset, prose_rules

_FINEWEB = "Penedo et al. 2024 (FineWeb), section 3.6; datatrove FineWebQualityFilter"

PRESETS = (
    Preset(
        "fineweb",
        "FineWeb's rules on lines: how they end, how short they are, how often they come again, newlines per word.",
        (
            *prose_rules(
                "fineweb",
                _FINEWEB,
                ("terminal-lines", "terminal_line_fraction_fineweb", 0.12, None),
                not_languages=WITHOUT_MARKS,
            ),
            *prose_rules(
                "fineweb",
                _FINEWEB,
                ("short-lines", "short_line_fraction_fineweb", None, 0.67),
                ("duplicate-line-characters", "duplicate_line_character_fraction_fineweb", None, 0.01),
            ),
            *prose_rules(
                "fineweb", _FINEWEB, ("newlines-per-word", "newline_word_ratio_datatrove", None, 0.3), spaced=True
            ),
            *prose_rules(
                "fineweb",
                f"{_FINEWEB}; words estimated",
                ("newlines-per-word-unspaced", "newline_word_ratio", None, 0.3),
                spaced=False,
            ),
        ),
    ),
)
