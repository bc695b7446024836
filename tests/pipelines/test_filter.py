"""The filter stage as a whole: measured as it came in, decided, then rewritten; and nothing of it is silent."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from corpusmill.dataproc.errors import UserError
from corpusmill.pipelines.engine.stage import Finished
from corpusmill.pipelines.stages.filter.about import FILTER
from tests.pipelines.small_dataset import write_dataset
from tests.pipelines.small_run import prose
from tests.pipelines.test_cli import corpusmill
from tests.pipelines.test_stage_inputs import run

SENTENCES = "The mill grinds the grain slowly. It is as old as the river. Nobody knows who built it first."
BROKEN_LINES = "home | about | contact\nplease enable javascript to see this page.\nshort one"


def table(folder: Path, name: str = "") -> dict[str, dict[str, Any]]:
    """Rows of a dataset's parts, or of what stands beside them, by id."""
    files = sorted((folder / (f"_{name}" if name else "")).glob("part-*.parquet*"))
    return {row["id"]: row for file in files for row in pq.read_table(file).to_pylist()}


def filtered(tmp_path: Path, rows: list[dict[str, Any]], name: str = "clean", **settings: Any) -> tuple[Path, Finished]:
    """Filters rows in two parts."""
    documents = tmp_path / "documents"
    if not documents.exists():
        write_dataset(documents, rows[: len(rows) // 2], rows[len(rows) // 2 :])
    done = run("filter", tmp_path / name, datasets=[str(documents)], **settings)
    counts = done.manifest["counts"]
    assert counts["documents_in"] == len(rows) == counts["kept"] + counts["rejected"] + counts.get("quarantined", 0)
    return tmp_path / name, done


def test_kept_documents_are_rewritten_and_rejected_ones_keep_their_text(tmp_path):
    good = f"{SENTENCES}\n{SENTENCES}\n{BROKEN_LINES}"
    rows = [
        {"id": "good", "text": good},
        {"id": "clean", "text": f"{SENTENCES}\n{SENTENCES}"},
        {"id": "few", "text": f"One sentence of it is all.\n{BROKEN_LINES}"},
    ]
    folder, done = filtered(tmp_path, rows, rules=["c4"])
    kept, rejected = table(folder), table(folder, "rejected")
    assert kept["good"]["text"] == kept["clean"]["text"] == f"{SENTENCES}\n{SENTENCES}"
    assert rejected["few"]["text"] == rows[2]["text"], "what the rules saw"
    assert "c4/sentences" in rejected["few"]["broken_rules"]
    assert table(folder, "rewrites") == {
        "good": {
            "id": "good", "rule": "c4-lines",
            "bytes_before": len(good), "bytes_after": len(f"{SENTENCES}\n{SENTENCES}"),
        }
    }  # fmt: skip
    assert done.manifest["facts"]["documents_rewritten"] == {"c4-lines": 1}
    statistics = table(folder, "statistics")
    assert statistics["good"]["byte_count"] == len(good), "measured as it came in"
    assert statistics["few"]["c4_sentence_count"] == 1


def test_rules_that_a_document_is_not_asked_are_counted(tmp_path):
    """C4's lines end in English marks; how many documents went unasked is in the manifest and the summary."""
    rows = [
        {"id": "zh", "text": "这是第一句话。这是第二句话！\n菜单"},
        {"id": "hi", "text": "यह पहला वाक्य है। यह दूसरा वाक्य है।"},
        {"id": "en", "text": "This is not one of five sentences."},
        {"id": "code", "text": "print('这是第一句话。')", "kind": "code"},
    ]
    folder, done = filtered(tmp_path, rows, rules=["c4"])
    assert set(table(folder)) == {"zh", "hi", "code"}
    assert table(folder)["zh"]["text"] == rows[0]["text"]
    passed_by = done.manifest["facts"]["documents_not_asked"]
    assert passed_by == {"c4/curly-brackets": 2, "c4/lorem-ipsum": 2, "c4/sentences": 2}
    lines = dict(FILTER.rows(done.manifest["counts"], done.manifest["facts"]))
    assert lines["  exempt from 3 rules of c4"] == "2"


def test_a_rule_over_what_a_rewriter_would_take_out_rewrites_nothing(tmp_path):
    rows = [{"id": str(n), "text": f"{SENTENCES}\n" * n + BROKEN_LINES} for n in range(1, 5)]
    folder, done = filtered(tmp_path, rows, rules=["c4/sentences"])
    assert {name: row["text"] for name, row in table(folder).items()} == {
        row["id"]: row["text"] for row in rows if int(row["id"]) >= 2
    }
    assert not (folder / "_rewrites").exists()
    assert "documents_rewritten" not in done.manifest["facts"]


def test_rewriters_run_in_the_order_given_and_each_is_told(tmp_path):
    text = f"{SENTENCES}\nWrite to me at someone@example.com or [citation needed] to them.\nshort one"
    rows = [{"id": "a", "text": text}, {"id": "b", "text": SENTENCES}]
    folder, done = filtered(tmp_path, rows, rules=[], rewrite=["citations", "c4-lines"])
    assert table(folder)["a"]["text"] == f"{SENTENCES}\nWrite to me at someone@example.com or  to them."
    assert done.manifest["facts"]["documents_rewritten"] == {"citations": 1, "c4-lines": 1}
    rewrites = pq.read_table(folder / "_rewrites").to_pylist()
    assert [(row["id"], row["rule"]) for row in rewrites] == [("a", "citations"), ("a", "c4-lines")]
    assert rewrites[0]["bytes_after"] == rewrites[1]["bytes_before"]


def test_a_document_of_which_rewriting_leaves_nothing_is_rejected_and_one_that_was_empty_is_not(tmp_path):
    rows = [{"id": "menu", "text": BROKEN_LINES}, {"id": "empty", "text": " \n"}, {"id": "good", "text": SENTENCES}]
    folder, _ = filtered(tmp_path, rows, rules=[], rewrite=["c4-lines"])
    assert table(folder, "rejected")["menu"]["broken_rules"] == "empty-after-rewriting"
    assert table(folder, "rejected")["menu"]["text"] == BROKEN_LINES
    assert table(folder, "ledger")["menu"]["value"] == 0.0
    assert "good" in table(folder)
    assert "menu" not in table(folder, "rewrites")


def test_the_embedded_model_fills_languages_that_the_input_did_not_name(tmp_path):
    german = "Die Mühle mahlt langsam, und das Mehl ist so fein, wie der Müller es sich gewünscht hat. " * 3
    rows = [
        {"id": "unknown", "text": german},
        {"id": "named", "text": german, "language": "nds"},
        {"id": "script", "text": german, "language": "nds_Latn"},
        {"id": "english", "text": SENTENCES * 3},
        {"id": "code", "text": "def mill(grain):\n    return grain\n" * 5, "kind": "code", "language": "python"},
    ]
    folder, _ = filtered(tmp_path, rows, rules=[], languages=["de", "nds"])
    kept, statistics = table(folder), table(folder, "statistics")
    named = {"unknown": "de", "named": "nds", "script": "nds_Latn", "code": "python"}
    assert {name: row["language"] for name, row in kept.items()} == named
    assert table(folder, "rejected")["english"]["broken_rules"] == "language"
    assert table(folder, "rejected")["english"]["language"] == "en"
    assert statistics["named"]["language_score"] == statistics["code"]["language_score"] == 1.0
    assert 0.65 <= statistics["unknown"]["language_score"] <= 1.0


def test_statistics_carry_what_a_sweep_groups_by(tmp_path):
    rows = [{"id": str(n), "text": prose(n), "source": f"s{n % 2}", "kind": "docs"} for n in range(4)]
    folder, _ = filtered(tmp_path, rows, rules=[])
    for row in table(folder, "statistics").values():
        assert (row["source"], row["kind"], row["language"]) == (f"s{int(row['id']) % 2}", "docs", None)


def test_expressions_decide_over_numbers_and_labels(tmp_path):
    rows = [{"id": f"{source}-{n}", "text": "word " * n, "source": source} for source in ("a", "b") for n in (5, 50)]
    rule = {"name": "long", "expression": "source == 'b' or word_count >= 20"}
    folder, done = filtered(tmp_path, rows, rules=[], custom_rules=[rule])
    assert set(table(folder)) == {"a-50", "b-5", "b-50"}
    assert table(folder, "ledger") == {"a-5": {"id": "a-5", "rule": "long", "value": 0.0, "threshold": 1.0}}
    assert done.manifest["facts"]["rules_in_force"][0]["expression"] == rule["expression"]


def test_rules_may_look_at_numbers_that_documents_bring(tmp_path):
    documents = write_dataset(tmp_path / "documents", [{"id": str(n), "text": prose(n)} for n in range(4)])
    part = documents / "part-00000.parquet"
    scored = pq.read_table(part).append_column("quality_score", pa.array([0.1, 0.4, 0.6, 0.9]))
    pq.write_table(scored, part)
    rule = {"name": "good", "statistic": "quality_score", "minimum": 0.5}
    settings = {"datasets": [str(documents)], "rules": [], "custom_rules": [rule]}
    with pytest.raises(UserError, match="unknown statistic 'quality_score'"):
        run("filter", tmp_path / "clean", **settings)
    run("filter", tmp_path / "clean", **settings, document_columns=["quality_score"])
    assert set(table(tmp_path / "clean")) == {"2", "3"}
    assert table(tmp_path / "clean", "statistics")["0"]["quality_score"] == 0.1
    with pytest.raises(UserError, match="no column 'rank'"):
        run("filter", tmp_path / "other", datasets=[str(documents)], rules=[], document_columns=["rank"])


def test_a_document_is_judged_the_same_in_any_company(tmp_path):
    texts = [prose(n) for n in range(6)] + ["", "short", BROKEN_LINES, SENTENCES, "漢字" * 200, "a\n" * 300]
    rows = [{"id": str(n), "text": text} for n, text in enumerate(texts)]
    settings = {"rules": ["gopher-quality", "gopher-repetition", "c4", "fineweb"], "language_model": "embedded"}
    together, _ = filtered(tmp_path, rows, **settings)
    for row in rows:
        alone = tmp_path / f"alone-{row['id']}"
        write_dataset(alone / "documents", [row])
        run("filter", alone / "clean", datasets=[str(alone / "documents")], **settings)
        for name in ("", "rejected", "statistics", "rewrites"):
            assert table(alone / "clean", name).get(row["id"]) == table(together, name).get(row["id"])


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"rules": ["gopher-qualty"]}, "did you mean 'gopher-quality'"),
        ({"rules": ["url"]}, "url_lists"),
        ({"rules": [], "rewrite": ["c4-line"]}, "did you mean 'c4-lines'"),
        (
            {"rules": [], "rewriter_settings": {"c4-lines": {"minimum_wordz": 3}}, "rewrite": ["c4-lines"]},
            "minimum_wordz",
        ),
        ({"rules": [], "custom_rules": [{"name": "x", "expression": "word_cont > 3"}]}, "did you mean 'word_count'"),
        ({"rules": [], "custom_rules": [{"name": "x", "expression": "__import__('os')"}]}, "rule x"),
        ({"rules": ["url"], "url_lists": {"domans": __file__}}, "domans"),
        ({"rules": ["toxicity"], "word_list": "/nowhere/words.txt"}, "/nowhere/words.txt"),
        ({"rules": ["c4"], "word_list": __file__}, r"add the preset: rules: \[toxicity\]"),
        ({"rules": ["c4"], "rewriter_settings": {"citations": {}}}, r"add it: rewrite: \[citations\]"),
    ],
)
def test_a_mistake_is_one_line_before_anything_is_written(tmp_path, settings, what):
    documents = write_dataset(tmp_path / "documents", [{"id": "a", "text": "a"}])
    with pytest.raises(UserError, match=what):
        run("filter", tmp_path / "clean", datasets=[str(documents)], **settings)
    assert not (tmp_path / "clean").exists()


def test_a_changed_list_is_a_changed_input(tmp_path):
    words = tmp_path / "words.txt"
    words.write_text("river\n")
    rows = [{"id": "a", "text": "the river is wide and old"}, {"id": "b", "text": "the mill is old and slow"}]
    settings = {"rules": ["toxicity"], "word_list": str(words)}
    folder, _ = filtered(tmp_path, rows, **settings)
    assert set(table(folder)) == {"b"}
    words.write_text("mill and river\n")
    with pytest.raises(UserError, match="overwrite"):
        filtered(tmp_path, rows, **settings)


def test_datatroves_token_ngrams_are_measured_where_a_rule_looks_at_them_or_they_are_asked_for(tmp_path):
    rows = [{"id": str(n), "text": prose(n)} for n in range(2)]
    column = "duplicate_5gram_character_fraction_datatrove"
    for name, there, settings in (
        ("plain", False, {"rules": ["gopher-repetition"]}),
        ("rule", True, {"rules": ["gopher-repetition-datatrove/duplicate-5grams"]}),
        ("asked", True, {"rules": [], "token_ngrams": True}),
    ):
        folder, _ = filtered(tmp_path, rows, name, **settings)
        assert (column in table(folder, "statistics")["0"]) == there


def test_an_expression_can_be_a_flag(tmp_path):
    documents = write_dataset(tmp_path / "documents", [{"id": str(n), "text": "word " * n} for n in (5, 50)])
    line = ["filter", str(documents), "--output", str(tmp_path / "clean"), "--rules", "gopher-quality/hash-marks"]
    done = corpusmill(*line, "--keep-if", "word_count >= 20, 1", "--workers", "1")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "rule keep-if" in done.stderr
    done = corpusmill(*line, "--keep-if", "min(word_count, 40) >= 20", "--workers", "1")
    assert done.returncode == 0, done.stderr
    assert set(table(tmp_path / "clean")) == {"50"}
    assert table(tmp_path / "clean", "ledger")["5"]["rule"] == "keep-if"
