"""What all rewriters agree on: names, columns known without building one, numbers as declared, code left alone."""

import pyarrow as pa
import pytest

from corpusmill.dataproc.measures.providers import PROVIDERS, build_rewriter, class_of, rewriter_names
from corpusmill.dataproc.rewriting.warmup import compile_kernels
from corpusmill.dataproc.rules.presets import PRESETS

TEXTS = ["One two three.\nfour[1]\n", "", "ann@mail.org said {so}.", "没有空格。"]
BATCH = pa.record_batch({"text": pa.array(TEXTS, pa.large_string()), "kind": ["prose", "prose", "code", "web"]})


@pytest.mark.parametrize("name", rewriter_names())
def test_numbers_are_the_declared_columns_and_the_same_with_and_without_the_text(name):
    rewriter = build_rewriter(name, {})
    rewritten = rewriter.rewrite(BATCH)
    assert rewriter.name == name and rewriter.source and rewriter.columns == class_of(name).COLUMNS
    assert rewritten.numbers.schema.names == [column.name for column in rewriter.columns]
    assert rewritten.numbers.schema.types == [column.type for column in rewriter.columns]
    assert rewriter.measure(BATCH) == rewritten.numbers
    assert rewritten.texts.type == pa.large_string() and len(rewritten.texts) == len(TEXTS)


@pytest.mark.parametrize("name", rewriter_names())
def test_an_empty_batch_is_rewritten_to_an_empty_batch(name):
    rewritten = build_rewriter(name, {}).rewrite(BATCH.slice(0, 0))
    assert len(rewritten.texts) == rewritten.numbers.num_rows == 0


def test_columns_are_named_once():
    names = [column.name for name in rewriter_names() for column in class_of(name).COLUMNS]
    assert len(names) == len(set(names))


def test_every_rewriter_is_known_to_the_rules_by_its_name():
    assert rewriter_names() == ["c4-lines", "refinedweb-lines", "citations", "pii-mask"]
    assert all(type(build_rewriter(name, {})) is class_of(name) for name in rewriter_names())
    assert all(hasattr(class_of(name), "rewrite") == provider.rewrites for name, provider in PROVIDERS.items())


def test_pii_can_be_masked_or_be_a_reason_to_reject():
    assert PRESETS["pii"].rewriters == ("pii-mask",) and not PRESETS["pii"].rules
    columns = {column.name for column in class_of("pii-mask").COLUMNS}
    assert {rule.statistic for rule in PRESETS["pii-reject"].rules} == columns
    assert all(rule.maximum == 0.0 and not rule.not_kinds for rule in PRESETS["pii-reject"].rules)


def test_kernels_compile_ahead_of_workers():
    compile_kernels()
