"""A preset: rules that belong together under the name that the field knows them by, and what rewrites come with them.

A module of `dataproc.rules.presets` builds its presets with the helpers here, so that all of them agree on which
documents a rule is for. Prose rules are not for documents of kind `code`, and code rules are for nothing else: a mixed
dataset can go through prose and code presets at once.

Numbers for prose were chosen on English web text. Where a script is written without spaces, a word is a single
character or a whole phrase; a rule whose number only holds for words between spaces says so (`spaced`).
"""

from dataclasses import dataclass

from corpusmill.dataproc.measures.stop_words import LANGUAGES
from corpusmill.dataproc.rules.rule import Rule

WITHOUT_MARKS = ("lo", "th")
"""Languages that end no sentence by a mark: what counts sentences, or lines that end in a mark, is not for them."""

STOP_WORD_LANGUAGES = tuple(sorted(LANGUAGES))

Limits = tuple[str, str, float | None, float | None]
"""(the rule's name within its preset, statistic, minimum, maximum)"""


@dataclass(frozen=True)
class Preset:
    """Rules under one name, and the rewriters that naming it puts in force.

    Attributes:
        name: what a user writes. description: one line: what it is for, and what of the original is not in it. rules:
            named `<preset>/<rule>`. rewriters: names of rewriters (`dataproc.measures.providers.PROVIDERS`), in the
            order in which they run. Naming one
            of the rules alone measures, but rewrites nothing.
    """

    name: str
    description: str
    rules: tuple[Rule, ...]
    rewriters: tuple[str, ...] = ()


def prose_rules(
    preset: str,
    source: str,
    *limits: Limits,
    spaced: bool | None = None,
    languages: tuple[str, ...] = (),
    not_languages: tuple[str, ...] = (),
    only_if: str = "",
) -> tuple[Rule, ...]:
    """Rules for all documents but code."""
    return tuple(
        Rule(
            f"{preset}/{name}",
            statistic,
            minimum,
            maximum,
            not_kinds=("code",),
            spaced=spaced,
            languages=languages,
            not_languages=not_languages,
            only_if=only_if,
            source=source,
        )
        for name, statistic, minimum, maximum in limits
    )


def stop_word_rules(preset: str, source: str, statistic: str) -> tuple[Rule, ...]:
    """Two stop words at least, asked of prose in the languages that have a list.

    A text without a language counts as English, but not where it is in a script without spaces: that it is not.
    """
    unspaced = "characters that stand for words"
    return (
        *prose_rules(preset, source, ("stop-words", statistic, 2.0, None), spaced=True, languages=STOP_WORD_LANGUAGES),
        *prose_rules(
            preset,
            f"{source}; {unspaced}",
            ("stop-words-unspaced", statistic, 2.0, None),
            spaced=False,
            languages=("ja", "zh"),
        ),
    )


def prose_expression(preset: str, name: str, expression: str, source: str) -> Rule:
    """A rule for all documents but code that no single statistic can say."""
    return Rule(f"{preset}/{name}", expression=expression, not_kinds=("code",), source=source)


def code_rules(
    preset: str,
    source: str,
    *limits: Limits,
    languages: tuple[str, ...] = (),
    not_languages: tuple[str, ...] = (),
) -> tuple[Rule, ...]:
    """Rules for documents of kind `code`, of all languages or of some."""
    return tuple(
        Rule(
            f"{preset}/{name}",
            statistic,
            minimum,
            maximum,
            kinds=("code",),
            languages=languages,
            not_languages=not_languages,
            source=source,
        )
        for name, statistic, minimum, maximum in limits
    )
