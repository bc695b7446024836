"""What the report adds up by itself: costs, losses by source, histograms, samples, and the words for a fault."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpusmill.dataproc.documents import LEDGER_SCHEMA
from corpusmill.dataproc.rules import Rule
from corpusmill.pipelines.inspect.cost import MOST_MARKERS, stage_cost
from corpusmill.pipelines.report.by_source import ROWS_SHOWN, losses_by
from corpusmill.pipelines.report.costs import costs
from corpusmill.pipelines.report.removals import EXAMPLES, Example, RuleLine, ledger_lines
from corpusmill.pipelines.report.stages import StageOutput
from corpusmill.pipelines.report.statistics import (
    LOG_BINS,
    SHARE_BINS,
    bar_path,
    log_bins,
    share_bins,
    statistic_histograms,
)
from corpusmill.pipelines.stages.filter.report import fault_of


def output(folder: Path, name: str = "clean", stage: str = "filter", **manifest: Any) -> StageOutput:
    whole = {"stage": stage, "counts": {}, "facts": {}, "settings": {}, "parts": [], "files": []} | manifest
    return StageOutput(name, str(folder), whole)


def write_marker(folder: Path, task: str, **values: Any) -> None:
    path = folder / f"_state/measure/{task}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"task": task, "result": {}, "attempt": 1} | values))


def test_core_hours_and_hosts_are_sums_over_markers(tmp_path: Path) -> None:
    write_marker(tmp_path, "a", seconds=1800.0, worker="one:11")
    write_marker(tmp_path, "b", seconds=900.0, worker="one:12", attempt=2)
    write_marker(tmp_path, "c", seconds=900.0, worker="two<b>:11")
    (tmp_path / "_state/seconds.json").write_text('{"seconds": 2000.0, "engine": "3 workers"}')
    shown = costs([output(tmp_path)], 0.5)
    (row,) = shown["rows"]
    assert (row["core_hours"], row["dollars"], row["tasks"], row["retried"]) == ("1.00", "0.5000", "3", "1")
    assert (row["time"], row["engine"]) == ("33:20", "3 workers")
    hosts = [(host["name"], host["tasks"], host["core_hours"], host["share"]) for host in shown["hosts"]]
    assert hosts == [("one", "2", "0.7500", "75.0 %"), ("two<b>", "1", "0.2500", "25.0 %")]
    assert "$0.5 a core-hour" in shown["note"] and not costs([output(tmp_path)], None)["priced"]


def test_training_keeps_as_many_cores_as_threads_times_ranks(tmp_path: Path) -> None:
    write_marker(tmp_path, "train", seconds=10.0, worker="one:1")
    cost = stage_cost(str(tmp_path), {"facts": {"threads": 4, "ranks": 2}})
    assert cost.core_seconds == 80.0 and not cost.estimated


def test_costs_of_many_tasks_are_estimated_and_said_to_be(tmp_path: Path) -> None:
    tasks = MOST_MARKERS * 2 + 10
    for number in range(tasks):
        write_marker(tmp_path, f"part-{number:05}", seconds=2.0, worker=f"host-{number % 3}:1")
    cost = stage_cost(str(tmp_path), {})
    assert cost.tasks == tasks and cost.estimated
    assert cost.core_seconds == pytest.approx(2.0 * tasks)
    assert sum(work.tasks for work in cost.hosts.values()) == pytest.approx(tasks)


def test_a_stage_without_its_state_costs_nothing_that_is_known(tmp_path: Path) -> None:
    assert costs([output(tmp_path / "nowhere")], 1.0)["rows"] == []


def test_losses_by_source_are_shares_of_what_came_into_each_stage(tmp_path: Path) -> None:
    first = output(
        tmp_path, "in", parts=[{"rows": 5, "sources": {"web<i>": 4, "books": 1}}, {"sources": {"web<i>": 4}}]
    )
    second = output(tmp_path, "clean", parts=[{"rows": 3, "sources": {"web<i>": 2, "books": 1}}])
    third = output(tmp_path, "unique", parts=[{"rows": 1, "sources": {"books": 1}}])
    (table,) = losses_by([first, second, third])
    assert [name for name, _ in table["columns"]] == ["source", "in", "clean", "lost there", "unique", "lost there"]
    assert table["rows"] == [
        ("web<i>", [("8", "0.0 %"), ("2", "75.0 %"), ("0", "100.0 %")]),
        ("books", [("1", "0.0 %"), ("1", "0.0 %"), ("1", "0.0 %")]),
    ]


def test_languages_are_shown_from_the_stage_that_knows_them(tmp_path: Path) -> None:
    raw = output(tmp_path, "in", parts=[{"rows": 3, "languages": {"(unknown)": 3}}])
    clean = output(tmp_path, "clean", parts=[{"rows": 2, "languages": {"ar": 2}}])
    unique = output(tmp_path, "unique", parts=[{"rows": 1, "languages": {"ar": 1}}])
    (table,) = losses_by([raw, clean, unique])
    assert table["rows"] == [("ar", [("2", "0.0 %"), ("1", "50.0 %")])]
    assert losses_by([raw, clean]) == []


def test_sources_beyond_those_shown_are_added_up(tmp_path: Path) -> None:
    sources = {f"source-{number:03}": 2 for number in range(ROWS_SHOWN + 7)}
    stages = [output(tmp_path, name, parts=[{"rows": 1, "sources": sources}]) for name in ("in", "clean")]
    (table,) = losses_by(stages)
    assert len(table["rows"]) == ROWS_SHOWN + 1 and table["hidden"] == 7
    assert table["rows"][-1] == ("7 others", [("14", "0.0 %"), ("14", "0.0 %")])


@given(st.lists(st.floats(-1e6, 1e12), max_size=50))
def test_every_value_has_one_bin_and_bins_rise_with_values(values: list[float]) -> None:
    ordered = np.sort(np.array(values, np.float64))
    for bins, count in ((share_bins(ordered), SHARE_BINS), (log_bins(ordered), LOG_BINS)):
        assert len(bins) == len(values) and ((bins >= 0) & (bins < count)).all()
        assert (np.diff(bins) >= 0).all()


def test_bars_are_square_roots_of_counts_and_none_is_lost() -> None:
    assert (
        bar_path(np.array([0, 100, 25, 1_000_000]), 1_000_000)
        == "M10 100v-1.0h9V100zM20 100v-1.0h9V100zM30 100v-100.0h9V100z"
    )
    assert bar_path(np.array([100, 25]), 100) == "M0 100v-100.0h9V100zM10 100v-50.0h9V100z"


def filtered(folder: Path, parts: int, rows: int) -> StageOutput:
    """A filter's side tables: in every part documents with 0 to `rows` - 1 words, those under 3 rejected."""
    files = []
    for number in range(parts):
        ids = [f"{number}-{row}" for row in range(rows)]
        words = np.arange(rows, dtype=np.int64)
        tables = {
            "statistics": pa.table({"id": ids, "word_count": words, "share": words / rows, "language": ["en"] * rows}),
            "ledger": pa.table([ids[:3], ["words"] * 3, [0.0, 1.0, 2.0], [3.0] * 3], schema=LEDGER_SCHEMA),
            "rejected": pa.table(
                {
                    "id": ids[:3],
                    "text": ["<b>\u202e" + "x" * 500] * 3,
                    "source": ["s"] * 3,
                    "language": [None, "ar", "fr"],
                }
            ),
        }
        for name, table in tables.items():
            path = f"_{name}/part-{number:05}.parquet.side"
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(table, folder / path)
            files.append({"path": path, "rows": table.num_rows})
    return output(folder, files=files)


def test_histograms_count_all_documents_and_those_that_broke_a_rule(tmp_path: Path) -> None:
    stage = filtered(tmp_path, parts=2, rows=10)
    rules = [Rule("words", "word_count", minimum=3), Rule("few", "share", maximum=0.95), Rule("e", expression="a == 1")]
    first, second = statistic_histograms(stage, rules)
    assert (first["statistic"], first["rules"], first["broke"]) == ("word_count", ["words: at least 3"], 6)
    assert (first["bins"], first["labels"]) == (10, ("0", "", "9"))
    assert first["all"] == bar_path(np.full(10, 2), 2) and first["some"] == bar_path(np.array([2, 2, 2]), 2)
    assert first["marks"] == [pytest.approx(0.35)]
    assert (second["statistic"], second["bins"], second["some"]) == ("share", SHARE_BINS, "")
    assert second["marks"] == [pytest.approx(0.95)]


def test_samples_come_from_parts_far_apart_and_are_counted_with_no_more_than_the_ledger(tmp_path: Path) -> None:
    (line,) = ledger_lines(filtered(tmp_path / "many", parts=8, rows=10))
    assert (line.name, line.broke, line.only) == ("words", 24, 24)
    assert len({example.document.split("-")[0] for example in line.examples}) == EXAMPLES
    assert "\\u202e" in line.examples[0].text and "more characters" in line.examples[0].text
    (line,) = ledger_lines(filtered(tmp_path / "one", parts=1, rows=10))
    assert sorted(example.document for example in line.examples) == ["0-0", "0-1", "0-2"]


@pytest.mark.parametrize(
    ("rule", "value", "language", "said"),
    [
        (Rule("a/words", "word_count", minimum=50), 12.0, "en", "word_count is 12; at least 50 is required"),
        (Rule("w", "n", minimum=2, maximum=9), 12.0, "en", "n is 12; 2 to 9 is required"),
        (Rule("w", "n", maximum=0.3), float("nan"), "en", "n was not measured; at most 0.3 is required"),
        (Rule("w", expression="a == 1"), 0.0, "en", "it does not satisfy a == 1"),
        (None, 0.9, "ar", "its language is ar, with a score of 0.90; only en, de are kept"),
        (None, 0.4, None, "no language was certain enough: the most likely one scores 0.40; 0.65 is required"),
    ],
)
def test_a_fault_is_said_in_words(rule: Rule | None, value: float, language: str | None, said: str) -> None:
    line = RuleLine(rule.name if rule else "language", 1, 1)
    example = Example("id", value, 0.65, "text", "source", language)
    assert fault_of(rule, line, example, {"languages": ["en", "de"]}) == said


def test_counts_of_the_ledger_do_not_depend_on_the_order_of_files(tmp_path: Path) -> None:
    stage = filtered(tmp_path, parts=5, rows=6)
    turned = StageOutput(stage.name, stage.folder, {**stage.manifest, "files": list(stage.manifest["files"])[::-1]})
    assert [line.broke for line in ledger_lines(stage)] == [line.broke for line in ledger_lines(turned)] == [15]
