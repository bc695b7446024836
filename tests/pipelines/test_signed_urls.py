"""A run over URLs with secrets: read whole, resumed by digest, and no file or line has the secrets."""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from corpusmill.dataproc import http_files
from corpusmill.pipelines.cli.main import main
from tests.dataproc.http_server import Server, served

SECRETS = ["s3cretUser", "s3cretPass", "s3cretSign", "s3cretFrag"]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(http_files, "FIRST_PAUSE", 0.001)
    lines = [json.dumps({"text": f"document {number}"}) for number in range(50)]
    with served("\n".join([*lines[:25], "not JSON", *lines[25:]]).encode()) as server:
        yield server


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs a command in this process; gives all that it printed, once it is looked through for secrets."""

    def run(*arguments: str | Path) -> str:
        for name in ("stdout", "stderr"):
            monkeypatch.setattr(sys, name, getattr(sys, name))
        monkeypatch.setattr(sys, "argv", ["corpusmill", *map(str, arguments)])
        with pytest.raises(SystemExit):
            main()
            sys.exit(0)
        said = "".join(capsys.readouterr())
        assert not [secret for secret in SECRETS if secret in said], said
        return said

    return run


def signed(server: Server, mode: str, signature: str = "s3cretSign") -> str:
    user = server.url.replace("//", "//s3cretUser:s3cretPass@")
    return f"{user}/{mode}/x.jsonl?X-Amz-Credential=s3cretUser&X-Amz-Signature={signature}#token=s3cretFrag"


def test_no_file_or_line_of_a_run_has_a_secret(server: Server, call: Callable[..., str], tmp_path: Path) -> None:
    out, text = tmp_path / "run" / "documents", "corpusmill"
    (tmp_path / "run").mkdir()
    ingest = ("ingest", signed(server, "recovers"), "--output", out, "--workers", "1", "--max-quarantine", "10")
    call(*ingest, "--dry-run")
    said = call(*ingest)
    assert "50" in said and "Done" in said
    assert "already done" in call(*ingest), "the same URL is known by its digest"
    changed = call("ingest", signed(server, "recovers", "s3cretSignOther"), *ingest[2:])
    assert "already made with other settings or inputs" in changed
    for command in (
        ["inspect", out], ["inspect", "verify", out], ["inspect", "show", out], ["status", out],
        ["inspect", "why", out, "corpus/x.jsonl#0"], ["inspect", "show", out / "_quarantine"],
    ):  # fmt: skip
        text += call(*command)
    assert "corpus/x.jsonl#0" in text, "a name is the path's, without its query"
    written = [path for path in (tmp_path / "run").rglob("*") if path.is_file()]
    assert (out / "_manifest.json") in written and len(written) > 10
    assert not [(path, secret) for path in written for secret in SECRETS if secret.encode() in path.read_bytes()]
    plan = json.loads((out / "_state" / "plan.json").read_text())
    assert all("X-Amz-Signature=***&" in url and "digest=" in url for files in plan["inputs"].values() for url in files)


@pytest.mark.parametrize("mode", ["status403", "status404", "loop", "cutshort"])
def test_what_ends_a_run_is_one_line_without_secrets(
    server: Server, call: Callable[..., str], tmp_path: Path, mode: str
) -> None:
    said = call("ingest", signed(server, mode), "--output", tmp_path / "out", "--workers", "1")
    line = said.strip().splitlines()[-1]
    assert line.startswith("corpusmill: http://***@") and "Traceback" not in said
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and b"s3cret" in path.read_bytes()]
