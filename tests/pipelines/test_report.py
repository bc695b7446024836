"""The report: numbers that agree with the manifests, and no way for a document's text to act in the page."""

import base64
import hashlib
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pyarrow.parquet as pq
import pytest

from corpusmill.dataproc.errors import UserError
from corpusmill.pipelines.cli.main import main
from corpusmill.pipelines.engine import state
from corpusmill.pipelines.inspect.places import run_stages
from corpusmill.pipelines.report import write_report
from corpusmill.pipelines.report.curves import MOST_POINTS, read_curves
from corpusmill.pipelines.report.flow import waterfall
from corpusmill.pipelines.report.lengths import length_histogram
from corpusmill.pipelines.report.removals import largest_clusters, rule_lines, sole_rules
from corpusmill.pipelines.report.stages import StageOutput
from tests.pipelines.small_run import GOOD, add_model, add_shards, make_run, write_manifest

pytest.importorskip("jinja2")
pytest.importorskip("matplotlib")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = make_run(tmp_path_factory.mktemp("report"))
    add_shards(run)
    add_model(run)
    return run


@pytest.fixture(scope="module")
def page(made: Path) -> str:
    path = write_report(str(made), "small & <small>", run_stages(str(made)))
    assert path == f"{made}/report/index.html"
    return Path(path).read_text()


def stage(run: Path, name: str) -> StageOutput:
    manifest = state.read_manifest(str(run / name))
    assert manifest is not None
    return StageOutput(name, str(run / name), manifest)


class Outline(HTMLParser):
    """Tags with their attributes, and the headings' text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.headings: list[str] = []
        self._heading = False
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))
        if tag == "h2":
            self._heading = True
            self.headings.append("")

    def handle_endtag(self, tag: str) -> None:
        self._heading &= tag != "h2"

    def handle_data(self, data: str) -> None:
        if self._heading:
            self.headings[-1] += data


def test_every_stage_has_its_section(page: str) -> None:
    headings = Outline(page).headings
    assert headings == [
        "Summary",
        "Documents",
        "Rules broken clean",
        "Duplicates unique",
        "Tokens and packing shards",
        "Training model",
        "Time and cost",
    ]


def test_text_of_documents_is_escaped_and_made_visible(page: str) -> None:
    assert "&lt;script&gt;alert(&#39;{{ 7 * 7 }}&#39;)&lt;/script&gt;" in page
    assert "␛]0;owned␇" in page
    assert "\\u202etxt.exe" in page
    assert "hostile&lt;b&gt;" in page
    assert "tests&lt;i&gt;" in page
    assert "small &amp; &lt;small&gt;" in page
    assert not {"\x1b", "\x07", "\u202e"} & set(page)
    assert [tag for tag, _ in Outline(page).tags].count("script") == 1


def test_nothing_is_loaded_and_nothing_runs(page: str) -> None:
    for tag, attributes in Outline(page).tags:
        assert tag not in ("link", "img", "iframe", "object", "embed", "base", "image", "form")
        assert not [name for name in attributes if name.startswith("on") or name in ("src", "style", "action")]
        for name in ("href", "xlink:href"):
            assert (attributes.get(name) or "#").startswith("#")
    assert not re.search(r"url\((?!#)", page)


def test_the_policy_names_the_one_style_sheet_and_the_one_script_by_their_digests(page: str) -> None:
    (policy_line,) = re.findall(r'<meta http-equiv="Content-Security-Policy" content="([^"]*)">', page)
    assert policy_line.startswith("default-src 'none'; ") and "unsafe" not in policy_line
    for element, directive in (("style", "style-src"), ("script", "script-src")):
        (inside,) = re.findall(rf"<{element}>(.*?)</{element}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert f"{directive} 'sha256-{digest}';" in policy_line


def test_charts_are_whole_svg_with_ids_of_their_own_and_the_pages_colours(page: str) -> None:
    charts = re.findall(r'<svg class="chart.*?</svg>', page, re.DOTALL)
    assert len(charts) == 4
    for chart in charts:
        ElementTree.fromstring(chart)
        assert "var(--first)" in chart
    ids = re.findall(r'\bid="([^"]*)"', page)
    assert len(ids) == len(set(ids))
    used = set(re.findall(r"url\(#([^)]*)\)", page)) | set(re.findall(r'href="#([^"]*)"', page))
    assert used <= set(ids)


def test_the_waterfall_accounts_for_every_document(made: Path) -> None:
    stages = [stage(made, name) for name in ("documents", "clean", "unique")]
    bars = waterfall(stages)
    assert [(bar.stage, bar.kind) for bar in bars[:3]] == [
        ("documents", "in"),
        ("documents", "loss"),
        ("documents", "kept"),
    ]
    lost = sum(bar.count for bar in bars if bar.kind == "loss")
    assert bars[0].count == GOOD + 4
    assert bars[0].count - lost == bars[-1].count == stages[-1].counts["kept"] == GOOD
    assert [bar.label for bar in bars if bar.stage == "unique"] == [
        "duplicates (exact)",
        "near duplicates (minhash)",
        "kept",
    ]
    assert all(0 <= bar.left <= 100 and bar.left + bar.width <= 100.0001 for bar in bars)


def test_rules_are_counted_with_examples_of_what_they_rejected(made: Path) -> None:
    clean = stage(made, "clean")
    ledger = pq.read_table(made / "clean/_ledger").to_pylist()
    lines = rule_lines(clean, sole_rules(clean))
    assert {line.name for line in lines} == {row["rule"] for row in ledger}
    for line in lines:
        assert line.broke == 1
        assert line.only == (1 if len(ledger) == 1 else 0)
        (example,) = line.examples
        assert example.document == "hostile<b>"
        (row,) = [row for row in ledger if row["rule"] == line.name]
        assert (example.value, example.threshold) == (row["value"], row["threshold"])


def test_clusters_name_the_survivor_and_the_removed(made: Path) -> None:
    clusters = largest_clusters(stage(made, "unique"))
    assert sorted((cluster.removed, *cluster.members) for cluster in clusters) == [(1, "good-1"), (1, "twin")]
    assert {cluster.survivor for cluster in clusters} == {"good-0", "near"}


def test_lengths_count_every_document_once(made: Path) -> None:
    lengths = length_histogram(stage(made, "clean"))
    assert lengths is not None
    assert (lengths.kept.sum(), lengths.rejected.sum()) == (GOOD + 2, 1)
    assert len(lengths.edges) == len(lengths.kept) + 1


def test_stages_that_are_not_there_are_left_out_and_unfinished_ones_named(made: Path, tmp_path: Path) -> None:
    (tmp_path / "later/_state").mkdir(parents=True)
    folders = [("clean", str(made / "clean")), ("later", str(tmp_path / "later"))]
    text = Path(write_report(str(tmp_path), "part", folders)).read_text()
    assert Outline(text).headings == ["Summary", "Documents", "Rules broken clean", "Time and cost"]
    assert "Not finished, and so not here: later." in text
    with pytest.raises(UserError, match="no stage is finished yet"):
        write_report(str(tmp_path), "none", folders[1:])


def test_long_runs_are_averaged_and_a_line_being_written_is_left_out(tmp_path: Path) -> None:
    steps = 2 * MOST_POINTS + 1
    lines = [f'{{"step": {step}, "loss": {step}, "mtp_loss": 0.0}}\n' for step in range(steps)]
    (tmp_path / "metrics.jsonl").write_text("".join(lines) + '{"step": 9999, "lo')
    curves = read_curves(str(tmp_path))
    assert curves is not None
    assert curves.steps_per_point == 3
    expected = [np.arange(steps)[at : at + 3].mean() for at in range(0, steps, 3)]
    np.testing.assert_allclose(curves.columns["loss"], expected)
    assert np.isnan(curves.columns["validation_loss"]).all()
    assert not curves.validation
    assert read_curves(str(tmp_path / "nowhere")) is None


def test_a_missing_library_names_the_extra(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("jinja2", "matplotlib"):
        with monkeypatch.context() as patched:
            patched.setitem(sys.modules, module, None)
            with pytest.raises(UserError, match=r"corpusmill\[report\]"):
                write_report(str(made), "small", run_stages(str(made)))


def test_the_command_writes_where_it_is_told(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "deep/page.html"
    monkeypatch.setattr(sys, "argv", ["corpusmill", "report", str(made), "--output", str(page)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    assert capsys.readouterr().out.strip() == str(page)
    assert page.read_text().startswith("<!doctype html>")


def test_a_tokenizers_facts_are_shown(tmp_path: Path) -> None:
    facts = {"fingerprint": "f" * 32, "ids": 300, "model_rows": 304, "merges": 40, "bytes_per_token": 2.5}
    counts = {"documents_in": 1, "quarantined": 0, "pretokens": 10, "unique_pretokens": 7, "ids": 300}
    settings = {"pattern": "deepseek-v3", "special": "compact"}
    write_manifest(tmp_path, "tokenizer", inputs={}, settings=settings, counts=counts, parts=[], files=[], facts=facts)
    text = Path(write_report(str(tmp_path), "bpe", [("bpe", str(tmp_path))])).read_text()
    assert "Tokenizer bpe" in Outline(text).headings
    assert '<td dir="auto">2.500</td>' in text
