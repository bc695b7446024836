"""The rules that the field filters by, with the numbers and sources; definitions are those of `dataproc.statistics`.

Prose rules are not for documents of kind `code`, and code rules are for nothing else. A document is kept if it keeps to
every rule that applies to it, so a mixed dataset can go through prose and code presets at once.

All prose numbers were chosen on English web text. The stop-word rule is English as it stands: for other languages
override its minimum with 0, or name the preset's other rules one by one. For scripts written without spaces, where a
word is a single character or a whole phrase, rules on the length of words, on stretches between spaces and on stop
words do not apply, and repeated n-grams are judged by ten characters, with the limit for five words.
"""

from dataproc.rules.rule import Rule

_GOPHER = "Rae et al. 2021 (Gopher), table A1, appendix A.1.1"
_FINEWEB = "Penedo et al. 2024 (FineWeb), section 3.6; datatrove FineWebQualityFilter"
_C4 = "Raffel et al. 2020 (T5, C4), section 2.2; datatrove C4QualityFilter"
_STARCODER = "Li et al. 2023 (StarCoder), section 3"
_DEEPSEEK_CODER = "Guo et al. 2024 (DeepSeek-Coder), section 2.1"


def _prose(
    preset: str,
    source: str,
    *rules: tuple[str, str, float | None, float | None],
    spaced: bool | None = None,
) -> tuple[Rule, ...]:
    return tuple(
        Rule(f"{preset}/{name}", statistic, minimum, maximum, not_kinds=("code",), spaced=spaced, source=source)
        for name, statistic, minimum, maximum in rules
    )


def _gopher_quality() -> tuple[Rule, ...]:
    preset = "gopher-quality"
    return (
        *_prose(
            preset,
            _GOPHER,
            ("words", "word_count", 50.0, 100_000.0),
            ("hash-marks", "hash_word_ratio", None, 0.1),
            ("ellipses", "ellipsis_word_ratio", None, 0.1),
            ("bullet-lines", "bullet_line_fraction", None, 0.9),
            ("ellipsis-lines", "ellipsis_line_fraction", None, 0.3),
        ),
        *_prose(
            preset,
            _GOPHER,
            ("mean-word-length", "mean_word_length", 3.0, 10.0),
            ("alphabetic-stretches", "alphabetic_stretch_fraction", 0.8, None),
            ("stop-words", "distinct_stop_word_count", 2.0, None),
            spaced=True,
        ),
    )


def _gopher_repetition(preset: str, meaning: str, tool: str) -> tuple[Rule, ...]:
    source = f"{_GOPHER}; as {tool} counts"
    units = (
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
        *_prose(preset, source, *units, *top),
        *_prose(preset, source, *duplicate, spaced=True),
        *_prose(preset, f"{source}; the limit for 5 words", scaled, spaced=False),
    )


def _code(name: str, statistic: str, minimum: float | None, maximum: float | None, source: str) -> Rule:
    return Rule(f"code/{name}", statistic, minimum, maximum, kinds=("code",), source=source)


PRESETS: dict[str, tuple[Rule, ...]] = {
    "gopher-quality": _gopher_quality(),
    "gopher-repetition": _gopher_repetition("gopher-repetition", "dclm", "DCLM"),
    "gopher-repetition-datatrove": _gopher_repetition("gopher-repetition-datatrove", "datatrove", "datatrove"),
    "fineweb": _prose(
        "fineweb",
        _FINEWEB,
        ("terminal-lines", "terminal_line_fraction", 0.12, None),
        ("short-lines", "short_line_fraction", None, 0.67),
        ("duplicate-line-characters", "duplicate_line_character_fraction_fineweb", None, 0.01),
        ("newlines-per-word", "newline_word_ratio", None, 0.3),
    ),
    "c4-document": _prose(
        "c4-document",
        _C4,
        ("sentences", "sentence_count", 5.0, None),
        ("lorem-ipsum", "lorem_ipsum_count", None, 0.0),
        ("curly-brackets", "curly_bracket_count", None, 0.0),
    ),
    "code": (
        _code("mean-line-length", "mean_line_length", None, 100.0, f"{_STARCODER}; {_DEEPSEEK_CODER}"),
        _code("longest-line", "longest_line", None, 1000.0, f"{_STARCODER}; {_DEEPSEEK_CODER}"),
        _code("alphabetic", "alphabetic_fraction", 0.25, None, f"{_STARCODER}; {_DEEPSEEK_CODER}"),
        _code("alphanumeric", "alphanumeric_fraction", 0.25, None, f"Kocetkov et al. 2022 (The Stack); {_STARCODER}"),
        _code("xml-header", "xml_header_count", None, 0.0, f"{_STARCODER}; {_DEEPSEEK_CODER} (both spare XSLT)"),
    ),
}
"""Rules by preset. `c4-document` holds the rules of C4 that look at a whole document; those that rewrite lines don't
belong to rules that decide."""
