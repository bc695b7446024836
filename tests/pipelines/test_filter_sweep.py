"""`filter sweep` and `filter --show`: what a sweep says is what a run with that threshold keeps."""

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from corpusmill.dataproc.datasets import read_batches
from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.sweep import SweepResult, sweep
from corpusmill.pipelines.inspect.places import recognise
from corpusmill.pipelines.inspect.why import explain
from corpusmill.pipelines.stages.filter.sweeping import plan_sweep
from tests.pipelines.small_dataset import write_dataset
from tests.pipelines.small_run import prose
from tests.pipelines.test_stage_inputs import run

RULES = ["gopher-quality", "fineweb/short-lines", "starcoder"]
CUSTOM = [{"name": "no-news", "expression": "source != 'news' or word_count > 100"}]


def corpusmill(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "corpusmill", *arguments], capture_output=True, text=True, timeout=120)


def documents() -> list[dict[str, Any]]:
    draw = random.Random(5)
    rows: list[dict[str, Any]] = []
    for number in range(60):
        text = " ".join(prose(number).split(" ")[: draw.randint(10, 150)])
        comment = text.replace("\n", "\n# ")
        rows.append(
            {
                "id": f"d{number}",
                "text": text if number % 5 else "value = another\n" * number + f"# {comment}\n",
                "kind": "web" if number % 5 else "code",
                "source": draw.choice(["books", "news", "wiki"]),
                "language": draw.choice(["en", None, "de"]) if number % 5 else "python",
            }
        )
    return rows


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Documents, and a filter of them with several rules, an expression and languages to keep."""
    folder = tmp_path_factory.mktemp("swept")
    rows = documents()
    write_dataset(folder / "documents", rows[:25], rows[25:])
    filtered(folder, "clean")
    return folder


def filtered(folder: Path, name: str, **more: Any) -> dict[str | None, tuple[int, int]]:
    """Runs the filter; {source: (kept documents, their bytes)}, of all under None."""
    settings = {"rules": RULES, "custom_rules": CUSTOM, "languages": ["en", "de"]} | more
    run("filter", folder / name, datasets=[str(folder / "documents")], **settings)
    return kept_in(folder / name)


def kept_in(folder: Path) -> dict[str | None, tuple[int, int]]:
    counts: dict[str | None, tuple[int, int]] = {}
    for file in sorted(folder.glob("part-*.parquet")):
        for row in pq.read_table(file).to_pylist():
            for key in (None, row["source"]):
                before = counts.get(key, (0, 0))
                counts[key] = (before[0] + 1, before[1] + len(row["text"].encode()))
    return counts


def swept(folder: Path, ranges: list[str], **more: Any) -> SweepResult:
    plan = plan_sweep(str(folder), ranges, **more)
    batches = (batch for path in plan.files for batch in read_batches(path, list(plan.columns)))
    return sweep(batches, plan.swept, plan.others, more.get("by", ()))


@pytest.mark.parametrize(
    ("key", "threshold"),
    [("gopher-quality/words.minimum", 80.0), ("fineweb/short-lines", 0.1), ("starcoder/comments.maximum", 0.5)],
)
def test_a_sweep_counts_what_a_filter_with_that_threshold_keeps(folder, key, threshold):
    result = swept(folder / "clean", [f"{key}=0.005,{threshold}"], by=[("source",)])
    kept = filtered(folder, f"again-{key.replace('/', '-')}", thresholds={key: threshold})
    assert kept[None] != kept_in(folder / "clean")[None], "the threshold matters"
    groups = {None: result.total} | {values[0]: counts for values, counts in result.groups["source",].items()}
    assert result.total.documents == 60
    for source, counts in groups.items():
        documents, sizes = counts.together
        assert (documents[1], sizes[1]) == kept.get(source, (0, 0))


def test_rules_overrides_and_expressions_of_the_sweeps_own(folder):
    result = swept(
        folder / "clean",
        ["short_line_fraction_fineweb.maximum=0.05,0.67", "words.minimum=30,60"],
        rules=["gopher-quality"],
        thresholds={"gopher-quality/stop-words": 1.0},
        expressions=["language == 'en' or language is None"],
    )
    rules = [
        {"name": "a", "statistic": "short_line_fraction_fineweb", "maximum": 0.05},
        {"name": "b", "expression": "language == 'en' or language is None"},
    ]
    kept = filtered(folder, "own", rules=["gopher-quality"], custom_rules=rules, languages=["en", "de"],
                    thresholds={"gopher-quality/words.minimum": 60, "gopher-quality/stop-words": 1})  # fmt: skip
    assert (result.total.together[0][0, 1], result.total.together[1][0, 1]) == kept.get(None, (0, 0))


@pytest.mark.parametrize(
    ("ranges", "more", "message"),
    [
        (["wrds=1..2"], {}, "no rule or statistic 'wrds'"),
        (["words=1..2"], {}, "two thresholds"),
        (["words.minimum=1..x"], {}, "not a range"),
        (["words.minimum"], {}, "is not NAME=LO..HI"),
        (["word_count=1..2"], {}, "write word_count.minimum"),
        (["no-news=1..2"], {}, "an expression has no threshold"),
        (["words.minimum=1..2", "words.minimum=3..4"], {}, "swept twice"),
        (["c4/sentences=1..2"], {}, "no column 'c4_sentence_count'"),
        (["words.minimum=1..2"], {"by": [("url",)]}, "cannot break down by"),
        (["words.minimum=1..2"], {"expressions": ["wrd > 1"]}, "unknown column 'wrd'"),
        (["words.minimum=1..2"], {"thresholds": {"word": 1}}, "not one of the rules"),
    ],
)
def test_mistakes_are_named(folder, ranges, more, message):
    with pytest.raises(UserError) as caught:
        plan_sweep(str(folder / "clean"), ranges, **more)
    assert message in str(caught.value)


def test_only_a_finished_filter_can_be_swept(folder):
    assert plan_sweep(str(folder / "clean" / "_statistics"), ["words.minimum=1..2"]).files
    for path in ("documents", "nowhere", "clean/_ledger"):
        with pytest.raises(UserError, match="not the folder of a finished filter"):
            plan_sweep(str(folder / path), ["words.minimum=1..2"])


def test_the_command_prints_tables_and_json(folder):
    arguments = [
        "filter",
        "sweep",
        str(folder / "clean"),
        "--rule",
        "words.minimum=20..80:3",
        "--by",
        "source,kind+language",
    ]
    table = corpusmill(*arguments)
    assert table.returncode == 0, table.stderr
    assert "60 documents" in table.stdout
    assert "now 50" in table.stdout
    result = json.loads(corpusmill(*arguments, "--json").stdout)
    assert [row["thresholds"] for row in result["all"]["thresholds"]] == [[20.0], [50.0], [80.0]]
    assert {group["values"][0] for group in result["by"][0]["groups"]} == {"books", "news", "wiki"}
    for breakdown in result["by"]:
        for place in range(3):
            for how in ("alone", "together"):
                parts = [group["thresholds"][place][how]["bytes"] for group in breakdown["groups"]]
                assert sum(parts) == result["all"]["thresholds"][place][how]["bytes"]


def test_show_needs_neither_datasets_nor_output():
    shown = corpusmill("filter", "--show", "gopher-quality")
    assert shown.returncode == 0, shown.stderr
    assert "Rae et al. 2021" in shown.stdout
    assert "\x1b" not in shown.stdout
    wrong = corpusmill("filter", "--show", "gopher-qualty")
    assert (wrong.returncode, wrong.stderr.count("\n")) == (2, 1)
    assert "did you mean 'gopher-quality'?" in wrong.stderr


def test_help_of_both_commands_has_an_example():
    for arguments, said in (
        (["filter", "--help"], "filter [OPTIONS]"),
        (["filter", "sweep", "--help"], "filter sweep ["),
    ):
        done = corpusmill(*arguments)
        assert done.returncode == 0
        assert said in done.stdout
        assert "Example: " in done.stdout


def test_why_tells_of_expressions(folder):
    place = recognise(str(folder / "clean"))
    rows = [row for file in (folder / "clean" / "_ledger").iterdir() for row in pq.read_table(file).to_pylist()]
    broken = next(row["id"] for row in rows if row["rule"] == "no-news")
    reason = explain(place, broken)
    assert reason.fate == "rejected"
    assert any(line.startswith("no-news: 0 is below 1") for line in reason.lines)
