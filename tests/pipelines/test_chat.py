"""Conversations from their files to shards, a fine-tuned model and its answers."""

import io
import json
import random
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.sequences.shards import batch_learned, batch_tokens, list_shards, open_shard
from corpusmill.pipelines.cli.main import app
from corpusmill.pipelines.inspect.places import recognise
from corpusmill.pipelines.inspect.verify import verify
from corpusmill.pipelines.inspect.why import explain
from corpusmill.pipelines.registry import stage_type
from corpusmill.pipelines.settings import validate
from corpusmill.tokenizer.encoder import Tokenizer
from tests.pipelines.test_stage_inputs import run

LENGTH = 64


def talk(number: int, answers: int = 1) -> list[dict[str, str]]:
    draw = random.Random(number)
    messages = []
    for _ in range(answers):
        a, b = draw.randint(0, 99), draw.randint(0, 99)
        messages += [{"role": "user", "content": f"{a} + {b} ="}, {"role": "assistant", "content": str(a + b)}]
    return messages


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """Documents of conversations, one of them too long and two refused, a tokenizer, and shards."""
    folder = tmp_path_factory.mktemp("chat")
    records = [{"id": f"t{number}", "messages": talk(number, 1 + number % 3)} for number in range(300)]
    records.append({"id": "long", "messages": talk(1000, 40)})
    records.append({"id": "trick", "messages": [{"role": "user", "content": "<｜Assistant｜>"}, talk(0)[1]]})
    records += [{"id": "mute", "messages": talk(0)[:1]}, {"id": "none", "text": "hello"}]
    (folder / "talk.jsonl").write_text("\n".join(map(json.dumps, records)))
    inputs = [{"path": str(folder / "talk.jsonl"), "format": "chat", "kind": "chat", "source": "sums"}]
    run("ingest", folder / "documents", inputs=inputs)
    run("tokenizer", folder / "tokenizer", datasets=[str(folder / "documents")], vocab_size=400, special="compact")
    run("pack", folder / "shards", **packing(folder))
    return folder


def packing(folder: Path, **more: object) -> dict[str, object]:
    datasets, tokenizer = [str(folder / "documents")], str(folder / "tokenizer")
    chosen = {"chat": True, "sequence_length": LENGTH, "validation_share": 0.1, "shard_tokens": LENGTH * 16}
    return {"datasets": datasets, "tokenizer": tokenizer, **chosen, **more}


def shard_rows(folder: Path):
    """(tokens, learned, segments) of every sequence, held-back ones last."""
    for path in [*list_shards(str(folder)), *list_shards(str(folder / "_validation"))]:
        header, table = open_shard(path)
        assert header.learned and header.version == 3
        for batch in table.to_batches():
            rows = zip(
                batch_tokens(header, batch), batch_learned(header, batch), batch["segments"].to_pylist(), strict=True
            )
            yield from rows


def test_what_is_refused_is_in_quarantine_with_its_reason(made):
    rows = [row for path in (made / "documents/_quarantine").iterdir() for row in pq.read_table(path).to_pylist()]
    reasons = {row["id"].split("#")[0]: row["reason"] for row in rows}
    assert len(rows) == 2
    assert sorted(row["reason"] for row in rows) == [
        "no answer by an assistant",
        "no list 'messages' or 'conversations'",
    ]
    assert reasons


def test_each_conversation_is_whole_in_one_sequence_and_its_answers_are_learned(made):
    tokenizer = Tokenizer.load(str(made / "tokenizer"))
    special = tokenizer.special.ids
    seen = set()
    for tokens, learned, segments in shard_rows(made / "shards"):
        at = 0
        for segment in segments:
            ids, mask = tokens[at : at + segment["length"]], learned[at : at + segment["length"]]
            at += segment["length"]
            seen.add(segment["document"])
            if segment["document"] == "trick":
                assert (ids == special["<｜Assistant｜>"]).sum() == 1
                continue
            number = int(segment["document"][1:])
            messages = talk(number, 1 + number % 3)
            text = "".join(
                f"<｜User｜>{message['content']}" if message["role"] == "user" else
                f"<｜Assistant｜>{message['content']}<｜end▁of▁sentence｜>"
                for message in messages
            )  # fmt: skip
            assert tokenizer.decode(ids) == f"<｜begin▁of▁sentence｜>{text}".encode()
            answers = "".join(m["content"] + "<｜end▁of▁sentence｜>" for m in messages if m["role"] == "assistant")
            assert tokenizer.decode(ids[mask]) == answers.encode()
        assert not learned[at:].any()
    assert seen == {f"t{number}" for number in range(300)} | {"trick"}


def test_a_conversation_longer_than_a_sequence_is_in_the_ledger(made):
    manifest = json.loads((made / "shards/_manifest.json").read_text())
    assert manifest["counts"]["rejected"] == 1 and manifest["counts"]["kept"] == 301
    assert manifest["facts"]["lint"]["findings"] == []
    (path,) = (made / "shards/_ledger").iterdir()
    (row,) = pq.read_table(path).to_pylist()
    assert (row["id"], row["rule"], row["threshold"]) == ("long", "pack/too-long", LENGTH)
    assert row["value"] > LENGTH
    reason = explain(recognise(str(made / "shards")), "long")
    assert reason.fate == "rejected" and reason.lines[0].endswith(f"is above {LENGTH}")


def test_packing_is_the_same_for_any_storage_and_verifies(made, tmp_path):
    (verified,) = verify(recognise(str(made / "shards")))
    assert verified.problems == []
    wanted = [(tokens.tolist(), learned.tolist()) for tokens, learned, _ in shard_rows(made / "shards")]
    for storage in ("packed", "zstd"):
        run("pack", tmp_path / storage, **packing(made, storage=storage))
        assert [(t.tolist(), m.tolist()) for t, m, _ in shard_rows(tmp_path / storage)] == wanted


def test_text_is_no_conversation_and_conversations_are_no_text(made, tmp_path):
    (tmp_path / "a.jsonl").write_text(json.dumps({"text": "plain text"}))
    run("ingest", tmp_path / "text", inputs=[str(tmp_path / "a.jsonl")])
    run("pack", tmp_path / "plain", **packing(made, datasets=[str(tmp_path / "text")]))
    (path,) = (tmp_path / "plain/_quarantine").iterdir()
    (row,) = pq.read_table(path).to_pylist()
    assert "not a conversation: it does not begin with a turn's mark" in row["reason"]
    with pytest.raises(UserError, match="fim_rate is for text"):
        run("pack", tmp_path / "shards", **packing(made, fim_rate=0.5))
    with pytest.raises(UserError, match="never cut"):
        run("pack", tmp_path / "shards", **packing(made, packing="concat"))
    with pytest.raises(UserError, match="no format here carries that"):
        run("export", tmp_path / "out", shards=str(made / "shards"), to="flat")


def test_a_mask_of_another_trainer_is_refused_and_not_lost(made, tmp_path):
    (tmp_path / "theirs").mkdir()
    rows = [{"input_ids": [5, 6, 7], "assistant_masks": [0, 1, 1]}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "theirs/a.parquet")
    chosen = {"paths": [str(tmp_path / "theirs")], "format": "huggingface", "tokenizer": str(made / "tokenizer")}
    with pytest.raises(UserError, match="the column assistant_masks says which tokens are learned"):
        run("import", tmp_path / "shards", **chosen)


@pytest.fixture
def call(monkeypatch, capsys):
    def called(*arguments: object, said: str = "") -> str:
        words = list(map(str, arguments))
        monkeypatch.setattr(sys, "argv", ["corpusmill", *words])
        monkeypatch.setattr(sys, "stdin", io.StringIO(said))
        app(words, standalone_mode=False)
        return capsys.readouterr().out

    return called


def test_a_sequence_is_shown_with_what_is_learned(made, call):
    shown = call("inspect", "show", made / "shards")
    assert "⟦<｜User｜>⟧" in shown and "◂" in shown and "learned" in shown
    tokens = call("inspect", "show", made / "shards", "--tokens")
    assert "▸ ⟦<｜end▁of▁sentence｜>⟧" in tokens and "▸ ⟦<｜User｜>⟧" not in tokens
    values = json.loads(call("inspect", "show", made / "shards", "--json"))
    rows = list(shard_rows(made / "shards"))
    learned = [flag for segment in values["segments"] for flag in segment.get("learned", [])]
    assert learned == rows[0][1][: len(learned)].tolist() and any(learned)
    assert "learned" not in values["segments"][-1] or values["segments"][-1]["document"] is not None


def test_fine_tuning_asks_for_weights_and_for_a_mask(made, tmp_path):
    kind = stage_type("train")
    with pytest.raises(UserError, match="starts from trained weights"):
        kind(validate(kind.Settings, {"shards": str(made / "shards"), "recipe": "sft"}, "test")).check()
    with pytest.raises(UserError, match="epochs both say how long"):
        kind(validate(kind.Settings, {"shards": str(made / "shards"), "steps": 3, "epochs": 2}, "test")).check()
    run("pack", tmp_path / "text", **packing(made) | {"chat": False, "validation_share": 0.0})
    with pytest.raises(UserError, match="do not say what is learned"):
        run("train", tmp_path / "out", shards=str(tmp_path / "text"), recipe="sft", start_from=str(tmp_path))


@pytest.mark.slow
def test_fine_tuning_and_answers(made, tmp_path, call):
    """From random weights, then sft: two epochs, the report's rates scaled, and answers by the template."""
    common = {"shards": str(made / "shards"), "preset": "tiny", "model": {"vocab_size": 512}, "threads": 1}
    run("train", tmp_path / "base", steps=2, batch_sequences=4, **common)
    tuned = {"recipe": "sft", "start_from": str(tmp_path / "base"), "batch_sequences": 4, "evaluate_every": 10}
    run("train", tmp_path / "sft", **common, **tuned)
    manifest = json.loads((tmp_path / "sft/_manifest.json").read_text())
    rows = sum(part["rows"] for part in json.loads((made / "shards/_manifest.json").read_text())["parts"])
    assert manifest["counts"]["steps"] == -(-2 * rows // 4)
    lines = [json.loads(line) for line in (tmp_path / "sft/metrics.jsonl").read_text().splitlines()]
    assert lines[0]["learning_rate"] == pytest.approx(1e-3 / 44, rel=1e-2)
    assert lines[-1]["learning_rate"] == pytest.approx(1e-3 / 220, rel=5e-2)
    assert lines[-1]["validation_loss"] < lines[9]["validation_loss"] + 0.5
    answer = json.loads(
        call("model", "generate", tmp_path / "sft", "--chat", "-p", "2 + 3 =", "--max-tokens", 4, "--json")
    )
    assert answer["prompt"] == "2 + 3 =" and answer["ended"] in ("stop", "length")
    said = call(
        "model",
        "generate",
        tmp_path / "sft",
        "--chat",
        "--max-tokens",
        3,
        "--json",
        said="1 + 1 =\n\n2 + 2 =\n/quit\nno\n",
    )
    assert [json.loads(line)["number"] for line in said.splitlines()] == [0, 1]
    with pytest.raises(UserError, match="U\\+241E"):
        call("model", "generate", tmp_path / "sft", "--chat", "-p", "␞")


def test_a_tokenizer_without_roles_is_refused(made, tmp_path):
    run("tokenizer", tmp_path / "gpt2", datasets=[str(made / "documents")], vocab_size=400, special="gpt2")
    with pytest.raises(UserError, match="no special tokens for the roles"):
        run("pack", tmp_path / "shards", **packing(made, tokenizer=str(tmp_path / "gpt2")))
