"""What `--show` says: thresholds, definitions, units and sources of everything that has a name."""

import pytest

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.measures.providers import providers_of_columns, rewriter_names
from corpusmill.dataproc.rules import PRESETS, Rule
from corpusmill.dataproc.rules.describe import applies, describe, keeps


@pytest.mark.parametrize("name", ["all", *PRESETS, "gopher-quality/words", "word_count", *rewriter_names()])
def test_everything_has_a_description_without_gaps(name):
    for section in describe(name):
        assert section.lines
        assert all(len(row) == len(section.columns) for row in section.rows)
        assert all(not row or row[0] for row in section.rows)


def test_a_preset_shows_rules_statistics_units_and_sources():
    text = "\n".join(" ".join(row) for section in describe("gopher-quality") for row in section.rows)
    for said in ("50 <= estimated_word_count <= 100,000", "Rae et al. 2021", "words", "all but code"):
        assert said in text
    rewriting = "\n".join(" ".join(row) for section in describe("c4") for row in section.rows)
    assert "c4-lines" in rewriting


def test_every_statistic_can_be_shown_and_names_the_rules_that_look_at_it():
    for name in providers_of_columns():
        assert describe(name)[0].rows[0][0] == name
    assert "fineweb/short-lines" in [row[0] for row in describe("short_line_fraction_fineweb")[1].rows]


def test_how_a_rule_is_written_out():
    assert keeps(Rule("r", "x", 0.5)) == "x >= 0.5"
    assert keeps(Rule("r", "x", None, 1e6)) == "x <= 1,000,000"
    assert keeps(Rule("r", "x", 0.0, 0.1)) == "0 <= x <= 0.1"
    assert keeps(Rule("r", expression="a > 1")) == "a > 1"
    assert applies(Rule("r", "x", 0.0)) == "all"
    rule = Rule("r", "x", 0.0, kinds=("code",), languages=("html",), not_languages=("xslt",), spaced=False)
    assert applies(rule) == "code; languages html; not xslt; scripts without spaces"


def test_an_unknown_name_is_an_error():
    with pytest.raises(UserError, match="did you mean 'gopher-quality'"):
        describe("gopher-qualty")
