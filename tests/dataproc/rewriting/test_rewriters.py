"""What all rewriters agree on: names, columns known without building one, numbers as declared, code left alone."""

import pyarrow as pa
import pytest

from corpusmill.dataproc.measures.providers import PROVIDERS, build_rewriter, rewriter_names
from corpusmill.dataproc.rewriting import REWRITERS
from corpusmill.dataproc.rewriting.warmup import compile_kernels
from corpusmill.dataproc.rules.presets import PRESETS

TEXTS = ["One two three.\nfour[1]\n", "", "ann@mail.org said {so}.", "没有空格。"]
BATCH = pa.record_batch({"text": pa.array(TEXTS, pa.large_string()), "kind": ["prose", "prose", "code", "web"]})


@pytest.mark.parametrize("name", REWRITERS)
def test_numbers_are_the_declared_columns_and_the_same_with_and_without_the_text(name):
    rewriter = REWRITERS[name]()
    rewritten = rewriter.rewrite(BATCH)
    assert rewriter.name == name and rewriter.source and rewriter.columns == REWRITERS[name].COLUMNS
    assert rewritten.numbers.schema.names == [column.name for column in rewriter.columns]
    assert rewritten.numbers.schema.types == [column.type for column in rewriter.columns]
    assert rewriter.measure(BATCH) == rewritten.numbers
    assert rewritten.texts.type == pa.large_string() and len(rewritten.texts) == len(TEXTS)


@pytest.mark.parametrize("name", REWRITERS)
def test_an_empty_batch_is_rewritten_to_an_empty_batch(name):
    rewritten = REWRITERS[name]().rewrite(BATCH.slice(0, 0))
    assert len(rewritten.texts) == rewritten.numbers.num_rows == 0


def test_columns_are_named_once():
    names = [column.name for rewriter in REWRITERS.values() for column in rewriter.COLUMNS]
    assert len(names) == len(set(names))


def test_every_rewriter_is_known_to_the_rules_by_its_name():
    assert set(rewriter_names()) == set(REWRITERS)
    assert all(type(build_rewriter(name, {})) is REWRITERS[name] for name in REWRITERS)
    assert all(PROVIDERS[name].rewrites for name in REWRITERS)


def test_pii_can_be_masked_or_be_a_reason_to_reject():
    assert PRESETS["pii"].rewriters == ("pii-mask",) and not PRESETS["pii"].rules
    columns = {column.name for column in REWRITERS["pii-mask"].COLUMNS}
    assert {rule.statistic for rule in PRESETS["pii-reject"].rules} == columns
    assert all(rule.maximum == 0.0 and not rule.not_kinds for rule in PRESETS["pii-reject"].rules)


def test_kernels_compile_ahead_of_workers():
    compile_kernels()
