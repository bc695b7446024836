"""Evaluation: calibration and metrics never look at the same document, and draws belong to ids."""

import numpy as np
import pyarrow as pa
import pytest

from corpusmill.dataproc.quality.calibration import apply
from corpusmill.dataproc.quality.evaluation import SCORED_SCHEMA, evaluate, is_for_calibration, is_held_back
from corpusmill.dataproc.quality.metrics import Steps, area_under_roc

IDS = pa.array([f"document-{number}" for number in range(4000)])


def scored(count: int = 4000, seed: int = 0) -> pa.Table:
    draw = np.random.default_rng(seed)
    truth = draw.random(count) < 0.4
    scores = np.clip(draw.normal(0.4 + 0.25 * truth, 0.15), 0, 1)
    languages = pa.array(draw.choice(["en", "de"], count), pa.string())
    columns = {
        "score": pa.array(scores),
        "is_positive": pa.array(truth),
        "for_calibration": pa.array(is_for_calibration(IDS.slice(0, count), 0)),
        "language": languages.dictionary_encode(),
        "source": pa.array(["web"] * count).dictionary_encode(),
        "kind": pa.nulls(count, pa.string()).dictionary_encode(),
    }
    return pa.table(columns, schema=SCORED_SCHEMA)


def test_draws_are_of_ids_and_a_share_is_a_share() -> None:
    held_back = is_held_back(IDS, 0.25, 3)
    assert held_back.mean() == pytest.approx(0.25, abs=0.03)
    np.testing.assert_array_equal(is_held_back(IDS.slice(100, 50), 0.25, 3), held_back[100:150])
    assert not (is_held_back(IDS, 0.2, 3) & ~held_back).any()
    halves = is_for_calibration(IDS, 3)[held_back]
    assert halves.mean() == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize("method", ["platt", "isotonic"])
def test_metrics_are_of_documents_that_calibration_has_not_seen(method: str) -> None:
    table = scored()
    record = evaluate(table, method)
    rest = ~table["for_calibration"].to_numpy()
    scores, truth = table["score"].to_numpy()[rest], table["is_positive"].to_numpy()[rest]
    final = apply(record["calibration"], scores)
    assert record["metrics"]["documents"] == {"measured": int(rest.sum()), "calibrated_by": int((~rest).sum())}
    assert record["metrics"]["overall"]["auc"] == area_under_roc(Steps.of(final, truth))
    assert record["metrics"]["overall"]["auc"] == pytest.approx(area_under_roc(Steps.of(scores, truth)), abs=0.01)
    assert record["metrics"]["reliability"]["expected_error"] < record["metrics"]["reliability_raw"]["expected_error"]


def test_results_do_not_depend_on_the_order_of_documents() -> None:
    table = scored()
    order = np.random.default_rng(1).permutation(table.num_rows)
    one, other = evaluate(table, "isotonic"), evaluate(table.take(pa.array(order)), "isotonic")
    assert one["metrics"]["overall"] == pytest.approx(other["metrics"]["overall"])
    for language in ("de", "en"):
        groups, again = (record["metrics"]["by_language"][language] for record in (one, other))
        assert groups == pytest.approx(again)
    assert one["calibration"]["scores"] == other["calibration"]["scores"]


def test_languages_are_told_apart_and_what_has_none_is_unknown() -> None:
    metrics = evaluate(scored(), "none")["metrics"]
    assert set(metrics["by_language"]) == {"en", "de"}
    assert set(metrics["by_kind"]) == {"unknown"}
    assert metrics["documents"] == {"measured": 4000, "calibrated_by": 0}
    parts = metrics["by_language"].values()
    assert sum(part["positive"] for part in parts) == metrics["overall"]["positive"]


def test_too_few_documents_are_not_calibrated_by_and_that_is_said() -> None:
    record = evaluate(scored(30), "platt")
    assert record["calibration"] is None
    assert "20 of each are needed" in record["metrics"]["not_calibrated"]
    empty = evaluate(SCORED_SCHEMA.empty_table(), "platt")["metrics"]
    assert (empty["overall"]["auc"], empty["roc"], empty["by_language"]) == (None, [], {})
