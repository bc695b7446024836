"""Gopher: quality and repetition (Rae et al. 2021, appendix A.1.1), from which most later rules descend.

For scripts written without spaces words are estimated (`dataproc.measures.statistics`), the rules on the length of
words and on stretches between spaces do not apply, and repeated n-grams are judged by ten characters, with the limit
for five words. Stop words are asked for in the languages that have a list (`dataproc.measures.stop_words`).

Gopher did not say what counts as a word, a bullet, a repeated line or n-gram, and the tools differ: presets that end in
-datatrove have datatrove's meaning of all these.
"""

from corpusmill.dataproc.rules.preset import Limits, Preset, prose_rules, stop_word_rules
from corpusmill.dataproc.rules.rule import Rule

_QUALITY = "Rae et al. 2021 (Gopher), appendix A.1.1 'Quality Filtering'"
_REPETITION = "Rae et al. 2021 (Gopher), table A1"


def _quality(preset: str) -> tuple[Rule, ...]:
    return (
        *prose_rules(
            preset,
            _QUALITY,
            ("words", "estimated_word_count", 50.0, 100_000.0),
            ("hash-marks", "hash_word_ratio", None, 0.1),
            ("ellipses", "ellipsis_word_ratio", None, 0.1),
            ("bullet-lines", "bullet_line_fraction", None, 0.9),
            ("ellipsis-lines", "ellipsis_line_fraction", None, 0.3),
        ),
        *prose_rules(
            preset,
            _QUALITY,
            ("mean-word-length", "mean_word_length", 3.0, 10.0),
            ("alphabetic-stretches", "alphabetic_stretch_fraction", 0.8, None),
            spaced=True,
        ),
        *stop_word_rules(preset, _QUALITY, "distinct_stop_word_count"),
    )


def _quality_datatrove(preset: str) -> tuple[Rule, ...]:
    source = f"{_QUALITY}; counted as datatrove's GopherQualityFilter does"
    return (
        *prose_rules(
            preset,
            source,
            ("words", "estimated_word_count", 50.0, 100_000.0),
            ("hash-marks", "hash_word_ratio_datatrove", None, 0.1),
            ("ellipses", "ellipsis_word_ratio_datatrove", None, 0.1),
            ("bullet-lines", "bullet_line_fraction_datatrove", None, 0.9),
            ("ellipsis-lines", "ellipsis_line_fraction_datatrove", None, 0.3),
        ),
        *prose_rules(
            preset,
            source,
            ("mean-word-length", "mean_word_length", 3.0, 10.0),
            ("alphabetic-words", "alphabetic_word_fraction_datatrove", 0.8, None),
            spaced=True,
        ),
        *stop_word_rules(preset, source, "distinct_stop_word_count"),
    )


def repetition_rules(preset: str, meaning: str, source: str) -> tuple[Rule, ...]:
    """The 13 limits of table A1, for a `meaning` that the statistics have: dclm or datatrove."""
    units: tuple[Limits, ...] = (
        ("duplicate-lines", f"duplicate_line_fraction_{meaning}", None, 0.30),
        ("duplicate-paragraphs", f"duplicate_paragraph_fraction_{meaning}", None, 0.30),
        ("duplicate-line-characters", f"duplicate_line_character_fraction_{meaning}", None, 0.20),
        ("duplicate-paragraph-characters", f"duplicate_paragraph_character_fraction_{meaning}", None, 0.20),
    )
    top = (
        (f"top-{n}grams", f"top_{n}gram_character_fraction_{meaning}", None, limit)
        for n, limit in ((2, 0.20), (3, 0.18), (4, 0.16))
    )
    duplicate = (
        (f"duplicate-{n}grams", f"duplicate_{n}gram_character_fraction_{meaning}", None, limit)
        for n, limit in ((5, 0.15), (6, 0.14), (7, 0.13), (8, 0.12), (9, 0.11), (10, 0.10))
    )
    # Ten Han or kana characters say about as much as five words.
    scaled = ("duplicate-10grams-unspaced", f"duplicate_10gram_character_fraction_{meaning}", None, 0.15)
    return (
        *prose_rules(preset, source, *units, *top),
        *prose_rules(preset, source, *duplicate, spaced=True),
        *prose_rules(preset, f"{source}; the limit for 5 words", scaled, spaced=False),
    )


PRESETS = (
    Preset(
        "gopher-quality",
        "Length, word length, symbols, bullets, ellipses, letters and stop words, as Gopher judges prose.",
        _quality("gopher-quality"),
    ),
    Preset(
        "gopher-quality-datatrove",
        "The same thresholds over what datatrove counts: punctuation marks are words, and blank lines are lines.",
        _quality_datatrove("gopher-quality-datatrove"),
    ),
    Preset(
        "gopher-repetition",
        "Gopher's limits on repeated lines, paragraphs and n-grams; every copy counts, the first one, too (DCLM).",
        repetition_rules("gopher-repetition", "dclm", f"{_REPETITION}; counted as DCLM does"),
    ),
    Preset(
        "gopher-repetition-datatrove",
        "The same limits with the first copy free, which is milder (datatrove).",
        repetition_rules(
            "gopher-repetition-datatrove",
            "datatrove",
            f"{_REPETITION}; counted as datatrove's GopherRepetitionFilter does",
        ),
    ),
)
