"""Files of settings: recipes as people write them, and manifests and plans as a stage leaves them."""

import json
from collections.abc import Mapping
from pathlib import Path

RECIPE = b"""\
name: small
output: out
seed: 7
stages:
  - name: documents
    stage: ingest
    inputs:
      - {path: raw/*.jsonl, source: web, kind: docs}
  - name: kept
    stage: filter
    datasets: [documents]
    rules: [gopher-quality, c4]
    custom_rules:
      - {name: mine, expression: "word_count >= 5 and language == 'en'"}
  - name: tokenizer
    stage: tokenizer
    datasets: [kept]
    vocab_size: 1024
"""


def recipe_seeds(folder: Path) -> Mapping[str, Mapping[str, bytes]]:
    return {"recipe": {"recipe.yaml": RECIPE}}


def check_recipe(folder: Path, name: str) -> None:
    """Loads it, and has every stage check its settings."""
    from corpusmill.pipelines.recipe import load_recipe

    for named in load_recipe(str(folder / name)).stages:
        named.stage.check()


def manifest_seeds(folder: Path) -> Mapping[str, Mapping[str, bytes]]:
    """A dataset that ingest made of one file."""
    from corpusmill.pipelines.calling import call_stage

    raw = folder / "raw.jsonl"
    raw.write_text("".join(json.dumps({"text": f"text {row}"}) + "\n" for row in range(3)))
    call_stage("ingest", {"inputs": [str(raw)]}, folder / "documents")
    files = {
        str(path.relative_to(folder / "documents")): path.read_bytes()
        for path in sorted((folder / "documents").rglob("*"))
        if path.is_file()
    }
    return {"documents": files}


def check_manifest(folder: Path, name: str) -> None:
    """What other stages and `inspect` do with a dataset."""
    from corpusmill.pipelines.datasets import folder_identities, list_parts
    from corpusmill.pipelines.inspect.places import recognise
    from corpusmill.pipelines.inspect.verify import verify

    folder_identities([str(folder)], str)
    list_parts([str(folder)], str)
    verify(recognise(str(folder)))
