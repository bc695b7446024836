"""The main job: text that every machine has, to a model that has learned something and a report on it all."""

import json
from pathlib import Path

import pytest

from corpusmill.pipelines.inspect.places import recognise, run_stages
from corpusmill.pipelines.inspect.verify import verify
from tests.pipelines.test_cli import corpusmill

pytestmark = pytest.mark.slow


def test_the_quickstart_learns_and_accounts_for_every_document(tmp_path: Path) -> None:
    output = tmp_path / "out"
    done = corpusmill("quickstart", "--output", output, timeout=600)
    assert done.returncode == 0, done.stderr

    manifests = {
        name: json.loads((Path(folder) / "_manifest.json").read_text()) for name, folder in run_stages(str(output))
    }
    assert list(manifests) == ["documents", "clean", "unique", "tokenizer", "shards", "model"]
    for before, after in (("documents", "clean"), ("clean", "unique"), ("unique", "shards")):
        assert manifests[before]["counts"]["kept"] == manifests[after]["counts"]["documents_in"]
    assert manifests["tokenizer"]["counts"]["ids"] == 8192
    assert manifests["shards"]["facts"]["fill"] > 0.99
    assert manifests["shards"]["counts"]["fim_documents"] > 0
    learned = manifests["model"]["facts"]
    assert learned["validation_loss"] < learned["unigram_loss"] - 0.5

    problems = [problem for checked in verify(recognise(str(output))) for problem in checked.problems]
    assert problems == []
    page = (output / "report/index.html").read_text()
    assert "<html" in page[:200] and "What it writes" in page
    samples = json.loads((output / "model" / "samples.json").read_text())
    assert len(samples) == 4 and all(sample["prompt"] and sample["completion"] for sample in samples)
    for line in ("corpusmill model generate", "corpusmill model evaluate"):
        assert line in done.stdout

    again = corpusmill("quickstart", "--output", output)
    assert again.returncode == 0
    assert "All stages were already done; nothing was run." in again.stdout
