"""The limit of quarantined records: how it is written, and what it makes of a run."""

import gzip
import json
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from corpusmill.dataproc.errors import UserError
from corpusmill.pipelines.options import RunOptions
from corpusmill.pipelines.quarantine import read_limit
from corpusmill.pipelines.recipe import load_recipe
from corpusmill.pipelines.running import run_recipe


def manifest(quarantined: int, came_in: int, unread: int = 0, of_bytes: int = 0) -> dict[str, object]:
    facts = {"unread": {"pieces": 1, "bytes": unread, "of_bytes": of_bytes}} if unread else {}
    return {"counts": {"documents_in": came_in, "quarantined": quarantined}, "facts": facts}


@pytest.mark.parametrize(
    ("text", "allowed", "refused"),
    [
        ("0", (0, 9), (1, 9)),
        ("3", (3, 3), (4, 10**9)),
        ("1%", (1, 100), (1, 99)),
        ("0.01", (3, 377), (4, 377)),
        (0.5, (1, 2), (2, 3)),
        (2, (2, 2), (3, 300)),
        ("0%", (0, 5), (1, 10**9)),
        ("100 %", (7, 7), (1, 0)),
    ],
)
def test_a_count_or_a_share(text: str | int | float, allowed: tuple[int, int], refused: tuple[int, int]) -> None:
    limit = read_limit(text)
    assert limit.allows(manifest(*allowed)) and not limit.allows(manifest(*refused))


@pytest.mark.parametrize("text", ["", "-1", "101%", "1.5", "few", "nan", "1/2", "%", "1e-3", "1e99999999", "."])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="neither a count nor a share"):
        read_limit(text)


@pytest.mark.parametrize(("key", "flag", "code"), [(None, None, 0), (2, None, 3), (2, "1%", 0), ("0.1%", None, 3)])
def test_a_good_crawl_with_a_few_broken_pages_is_a_success(
    key: object, flag: str | None, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [json.dumps({"text": f"page {number}"}) for number in range(374)]
    (tmp_path / "crawl.jsonl").write_text("\n".join(["{broken", *lines, "{too", "[]"]) + "\n")
    stages = {"ingest": {"inputs": [str(tmp_path / "crawl.jsonl")]}}
    recipe: dict[str, object] = {"name": "crawl", "output": str(tmp_path / "out"), "stages": stages}
    if key is not None:
        recipe["max_quarantine"] = key
    (tmp_path / "crawl.yaml").write_text(yaml.safe_dump(recipe))
    options = RunOptions(engine="local", workers=1, max_quarantine=flag)
    assert run_recipe(load_recipe(str(tmp_path / "crawl.yaml")), options) == code
    assert "ingest: quarantined 3 of 377 records (0.80%" in capsys.readouterr().err


def test_a_limit_that_is_none_is_an_error_of_the_recipe(tmp_path: Path) -> None:
    text = "name: x\noutput: x\nmax_quarantine: many\nstages:\n  ingest: {inputs: [x]}\n"
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(UserError, match=r"x\.yaml: max_quarantine: 'many'"):
        load_recipe(str(tmp_path / "x.yaml"))


def test_a_file_that_is_given_up_weighs_its_bytes_and_not_one_record() -> None:
    for text, allowed in (("1%", False), ("20%", False), ("50%", True), ("1000", False)):
        assert read_limit(text).allows(manifest(1, 10_000, unread=400, of_bytes=1000)) is allowed


@pytest.mark.parametrize("kind", ["parquet", "jsonl.gz", "csv"])
def test_the_rest_of_a_broken_file_is_no_single_record(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    draw = random.Random(1)
    texts = [f"document {number} {draw.random()}" for number in range(3000)]
    (tmp_path / "whole.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    path = tmp_path / f"broken.{kind}"
    if kind == "parquet":
        pq.write_table(pa.table({"text": texts}), path)
    else:
        lines = [json.dumps({"text": text}) for text in texts] if kind == "jsonl.gz" else ["text", *texts]
        data = "\n".join(lines).encode()
        path.write_bytes(gzip.compress(data) if kind == "jsonl.gz" else b"PAR1" + data)
    data = path.read_bytes()
    path.write_bytes(data if kind == "csv" else data[: len(data) // 2])
    inputs = [{"path": str(path), "source": "broken"}, {"path": str(tmp_path / "whole.jsonl"), "source": "whole"}]
    recipe = {"name": "r", "output": str(tmp_path / "out"), "stages": {"ingest": {"inputs": inputs}}}
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(recipe))
    for flag, code in ((None, 3), ("100%", 0)):
        options = RunOptions(engine="local", workers=1, max_quarantine=flag)
        assert run_recipe(load_recipe(str(tmp_path / "r.yaml")), options) == code
        assert "of the bytes unread" in capsys.readouterr().err
