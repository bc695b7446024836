"""What pipelines in use set as their defaults: NeMo Curator's English configuration, Data-Juicer, DCLM and Dolma.

Only rules that our columns can say are here, with the tools' numbers over our definitions. Where a definition is
farther from the tool's than the words' split, the rule's source says so.
"""

from corpusmill.dataproc.rules.preset import WITHOUT_MARKS, Limits, Preset, prose_rules, stop_word_rules
from corpusmill.dataproc.rules.presets.refinedweb import REFINEDWEB
from corpusmill.dataproc.rules.rule import Rule

_CURATOR = "NeMo Curator, heuristic_filter_en.yaml"
_JUICER = "Data-Juicer, defaults of its operators"
_DCLM = "Li et al. 2024 (DataComp-LM), its dclm_baseline_refinedweb.yaml"
_DUPLICATE_NGRAMS = "gram_character_fraction_dolma"
_DOLMA = "Soldaini et al. 2024 (Dolma), taggers gopher_v1 as version 1.5 mixed them"


def _rules(preset: str, source: str, *limits: Limits) -> tuple[Rule, ...]:
    """Prose rules in their order; those over stretches between white space, or words in a row, hold for words between
    spaces only."""
    return tuple(
        rule
        for limit in limits
        for rule in prose_rules(
            preset, source, limit, spaced=True if "stretch" in limit[1] or _DUPLICATE_NGRAMS in limit[1] else None
        )
    )


def _curator(preset: str) -> tuple[Rule, ...]:
    return (
        *_rules(
            preset,
            _CURATOR,
            ("non-alphanumeric", "non_alphanumeric_fraction_curator", None, 0.25),
            ("symbols", "symbol_stretch_fraction_curator", None, 0.1),
            ("numbers", "number_fraction", None, 0.15),
            ("urls", "url_fraction", None, 0.2),
            ("white-space", "white_space_fraction", None, 0.25),
            ("brackets", "bracket_fraction", None, 0.1),
            ("repeated-lines", "duplicate_line_fraction_datatrove", None, 0.3),
            ("repeated-paragraphs", "duplicate_paragraph_fraction_datatrove", None, 0.3),
            ("repeated-line-characters", "duplicate_line_character_fraction_datatrove", None, 0.2),
            ("repeated-paragraph-characters", "duplicate_paragraph_character_fraction_datatrove", None, 0.2),
            ("words", "stretch_count", 50.0, 100_000.0),
            ("bullet-lines", "bullet_line_fraction_curator", None, 0.9),
            ("mean-word-length", "mean_stretch_length", 3.0, 10.0),
            ("longest-word", "longest_stretch", None, 1000.0),
            ("alphabetic-stretches", "alphabetic_stretch_fraction", 0.8, None),
            ("ellipsis-lines", "ellipsis_line_fraction", None, 0.3),
        ),
        *prose_rules(
            preset,
            f"{_CURATOR}: at most 0.85 of sentences without an end mark; here of lines",
            ("end-marks", "terminal_line_fraction", 0.15, None),
            not_languages=WITHOUT_MARKS,
        ),
        *stop_word_rules(preset, f"{_CURATOR}: occurrences", "stop_word_count"),
    )


def _data_juicer(preset: str) -> tuple[Rule, ...]:
    return prose_rules(
        preset,
        _JUICER,
        ("alphanumeric", "alphanumeric_fraction", 0.25, None),
        ("special-characters", "special_fraction_data_juicer", None, 0.25),
        ("repeated-10grams", "repeated_10gram_fraction_data_juicer", None, 0.5),
    )


def _dclm(preset: str) -> tuple[Rule, ...]:
    return (
        *_rules(
            preset,
            _DCLM,
            ("words", "word_count", 50.0, 100_000.0),
            ("symbols", "symbol_stretch_ratio_dclm", None, 0.1),
            ("bullet-lines", "bullet_line_fraction_dclm", None, 0.9),
            ("ellipsis-lines", "ellipsis_line_fraction", None, 0.3),
            ("mean-word-length", "mean_stretch_length", 3.0, 10.0),
            ("alphabetic-stretches", "alphabetic_stretch_fraction", 0.8, None),
        ),
        *stop_word_rules(preset, f"{_DCLM}: occurrences", "stop_word_count"),
        *prose_rules(preset, REFINEDWEB, ("removed-words", "refinedweb_removed_word_fraction", None, 0.05)),
    )


def _dolma(preset: str) -> tuple[Rule, ...]:
    repeated = ((5, 0.15), (6, 0.14), (7, 0.13), (8, 0.12), (9, 0.11), (10, 0.10))
    return (
        *_rules(
            preset,
            _DOLMA,
            ("words", "stretch_count", 50.0, 100_000.0),
            ("median-word-length", "median_stretch_length", 3.0, 10.0),
            ("symbols", "symbol_stretch_fraction_dolma", None, 0.1),
            ("alphabetic-stretches", "alphabetic_stretch_fraction", 0.8, None),
            ("bullet-lines", "bullet_line_fraction_dolma", None, 0.9),
            ("ellipsis-lines", "ellipsis_line_fraction", None, 0.3),
            ("duplicate-lines", "duplicate_line_fraction_dclm", None, 0.3),
            ("duplicate-line-characters", "duplicate_line_character_fraction_dclm", None, 0.2),
            *(
                (f"duplicate-{n}grams", f"duplicate_{n}gram_character_fraction_dolma", None, most)
                for n, most in repeated
            ),
        ),
        *stop_word_rules(preset, f"{_DOLMA}: occurrences", "stop_word_count"),
    )


PRESETS = (
    Preset(
        "curator-english",
        "NeMo Curator's English defaults, without its list of boilerplate and its repeated n-grams.",
        _curator("curator-english"),
    ),
    Preset(
        "data-juicer",
        "Data-Juicer's defaults, without perplexity, repeated characters, its word lists and its language score.",
        _data_juicer("data-juicer"),
    ),
    Preset(
        "dclm",
        "DCLM-Baseline's heuristics, a RefinedWeb made again: lines as RefinedWeb corrects them, and Gopher's quality"
        " as DCLM counts; add gopher-repetition for the rest.",
        _dclm("dclm"),
        rewriters=("refinedweb-lines",),
    ),
    Preset(
        "dolma",
        "Gopher's rules as Dolma 1.5 applied them: the median word, every copy, and no limits on top n-grams, which its"
        " configuration names wrongly.",
        _dolma("dolma"),
    ),
)
