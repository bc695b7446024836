"""Presets: that they hold together, look at columns that there are, and keep a value exactly at a threshold."""

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from corpusmill.dataproc.measures.providers import (
    PROVIDERS,
    build_measure,
    columns_of,
    providers_of_columns,
    rewriter_names,
)
from corpusmill.dataproc.rules import PRESETS, Rule, decide, rule_from_dict, rule_to_dict
from corpusmill.dataproc.rules.custom import check_rule

RULES = [rule for preset in PRESETS.values() for rule in preset.rules]


def test_names_are_unique_and_begin_with_their_preset():
    assert len({rule.name for rule in RULES}) == len(RULES)
    for name, preset in PRESETS.items():
        assert name == preset.name
        assert preset.description
        assert preset.rules or preset.rewriters
        assert all(rule.name.startswith(f"{name}/") for rule in preset.rules)
        assert set(preset.rewriters) <= set(rewriter_names())


def test_the_presets_that_users_know_are_there():
    assert set(PRESETS) >= {
        "gopher-quality", "gopher-repetition", "gopher-repetition-datatrove", "c4", "c4-document", "fineweb",
        "refinedweb-lines", "code", "starcoder", "deepseek-coder", "madlad", "url", "toxicity", "pii",
    }  # fmt: skip


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_rule_looks_at_what_there_is_and_says_where_it_comes_from(rule: Rule):
    check_rule(rule, list(providers_of_columns()))
    assert rule.source
    assert rule_from_dict(json.loads(json.dumps(rule_to_dict(rule)))) == rule


def test_prose_and_code_go_through_each_others_presets():
    code = {"code", "starcoder", "deepseek-coder", "curator-code", "data-juicer-code"}
    for name, preset in PRESETS.items():
        if name in ("url", "pii", "pii-reject"):
            continue
        for rule in preset.rules:
            assert (rule.kinds, rule.not_kinds) == ((("code",), ()) if name in code else ((), ("code",)))


@pytest.mark.parametrize("rule", [rule for rule in RULES if not rule.expression], ids=lambda rule: rule.name)
def test_a_value_exactly_at_a_threshold_is_kept(rule: Rule):
    rule = replace(rule, kinds=(), not_kinds=(), spaced=None, languages=(), not_languages=(), only_if="")
    for limit, outward in ((rule.minimum, -np.inf), (rule.maximum, np.inf)):
        if limit is None:
            continue
        beyond = float(np.nextafter(limit, outward))
        statistics = pa.RecordBatch.from_pydict({rule.statistic: [limit, beyond]})
        decision = decide(statistics, pa.array(["web", "web"]), [rule])
        assert decision.kept.tolist() == [True, False]
        assert decision.ledger.to_pylist() == [{"row": 1, "rule": rule.name, "value": beyond, "threshold": limit}]


def test_every_provider_gives_the_columns_that_it_declares():
    batch = pa.RecordBatch.from_pydict(
        {
            "id": ["a"],
            "text": pa.array(["A document. It says little."], pa.large_string()),
            "source": ["s"],
            "kind": ["web"],
            "language": pa.array(["en"], pa.string()),
            "url": pa.array(["https://example.org/"], pa.string()),
        }
    )
    columns = [column for name in ("statistics", "language", *PROVIDERS) for column in columns_of(name)]
    assert len({column.name for column in columns}) == len(columns)
    for name, provider in PROVIDERS.items():
        if provider.needs:
            continue
        measure = build_measure(name, {})
        measured = measure.measure(batch)
        assert measured.schema.names == [column.name for column in columns_of(name)]
        assert [field.type for field in measured.schema] == [column.type for column in columns_of(name)]
