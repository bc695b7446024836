"""A user's own functions as filters, measures and rewriters: named in a recipe or passed in Python, and run as ours."""

import importlib
import json
import sys
from pathlib import Path
from types import ModuleType

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from corpusmill import UserError
from corpusmill.dataproc.measures import functions
from corpusmill.pipelines.calls import filter, ingest
from tests.pipelines.plugin_package import corpusmill as command

MINE = '''
"""Functions of a user's own."""

import pyarrow as pa
import pyarrow.compute as pc


def quiet(batch):
    """Keeps what does not shout."""
    return pc.invert(pc.match_substring(batch.column("text"), "!!"))


def vowels(batch, letters="aeiou"):
    """How many vowels the text has."""
    return [sum(text.count(letter) for letter in letters) for text in batch.column("text").to_pylist()]


def lowered(batch, mark=""):
    if "poison" in batch.column("text").to_pylist():
        raise ValueError("this text is poison")
    return [text.lower() + mark for text in batch.column("text").to_pylist()]


def short(batch):
    return [1.0]


def words(batch):
    return batch.column("text")


def word_count(batch):
    return [1] * len(batch)


def nothing(batch):
    return [None] * len(batch)
'''
RECIPE = """
name: mine
output: run
stages:
  documents: {stage: ingest, inputs: [in.jsonl], source: s}
  clean:
    stage: filter
    datasets: [documents]
    rules: ["mine:quiet"]
    measures: ["mine:vowels"]
    custom_rules: [{name: sung, statistic: vowels, minimum: 2}]
    rewrite: ["mine:lowered"]
    rewriter_settings: {"mine:lowered": {mark: "?"}}
"""
TEXTS = ["Quiet words here.", "LOUD aeiou!!", "Hm.", "poison", *(f"Text number {number}" for number in range(20))]


@pytest.fixture
def site(tmp_path: Path) -> Path:
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "mine.py").write_text(MINE)
    lines = [json.dumps({"id": str(number), "text": text}) for number, text in enumerate(TEXTS)]
    (tmp_path / "in.jsonl").write_text("\n".join(lines) + "\n")
    (tmp_path / "mine.yaml").write_text(RECIPE)
    return folder


@pytest.fixture
def mine(site: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(site)
    monkeypatch.chdir(site.parent)
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    functions.load_function.cache_clear()
    return importlib.import_module("mine")


def rows(folder: Path, column: str) -> list[object]:
    return [
        value for path in sorted(folder.glob("part-*.parquet*")) for value in pq.read_table(path)[column].to_pylist()
    ]


def test_functions_named_in_a_recipe_filter_measure_and_rewrite_in_workers(site: Path) -> None:
    done = command(site, "run", "mine.yaml", "--workers", "2", "--allow-quarantine")
    assert done.returncode == 0, done.stderr
    clean = site.parent / "run/clean"
    assert rows(clean, "text")[:2] == ["quiet words here.?", "text number 0?"]
    assert rows(clean / "_rejected", "id") == ["1", "2"]
    ledger = pq.read_table(clean / "_ledger/part-00000.parquet.side").to_pylist()
    assert ledger == [
        {"id": "1", "rule": "mine:quiet", "value": 0.0, "threshold": 1.0},
        {"id": "2", "rule": "sung", "value": 0.0, "threshold": 2.0},
    ]
    assert rows(clean / "_statistics", "vowels")[:3] == [6.0, 5.0, 0.0]
    assert rows(clean / "_quarantine", "id") == ["3"] and "poison" in str(rows(clean / "_quarantine", "reason")[0])
    manifest = json.loads((clean / "_manifest.json").read_text())
    assert manifest["counts"] == {"documents_in": 24, "kept": 21, "rejected": 2, "quarantined": 1}
    assert manifest["facts"]["documents_that_broke"] == {"mine:quiet": 1, "sung": 1}
    assert manifest["facts"]["documents_rewritten"] == {"mine:lowered": 21}


def test_functions_passed_in_python_make_the_very_same(site: Path, mine: ModuleType) -> None:
    assert command(site, "run", "mine.yaml", "--workers", "2", "--allow-quarantine").returncode == 0
    ingest("in.jsonl", output="documents", source="s")
    manifest = filter(
        "documents",
        output="clean",
        rules=mine.quiet,
        measures=[mine.vowels],
        custom_rules=[{"name": "sung", "statistic": "vowels", "minimum": 2}],
        rewrite=mine.lowered,
        rewriter_settings={mine.lowered: {"mark": "?"}},
    )
    expected = json.loads(Path("run/clean/_manifest.json").read_text())
    for part in ("counts", "facts", "parts"):
        assert manifest[part] == expected[part]
    beside = [[file for file in made["files"] if "quarantine" not in file["path"]] for made in (manifest, expected)]
    assert beside[0] == beside[1]  # quarantine/ names the path that was read


def test_a_function_that_was_changed_makes_the_stage_anew(site: Path, mine: ModuleType) -> None:
    ingest("in.jsonl", output="documents", source="s")
    before = filter("documents", output="clean", rules=[mine.quiet])
    assert filter("documents", output="clean", rules=["mine:quiet"]) == before
    (site / "mine.py").write_text(MINE.replace('"!!"', '"here"'))
    with pytest.raises(UserError, match="source of mine:quiet changed since"):
        filter("documents", output="clean", rules=[mine.quiet])


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"rules": ["nowhere_to_be_found:f"]}, "there is no module 'nowhere_to_be_found'; install it, or put"),
        ({"rules": ["mine:loud"]}, "could not be loaded"),
        ({"rules": ["mine:pa"]}, "not a function"),
        ({"rules": ["mine:short"]}, "mine:short: this function gave 1 values for 24 documents"),
        ({"rules": [], "measures": ["mine:words"]}, "mine:words: this function gave no column of numbers"),
        ({"rules": [], "measures": ["mine:word_count"]}, "the filter itself adds 'word_count'"),
        ({"rules": [], "measures": ["nothing-like-it"]}, "unknown measure 'nothing-like-it'"),
        ({"rules": [], "rewrite": ["mine:vowels"]}, "mine:vowels: this function gave no column of texts"),
        (
            {"rules": [], "rewrite": ["mine:lowered"], "rewriter_settings": {"mine:lowered": {"sign": "?"}}},
            "mine:lowered: the function does not accept a batch and these settings",
        ),
        ({"rules": [lambda batch: batch]}, "it is nameless, or made inside another"),
    ],
)
def test_mistakes_are_one_line_that_names_the_function(mine: ModuleType, settings: dict, line: str) -> None:
    ingest("in.jsonl", output="documents", source="s")
    with pytest.raises(UserError) as caught:
        filter("documents", output="clean", **settings)
    assert line in str(caught.value) and "\n" not in str(caught.value)


def test_null_is_the_documents_fault_until_most_of_them_give_it(mine: ModuleType) -> None:
    batch = pa.record_batch({"text": pa.array(["a", "b"], pa.large_string())})
    with pytest.raises(ValueError, match="mine:nothing gave null"):
        functions.FunctionMeasure("mine:nothing", {}).measure(batch)
    assert functions.FunctionMeasure("mine:vowels", {"letters": "ab"}).measure(batch).to_pydict() == {"vowels": [1, 1]}
    rewritten = functions.FunctionRewriter("mine:lowered", {}).rewrite(batch)
    assert rewritten.texts.equals(batch.column("text")) and rewritten.numbers.to_pydict() == {"lowered_changed": [0, 0]}
