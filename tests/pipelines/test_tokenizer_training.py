"""`tokenizer train` in its learning phase: killed it goes on from a checkpoint, it extends, it tells how far it is."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pytest

from corpusmill.dataproc.errors import UserError
from corpusmill.pipelines.engine.executor import make_executor
from corpusmill.pipelines.engine.stage import Finished, Session, Watched, run_stage
from corpusmill.pipelines.registry import stage_type
from corpusmill.pipelines.settings import validate
from corpusmill.pipelines.stages.tokenizer.plan import _watched
from corpusmill.pipelines.stages.tokenizer.progress import ProgressFile, seconds_left
from corpusmill.pipelines.stages.tokenizer.work import learning as learning
from corpusmill.tokenizer.encoder import Tokenizer
from corpusmill.tokenizer.formats.files import read_tokenizer
from corpusmill.tokenizer.learning.bpe import Progress
from corpusmill.tokenizer.warm import WARM
from tests.pipelines.road import environment


def run(kind: str, folder: Path, **values: Any) -> Finished:
    made_of = stage_type(kind)
    stage = made_of(validate(made_of.Settings, values, "test"))
    stage.check()
    with Session(make_executor=lambda: make_executor("local", workers=1)) as session:
        return run_stage(stage, str(folder), session)


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("documents")
    stdlib = Path(os.__file__).parent
    texts = [path.read_text("utf-8") for path in sorted((stdlib / "email").glob("*.py"))]
    texts += [
        f"Order {number} of 20{number % 90 + 10}: {number * 7919} pieces, {number / 8} €.\n" for number in range(400)
    ]
    records = [orjson.dumps({"id": f"d{number}", "text": text}) for number, text in enumerate(texts)]
    (folder / "raw.jsonl").write_bytes(b"\n".join(records))
    run("ingest", folder / "documents", inputs=[str(folder / "raw.jsonl")])
    return str(folder / "documents")


@pytest.fixture(scope="module")
def trained(documents: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained") / "tokenizer"
    run("tokenizer", folder, datasets=[documents], vocab_size=1000)
    return folder


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and "_state" not in path.parts
    }


@pytest.mark.slow
def test_killed_while_learning_it_ends_with_the_same_bytes(documents: str, tmp_path: Path) -> None:
    options = ["--vocab-size", "1500", "--checkpoint-merges", "1", "--workers", "1"]
    line = [sys.executable, "-m", "corpusmill", "tokenizer", "train", documents, *options, "--output"]
    killed, straight = tmp_path / "killed", tmp_path / "straight"
    checkpoint = killed / "_work" / learning.CHECKPOINT
    process = subprocess.Popen([*line, str(killed)], env=environment(), stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not checkpoint.exists():
        assert process.poll() is None and time.monotonic() < deadline, "it never came to a checkpoint"
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    assert process.wait(30) == -signal.SIGKILL
    assert not (killed / "tokenizer.json").exists(), "it was done before it could be killed"
    assert 0 < pa.ipc.open_file(checkpoint.read_bytes()).read_all().num_rows < 1241
    for folder in (killed, straight):
        done = subprocess.run([*line, str(folder)], env=environment(), capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
    assert files_of(killed) == files_of(straight)
    assert not checkpoint.exists()


def test_a_failed_run_learns_nothing_twice(documents: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def fail(self: ProgressFile, progress: Progress) -> None:
        seen.append(progress.merges)
        if progress.merges == 500:
            raise KeyboardInterrupt

    settings = {"datasets": [documents], "vocab_size": 1500, "checkpoint_merges": 100}
    with monkeypatch.context() as patch:
        patch.setattr(ProgressFile, "__call__", fail)
        with pytest.raises(KeyboardInterrupt):
            run("tokenizer", tmp_path / "failed", **settings)
        assert seen == [100, 200, 300, 400, 500]
        run("tokenizer", tmp_path / "failed", **settings)
        assert seen[5] == 600
    run("tokenizer", tmp_path / "straight", **settings)
    assert files_of(tmp_path / "failed") == files_of(tmp_path / "straight")


def test_a_tokenizer_is_extended_and_no_id_moves(trained: Path, tmp_path: Path) -> None:
    old = read_tokenizer(str(trained))
    run("tokenizer", tmp_path / "larger", counts=[str(trained)], continue_from=str(trained), vocab_size=2200)
    new = read_tokenizer(str(tmp_path / "larger"))
    assert (len(old.vocabulary), old.special.vocab_size, len(new.vocabulary)) == (1000, 1815, 2200)
    assert new.vocabulary.tokens[:1000] == old.vocabulary.tokens
    assert new.special.tokens == old.special.tokens
    assert new.special.roles == old.special.roles
    assert (new.special.vocab_size, old.special.model_rows, new.special.model_rows) == (2200, 2560, 2560)
    assert new.training["training"]["continues"] == old.fingerprint
    at_once = tmp_path / "at-once"
    run("tokenizer", at_once, counts=[str(trained)], vocab_size=1385)
    assert new.vocabulary.tokens[1815:] == read_tokenizer(str(at_once)).vocabulary.tokens[1000:]
    texts = pa.array(["import os, sys\n", "Order 12 of 2013"], pa.large_string())
    tokenizer = Tokenizer.load(str(tmp_path / "larger"))
    assert tokenizer.decode(tokenizer.encode(texts)[0].values) == texts[0].as_py().encode()


def test_what_is_continued_keeps_its_pattern(trained: Path, documents: str, tmp_path: Path) -> None:
    run("tokenizer", tmp_path / "gpt2", datasets=[documents], vocab_size=600, special="compact", pattern="gpt2")
    gpt2, larger = str(tmp_path / "gpt2"), tmp_path / "larger"
    run("tokenizer", larger, datasets=[documents], continue_from=gpt2, vocab_size=700)
    assert read_tokenizer(str(larger)).pattern.name == "gpt2"
    with pytest.raises(UserError, match="counted with the pattern deepseek-v3"):
        run("tokenizer", tmp_path / "x", counts=[str(trained)], continue_from=gpt2, vocab_size=700)
    with pytest.raises(UserError, match="leave 'pattern' out"):
        run("tokenizer", tmp_path / "x", datasets=[documents], continue_from=gpt2, pattern="gpt2", vocab_size=700)
    with pytest.raises(UserError, match="has 600 ids already"):
        run("tokenizer", tmp_path / "x", datasets=[documents], continue_from=gpt2, vocab_size=600)


def test_numbers_are_spelled_digit_by_digit_where_wanted(trained: Path, tmp_path: Path) -> None:
    run("tokenizer", tmp_path / "digits", counts=[str(trained)], vocab_size=1000, no_merge=["digits"])
    texts = pa.array(["Order 2048 of 2013"], pa.large_string())
    spelled = []
    for folder in (trained, tmp_path / "digits"):
        tokenizer = Tokenizer.load(str(folder))
        spelled.append([tokenizer.decode(pa.array([number])) for number in tokenizer.encode(texts)[0].as_py()])
    assert b"201" in spelled[0]
    digits = [part for part in spelled[1] if any(48 <= byte < 58 for byte in part)]
    assert b"".join(digits) == b"20482013" and len(digits) == 8


def test_the_commonest_pretokens_are_kept(trained: Path, tmp_path: Path) -> None:
    assert Tokenizer.load(str(trained)).warm.pretokens > 1000
    assert WARM in {entry["path"] for entry in json.loads((trained / "_manifest.json").read_text())["files"]}
    run("tokenizer", tmp_path / "cold", counts=[str(trained)], vocab_size=1000, warm_pretokens=0)
    assert not (tmp_path / "cold" / WARM).exists()
    assert (tmp_path / "cold" / "tokenizer.json").read_bytes() == (trained / "tokenizer.json").read_bytes()


def test_ids_that_differ_from_the_reference_are_an_error(
    trained: Path, documents: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = Tokenizer.encode
    monkeypatch.setattr(
        Tokenizer, "encode", lambda self, texts: honest(self, pa.array(["x"] * len(texts), pa.large_string()))
    )
    for name, source in {"text": {"datasets": [documents]}, "counts": {"counts": [str(trained)]}}.items():
        with pytest.raises(UserError, match="our ids differ"):
            run("tokenizer", tmp_path / name, vocab_size=900, **source)


def test_progress_is_written_about_every_second_and_read_in_words(tmp_path: Path) -> None:
    path, now = tmp_path / "learning.json", [100.0]
    assert _watched(str(path)) == Watched()
    report = ProgressFile(str(path), clock=lambda: now[0])
    report(Progress(merges=999, asked=99_999, count=5000))  # what a checkpoint had
    now[0] += 0.9
    report(Progress(merges=5000, asked=99_999, count=900))
    assert _watched(str(path)) == Watched()
    now[0] += 1.1
    report(Progress(merges=9999, asked=99_999, count=1234))
    assert _watched(str(path)) == Watched(
        9999 / 99_999, ("9,999 of 99,999 merges", "0:02 left", "the next pair occurs 1,234 times")
    )
    assert _watched("s3://bucket/learning.json") == Watched()


def test_time_left_follows_the_logarithm_of_the_merges() -> None:
    assert seconds_left(99, 999, 9999, 3.0) == 3.0
    assert seconds_left(99, 999, 999, 3.0) == 0.0
    assert seconds_left(99, 99, 999, 3.0) is None
