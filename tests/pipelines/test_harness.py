"""Tasks through lm-evaluation-harness: its bits per byte are ours, and the examples run without a network."""

import json
from math import log
from pathlib import Path

import numpy as np
import pytest

from corpusmill.dataproc.errors import UserError
from corpusmill.pipelines.generation import TextGenerator
from corpusmill.pipelines.harness import read_task, run_tasks
from corpusmill.training.watching.document_loss import document_nats
from tests.pipelines.test_model import run  # noqa: F401

TASKS = Path(__file__).resolve().parents[2] / "examples" / "tasks"
TEXTS = ["the river and the stone bridge " * 12, "a letter", "€ in the morning garden"]


def test_bits_per_byte_of_the_harness_are_ours_and_examples_run(run, tmp_path, monkeypatch):  # noqa: F811
    pytest.importorskip("lm_eval")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (tmp_path / "texts.yaml").write_text((TASKS / "texts.yaml").read_text())
    (tmp_path / "texts.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    writer = TextGenerator(run, tmp_path / "tokenizer", threads=1)
    tasks = [str(tmp_path / "texts.yaml"), str(TASKS / "brackets.yaml"), str(TASKS / "addition.yaml")]
    made = run_tasks(writer, tasks, limit=3)

    ids = [np.array(writer.tokenizer.encode(text)) for text in TEXTS]
    assert max(map(len, ids)) > writer.length, "one text has several windows"
    nats = document_nats(writer.trained.model, ids, writer.prefix, writer.length).sum()
    assert made["texts"]["bits_per_byte"] == pytest.approx(
        nats / log(2) / sum(len(text.encode()) for text in TEXTS), abs=1e-4
    )
    assert 0 <= made["brackets"]["acc"] <= 1 and made["addition"]["exact_match"] == 0
    with pytest.raises(UserError, match="knows no task"):
        run_tasks(writer, ["no-such-task"])


def test_example_tasks_are_right() -> None:
    closing = {"(": ")", "[": "]", "{": "}"}
    for line in (TASKS / "addition.jsonl").read_text().splitlines():
        item = json.loads(line)
        first, second = item["question"].removesuffix("=").split("+")
        assert int(first) + int(second) == int(item["answer"])
    for line in (TASKS / "brackets.jsonl").read_text().splitlines():
        item, nest = json.loads(line), []
        for mark in item["opening"]:
            if mark in closing:
                nest.append(closing[mark])
            else:
                assert nest.pop() == mark
        assert nest == [item["choices"][item["label"]]]


def test_tasks_with_code_or_without_a_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "code.yaml").write_text("task: x\nprocess_docs: !function utils.run\n")
    with pytest.raises(UserError, match="not plain YAML"):
        read_task(str(tmp_path / "code.yaml"))
    (tmp_path / "list.yaml").write_text("- 1\n")
    with pytest.raises(UserError, match="no task"):
        read_task(str(tmp_path / "list.yaml"))
    with pytest.raises(UserError, match="can't be read"):
        read_task(str(tmp_path / "none.yaml"))
