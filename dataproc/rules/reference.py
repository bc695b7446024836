"""The reference of rules, docs/rules.md, made from the presets, rules, rewriters and columns themselves.

What a preset is for stands beside its numbers, in the docstring of its family and in its description; what a column
counts stands in the measure that gives it. This module only sets them out, so that the page cannot say anything else
than what a filter does. A test compares the two; the page is made again by

    python -m corpusmill.dataproc.rules.reference docs/rules.md
"""

import inspect
import sys
from collections.abc import Iterable, Sequence
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from corpusmill.dataproc.measures.providers import (
    LANGUAGE,
    ONE_PASS,
    PROVIDERS,
    class_of,
    columns_of,
    needs_of,
    rewriter_names,
    source_of,
)
from corpusmill.dataproc.rules.describe import applies, keeps
from corpusmill.dataproc.rules.preset import Preset
from corpusmill.dataproc.rules.presets import FAMILIES
from corpusmill.dataproc.rules.rule import Rule

COMMAND = "python -m corpusmill.dataproc.rules.reference docs/rules.md"
HEAD = f"""\
# Rules, rewriters and the columns they look at

Made by `{COMMAND}` from the code; edit that.

A document is kept if it keeps to every rule in force that is for it; a value exactly at a threshold is kept. Presets
and single rules are named alike (`--rules fineweb,gopher-quality/words`), thresholds can be changed
(`--thresholds fineweb/short-lines=0.7`), and [rules of your own](#rules-of-your-own) look at the same columns
(`--keep-if "word_count > 9"`).
`corpusmill filter --show NAME` says the same of one preset, rule, rewriter or column in a terminal.
"""
OWN_RULES = """\
## Rules of your own

A recipe's filter takes them as `custom_rules`, a list of mappings; a document that breaks one is rejected, and the
ledger names the rule like any other. A rule is a name and either a `statistic` with a `minimum`, a `maximum` or both,
or an `expression`:

    clean:
      stage: filter
      datasets: [documents]
      rules: [gopher-quality]
      custom_rules:
        - {name: long-enough, statistic: word_count, minimum: 80, kinds: [web]}
        - {name: english-or-long, expression: "language == 'en' or word_count > 500"}

On the command line, `--keep-if EXPRESSION` is one such rule.
"""
OWN_EXAMPLES = {
    "name": "long-enough", "statistic": "word_count", "minimum": "80", "maximum": "100000",
    "expression": "language == 'en' or word_count > 500", "kinds": "[web, docs]", "languages": "[en, de]",
}  # fmt: skip
OWN_EXPRESSIONS = """\
`statistic`, and the names in an expression, are columns of the tables below, or numeric columns of your input that
`document_columns` names. A value exactly at a threshold is kept. An expression has numbers, text in quotes (the labels
`source`, `kind` and `language` are compared with it), `+ - * /`, comparisons, `in`, `is None`, `and`, `or`, `not` and
the functions `abs`, `min`, `max`, `startswith`, `endswith` and `lower`. What was not measured is unknown, and a
document for which an expression is unknown is rejected, as one for which it is false."""
ONE_PASS_LINE = "The one pass over every text, which is always made."
LANGUAGE_LINE = "The language model, where the input named no language."


def reference() -> str:
    """The whole page, as Markdown."""
    return "\n".join([HEAD, *_own_rules(), *_presets(), *_rewriters(), *_columns()])


def _own_rules() -> Iterable[str]:
    yield OWN_RULES
    described = documented_fields(Rule)
    rows = [(_code(name), _code(example), described[name]) for name, example in OWN_EXAMPLES.items()]
    yield _table(("key", "for instance", "what it is"), rows)
    yield f"{OWN_EXPRESSIONS}\n"


def documented_fields(kind: type) -> dict[str, str]:
    """What the `Attributes:` of a docstring say of each field, on one line."""
    _, _, text = inspect.cleandoc(kind.__doc__ or "").partition("Attributes:\n")
    texts: dict[str, str] = {}
    names: list[str] = []
    for line in text.splitlines():
        if line.startswith("    ") and not line.startswith("     "):
            written, _, said = line.strip().partition(": ")
            names = written.split(", ")
            texts |= dict.fromkeys(names, said)
        else:
            texts |= {name: f"{texts[name]} {line.strip()}" for name in names}
    return texts


def _presets() -> Iterable[str]:
    yield "## Presets\n"
    for family in FAMILIES:
        yield inspect.cleandoc(family.__doc__ or "") + "\n"
        for preset in family.PRESETS:
            yield from _preset(preset)


def _preset(preset: Preset) -> Iterable[str]:
    yield f"### {preset.name}\n"
    yield f"{preset.description}\n"
    if preset.rewriters:
        yield f"Rewrites by {', '.join(f'[`{name}`](#{name})' for name in preset.rewriters)}.\n"
    needs = dict.fromkeys(needs_of(_provider(rule.statistic)) for rule in preset.rules if rule.statistic)
    for need in filter(None, needs):
        yield f"To use it, {need}.\n"
    yield f"    corpusmill filter documents --rules {preset.name} --output clean\n"
    if preset.rules:
        rows = [(_code(rule.name), _code(keeps(rule)), applies(rule), rule.source) for rule in preset.rules]
        yield _table(("rule", "keeps a document if", "for", "source"), rows)


def _rewriters() -> Iterable[str]:
    yield "## Rewriters\n"
    yield "They change the text of documents that are kept, each in the place that it is named in.\n"
    for name in rewriter_names():
        made_of = class_of(name)
        yield f"### {name}\n"
        yield f"{(made_of.__doc__ or '').strip().splitlines()[0]} Source: {source_of(name)}.\n"
        yield f"    corpusmill filter documents --rewrite {name} --output clean\n"
        yield _table(("column", "unit", "what it is"), [_column_row(column) for column in columns_of(name)])
        rows = [(_code(field.name), _code(_default(field))) for field in fields(made_of)]
        yield _table(("setting", "default"), rows)


def _columns() -> Iterable[str]:
    yield "## Columns\n"
    yield "Numbers of a document that rules may look at, by what measures them. Those of rewriters stand there.\n"
    for name in (ONE_PASS, LANGUAGE, *(name for name in PROVIDERS if name not in rewriter_names())):
        yield f"### Columns of {name}\n"
        line = {ONE_PASS: ONE_PASS_LINE, LANGUAGE: LANGUAGE_LINE}.get(name)
        yield f"{line or (class_of(name).__doc__ or '').strip().splitlines()[0]}\n"
        if need := needs_of(name):
            yield f"To have them, {need}.\n"
        yield _table(("column", "unit", "what it is"), [_column_row(column) for column in columns_of(name)])


def _provider(column: str) -> str:
    providers = (ONE_PASS, LANGUAGE, *PROVIDERS)
    return next(name for name in providers if any(known.name == column for known in columns_of(name)))


def _column_row(column: Any) -> tuple[str, ...]:
    return _code(column.name), column.unit, column.description


def _default(field: Any) -> str:
    default = field.default if field.default is not MISSING else field.default_factory()
    return ", ".join(map(str, default)) if isinstance(default, tuple) else str(default)


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '&#124;') for cell in line)} |" for line in lines) + "\n"


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(reference(), encoding="utf-8")
