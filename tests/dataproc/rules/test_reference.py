"""docs/rules.md says what the code says, and all of it."""

from pathlib import Path

from corpusmill.dataproc.measures.providers import providers_of_columns, rewriter_names
from corpusmill.dataproc.rules import PRESETS
from corpusmill.dataproc.rules.reference import COMMAND, reference

PAGE = Path(__file__).parents[3] / "docs/rules.md"


def test_the_page_is_what_the_code_makes() -> None:
    assert PAGE.read_text(encoding="utf-8") == reference(), f"make it again: {COMMAND}"


def test_it_names_every_preset_rule_rewriter_and_column_with_its_source() -> None:
    page = reference()
    for preset in PRESETS.values():
        assert f"### {preset.name}\n\n{preset.description}\n" in page
        for rule in preset.rules:
            assert f"| `{rule.name}` |" in page and rule.source.replace("|", "&#124;") in page
    for name in rewriter_names():
        assert f"### {name}\n" in page
    for column in providers_of_columns():
        assert f"| `{column}` |" in page
