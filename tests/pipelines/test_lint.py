"""Lint of token sets: every planted fault is seen by its check, and sound sets are left in peace.

The faults are those of `benchmarks/lint_faults.py`; the table of them in docs/lint.md is held against the code below.
"""

import json
import re
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from benchmarks.lint_faults import FAULTS, Fault, sound_columns
from benchmarks.lint_material import Material, documents_of, work_of, write_set
from corpusmill.dataproc import storage
from corpusmill.dataproc.documents import SCHEMA
from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.exchange.formats import format_named
from corpusmill.dataproc.exchange.items import Items, sequence_items, shard_batches
from corpusmill.dataproc.exchange.joining import joined_documents, shard_documents
from corpusmill.dataproc.lint.findings import Finding
from corpusmill.dataproc.sequences.shards import list_shards
from corpusmill.pipelines.cli.inspect_lint import expected_shares
from corpusmill.pipelines.cli.main import app
from corpusmill.pipelines.inspect.lint import Linted, LintOptions, lint
from corpusmill.pipelines.stages.pack.work.encoding import encode_documents, shard_header
from corpusmill.tokenizer.counting.counts import count_pretokens
from corpusmill.tokenizer.formats.files import write_tokenizer
from corpusmill.tokenizer.learning.bpe import train_merges
from corpusmill.tokenizer.special import layout_named

ROOT = Path(__file__).parents[2]


def learn(folder: Path, texts: pa.Array, size: int, layout: str, pattern: str) -> str:
    special = layout_named(layout)
    merges = train_merges(count_pretokens(texts, pattern), special.model_size(size), list(special.first))
    write_tokenizer(str(folder), merges, layout, pattern, {})
    return str(folder)


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    """Pieces of Python's own sources from two sources, and two tokenizers."""
    folder = tmp_path_factory.mktemp("material")
    stdlib = Path(sysconfig.get_path("stdlib"))
    texts = []
    for number, path in enumerate(sorted([*stdlib.glob("[a-s]*.py"), *stdlib.glob("email/*.py")])):
        text = path.read_text("utf-8", errors="ignore").replace("\ufffd", "")
        size = 500 + 397 * number % 1500
        texts += [text[at : at + size] for at in range(0, min(len(text), 4 * size), size)]
    rows = [
        {"id": f"d{number}", "text": text, "source": "ab"[number % 3 == 0], "kind": "code", "language": "python"}
        for number, text in enumerate(texts)
    ]
    documents = pa.RecordBatch.from_pylist(rows, schema=SCHEMA)
    tokenizer = learn(folder / "tokenizer", documents["text"], 1200, "compact", "deepseek-v3")
    other = learn(folder / "other", pc.utf8_upper(documents["text"]), 1000, "gpt2", "gpt2")
    return Material(documents=documents, tokenizer=tokenizer, other=other, length=256, rows=128)


def options(material: Material, **more: Any) -> LintOptions:
    return LintOptions(**({"tokenizer": material.tokenizer} | more))


def alarms(linted: Linted) -> list[Finding]:
    """Errors and warnings."""
    return [finding for finding in linted.report.findings if finding.severity != "note"]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.what)
def test_a_planted_fault_is_seen_by_its_check(fault: Fault, material: Material, tmp_path: Path) -> None:
    planted = fault.plant(tmp_path / "set", material)
    linted = lint(str(planted.path), options(material, **planted.options))
    seen = [finding for finding in alarms(linted) if finding.check == fault.check]
    assert seen, [finding.to_values() for finding in linted.report.findings]
    assert all(finding.seen and finding.expected and finding.hint for finding in seen)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"bos": True, "boundary_split": 0.0},
        {"policy": "concat", "fim_rate": 0.5, "boundary_split": 1.0},
        {"policy": "none", "bos": True, "fim_rate": 1.0},
    ],
    ids=str,
)
def test_sound_sets_of_ours_are_left_in_peace(settings: dict[str, Any], material: Material, tmp_path: Path) -> None:
    folder = write_set(tmp_path / "set", material, **settings)
    asked = {"source": {"a": 0.66, "b": 0.34}}
    linted = lint(str(folder), options(material, asked=asked, against=str(folder)))
    assert alarms(linted) == []
    assert linted.report.totals.documents == len(material.documents)
    assert linted.report.totals.tokens == len(
        encode_documents(material.documents, work_of(material, **settings)).tokens.values
    )


@pytest.mark.parametrize("unit", ["sequence", "document"])
@pytest.mark.parametrize("kind", ["megatron", "mds", "huggingface", "flat"])
def test_sound_sets_of_other_formats_are_left_in_peace(
    kind: str, unit: str, material: Material, tmp_path: Path
) -> None:
    shards = list_shards(str(write_set(tmp_path / "set", material, bos=True, fim_rate=0.2)))
    module, header = format_named(kind), shard_header(work_of(material))
    items: list[Items] = []
    for path in shards:
        if unit == "sequence":
            items += [sequence_items(head, batch, padding=module.PADDED) for head, batch in shard_batches(path)]
    if unit == "document":
        joined = [shard_documents(path) for path in shards]
        pieces = pa.concat_tables([rest for _, rest in joined]).to_batches()
        items = [*(whole for whole, _ in joined), joined_documents(pieces, header.special.eos)[0]]
    folder = tmp_path / "exported"
    folder.mkdir()
    with module.Writer(str(folder), "shard-00000", header, unit) as writer:
        for one in items:
            writer.write(one)
    for name, content in module.beside([e for e in writer.entries if "rows" in e], header, unit, "").items():
        (folder / name).write_bytes(content)
    linted = lint(str(folder), options(material))
    assert alarms(linted) == []
    assert linted.what == kind
    assert linted.report.totals.tokens == sum(one.text_tokens for one in items)


def test_sound_masks_and_labels_are_left_in_peace(material: Material, tmp_path: Path) -> None:
    planted = sound_columns(tmp_path / "set", material)
    assert alarms(lint(str(planted.path), options(material))) == []


def test_masks_that_are_no_numbers_are_not_passed_over_in_silence(material: Material, tmp_path: Path) -> None:
    planted = sound_columns(tmp_path / "set", material)
    path = planted.path / "train.parquet"
    table = pq.read_table(path)
    flags = pa.array([[bool(one) for one in row] for row in table["loss_mask"].to_pylist()])
    pq.write_table(table.set_column(table.schema.get_field_index("loss_mask"), "loss_mask", flags), path)
    notes = [entry.seen for entry in lint(str(planted.path), options(material)).report.findings]
    assert any("loss_mask does not hold whole numbers" in note for note in notes)


def test_without_a_tokenizer_a_note_says_what_is_not_looked_at(material: Material, tmp_path: Path) -> None:
    folder = write_set(tmp_path / "set", material)
    linted = lint(str(folder), LintOptions())
    assert alarms(linted) == []
    assert [finding.check for finding in linted.report.findings] == ["tokenizer"]
    named = lint(str(folder), LintOptions(tokenizer=material.other))
    assert [finding.check for finding in alarms(named)] == ["tokenizer"]


def test_a_set_behind_a_url_gives_the_same(material: Material, tmp_path: Path) -> None:
    folder = write_set(tmp_path / "set", material)
    for path in folder.iterdir():
        storage.commit_bytes(f"memory://lint/{path.name}", path.read_bytes())
    near, far = (lint(path, options(material)).report.to_values() for path in (str(folder), "memory://lint"))
    assert near == far


def test_the_command_prints_findings_and_exits_with_one_for_errors(
    material: Material, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["corpusmill", "inspect", "lint"])  # the list of commands alone imports none
    sound = str(write_set(tmp_path / "sound", material))
    go: Callable[..., Any] = lambda *words: CliRunner().invoke(app, ["inspect", "lint", *words])  # noqa: E731
    done = go(sound, "--tokenizer", material.tokenizer)
    assert done.exit_code == 0, done.output
    assert done.stdout.rstrip().endswith("0 errors, 0 warnings, 0 notes")
    bad = next(fault for fault in FAULTS if fault.what == "padding inside documents").plant(tmp_path / "bad", material)
    done = go(str(bad.path), "--tokenizer", material.tokenizer)
    assert done.exit_code == 1 and "error  padding:" in done.stdout and "shard-00000.arrow sequence 1" in done.stdout
    done = go(str(bad.path), "--json")
    *findings, last = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.exit_code == 1 and last["set"]["errors"] == sum(f["finding"]["severity"] == "error" for f in findings)
    warned = ["--expect", "source:a=0.8", "--expect", "source:b=0.2"]
    assert [go(sound, *warned).exit_code, go(sound, *warned, "--strict").exit_code] == [0, 1]


def test_shares_that_are_asked_for_are_written_one_way() -> None:
    assert expected_shares(["source:a=b=0.5", "language:de=0"]) == {"source": {"a=b": 0.5}, "language": {"de": 0.0}}
    for wrong in ("a=0.5", "host:a=0.5", "source:a", "source:a=2", "source:a=x"):
        with pytest.raises(UserError, match="is no share"):
            expected_shares([wrong])


def test_what_is_no_set_of_tokens_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        lint(str(tmp_path / "nothing"), LintOptions())
    with pytest.raises(UserError, match="neither token shards"):
        lint(str(tmp_path), LintOptions())


def test_documents_come_back_from_the_faults_own_reader(material: Material, tmp_path: Path) -> None:
    """What plants the faults reads and writes sets as they are: else a fault might be its doing."""
    folder = write_set(tmp_path / "set", material, boundary_split=0.0)
    lists = encode_documents(material.documents, work_of(material, boundary_split=0.0)).tokens
    short = [ids for ids in lists.to_pylist() if len(ids) <= material.length]
    assert sorted(ids.tolist() for ids in documents_of(folder) if len(ids) <= material.length) == sorted(short)


def test_the_page_lists_every_fault() -> None:
    page = (ROOT / "docs/lint.md").read_text()
    listed = re.findall(r"^\| ([^|]+) \| `([a-z0-9-]+)` \|", page, re.MULTILINE)
    assert [(what.strip(), check) for what, check in listed if check] == [(fault.what, fault.check) for fault in FAULTS]
    assert len(FAULTS) >= 12 and np.unique([fault.check for fault in FAULTS]).size >= 12
