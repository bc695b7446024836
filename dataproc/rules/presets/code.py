"""Code: what The Stack, StarCoder and DeepSeek-Coder filtered files by. Rules for documents of kind `code` only.

Some rules are for one language, that of a document's `language` (`python`, `html`, `yaml`, …).

Not here: stars and characters per token, which are not properties of the text; near-duplicates, another stage.
"""

from corpusmill.dataproc.measures.code_text import COMMENTED_LANGUAGES
from corpusmill.dataproc.rules.preset import Limits, Preset, code_rules
from corpusmill.dataproc.rules.rule import Rule

_STACK = "Kocetkov et al. 2022 (The Stack); after Chen et al. 2021 (Codex), section 3.1"
_STARCODER = "Li et al. 2023 (StarCoder), section 3"
_SANTACODER = "Ben Allal et al. 2023 (SantaCoder), its filter by comments"
_CURATOR = "NeMo Curator, defaults of its code filters"
_JUICER = "Data-Juicer, recipe for The Stack"
_DEEPSEEK_CODER = "Guo et al. 2024 (DeepSeek-Coder), section 2.1"

_LINES: tuple[Limits, ...] = (
    ("mean-line-length", "mean_line_length", None, 100.0),
    ("longest-line", "longest_line", None, 1000.0),
)
_ALPHABETIC: Limits = ("alphabetic", "alphabetic_fraction", 0.25, None)
_ALPHANUMERIC: Limits = ("alphanumeric", "alphanumeric_fraction", 0.25, None)
_XML: Limits = ("xml-header", "xml_header_count", None, 0.0)
_HTML: tuple[Limits, ...] = (
    ("html-visible", "html_visible_fraction", 0.2, None),
    ("html-visible-characters", "html_visible_character_count", 100.0, None),
)
_DATA: Limits = ("data-characters", "character_count", 50.0, 5000.0)
_DATA_LANGUAGES = ("json", "yaml")


def _both(preset: str) -> tuple[Rule, ...]:
    """What StarCoder and DeepSeek-Coder share, for all languages, and the share of alphanumeric characters."""
    both = f"{_STARCODER}; {_DEEPSEEK_CODER}"
    return (
        *code_rules(preset, both, *_LINES, _ALPHABETIC),
        *code_rules(preset, f"{_STACK}; {_STARCODER}", _ALPHANUMERIC),
        *code_rules(preset, f"{both} (both spare XSLT)", _XML, not_languages=("xslt",)),
    )


def _starcoder(preset: str) -> tuple[Rule, ...]:
    return (
        *code_rules(preset, f"{_STACK}; {_STARCODER}", *_LINES, _ALPHANUMERIC),
        *code_rules(preset, f"{_STARCODER}, 'alpha filter'", _ALPHABETIC),
        *code_rules(preset, f"{_STARCODER}, 'XML filter'", _XML, not_languages=("xslt",)),
        *code_rules(preset, f"{_STARCODER}, 'HTML'", *_HTML, languages=("html",)),
        *code_rules(
            preset,
            f"{_STARCODER}, 'JSON and YAML'",
            _DATA,
            ("data-alphabetic", "alphabetic_fraction", 0.5, None),
            languages=_DATA_LANGUAGES,
        ),
        *code_rules(
            preset,
            f"{_SANTACODER}: for Python, Java and JavaScript there; comments and docstrings by characters",
            ("comments", "comment_fraction", 0.01, 0.8),
            languages=COMMENTED_LANGUAGES,
        ),
    )


def _deepseek_coder(preset: str) -> tuple[Rule, ...]:
    return (
        *code_rules(preset, _DEEPSEEK_CODER, *_LINES, _ALPHABETIC),
        *code_rules(preset, _DEEPSEEK_CODER, _XML, not_languages=("xslt",)),
        *code_rules(preset, _DEEPSEEK_CODER, *_HTML, languages=("html",)),
        *code_rules(preset, _DEEPSEEK_CODER, _DATA, languages=_DATA_LANGUAGES),
    )


def _curator(preset: str) -> tuple[Rule, ...]:
    return (
        *code_rules(preset, _CURATOR, ("lines", "line_count", 10.0, 20_000.0), _ALPHABETIC),
        *code_rules(preset, f"{_CURATOR} (XML itself is dropped, too)", _XML),
        *code_rules(preset, _CURATOR, *_HTML, languages=("html",)),
        *code_rules(preset, _CURATOR, ("comments", "comment_fraction", 0.01, 0.85), languages=COMMENTED_LANGUAGES),
    )


def _data_juicer(preset: str) -> tuple[Rule, ...]:
    return code_rules(
        preset,
        _JUICER,
        ("mean-line-length", "mean_line_length", 10.0, 150.0),
        ("longest-line", "longest_line", None, 1000.0),
        ("alphanumeric", "alphanumeric_fraction", 0.2, 0.9163),
        ("characters", "character_count", None, 96_714.0),
        ("words", "word_count", 20.0, 6640.0),
    )


PRESETS = (
    Preset(
        "code", "The rules on code that hold for every language and need nothing but the statistics.", _both("code")
    ),
    Preset(
        "starcoder",
        "The Stack's, SantaCoder's and StarCoder's rules on code, with those for HTML, JSON, YAML and comments.",
        _starcoder("starcoder"),
    ),
    Preset(
        "deepseek-coder",
        "DeepSeek-Coder's rules on code, with those for HTML, JSON and YAML.",
        _deepseek_coder("deepseek-coder"),
    ),
    Preset(
        "curator-code",
        "NeMo Curator's defaults for code: lines, letters, XML, HTML and comments, without its lists by extension.",
        _curator("curator-code"),
    ),
    Preset(
        "data-juicer-code",
        "Data-Juicer's recipe for The Stack: lengths of lines, text and words, without its counts of tokens.",
        _data_juicer("data-juicer-code"),
    ),
)
