"""A small whole road (raw text to weights) as a recipe, its command line, and the bytes that it leaves."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
STAGES = (
    "documents",
    "clean",
    "unique",
    "classifier",
    "scored",
    "good",
    "decontaminated",
    "mixed",
    "tokenizer",
    "shards",
    "model",
)

RECIPE = """
name: small road
output: unused
seed: 3
stages:
  documents:
    stage: ingest
    part_bytes: 64KiB
    inputs:
      - {path: "${stdlib}/asyncio/*.py", source: asyncio, kind: code}
      - {path: "${stdlib}/email/**/*.py", source: email, kind: code}
      - {path: "${stdlib}/[a-d]*.py", source: modules, kind: code}
  clean: {stage: filter, datasets: [documents], rules: [code]}
  unique: {stage: dedup, datasets: [clean], threshold: 0.7}
  classifier:
    stage: quality-train
    positive: [unique]
    negative: [documents]
    dimensions: 8
    word_ngrams: 2
    buckets: 1000
    negative_cap: 300
  scored: {stage: quality-score, datasets: [unique], model: classifier}
  good: {stage: quality-keep, datasets: [scored], top_share: 0.9}
  decontaminated:
    stage: decontaminate
    datasets: [unique]
    against: {charsets: "${stdlib}/email/char*.py"}
    action: cut
    margin: 5
    least_piece: 20
    maximum_pieces: 1000
    maximum_documents: 9
  mixed:
    stage: mixture
    datasets: [decontaminated]
    source_weights: {asyncio: 2, "*": 3}
    repeats: 2
    short: scale
  tokenizer: {datasets: [mixed], vocab_size: 1000, special: compact}
  shards:
    stage: pack
    datasets: [mixed]
    tokenizer: tokenizer
    sequence_length: 128
    fim_rate: 0.5
    boundary_split: 0.5
    validation_share: 0.1
    task_bytes: 64KiB
  model:
    stage: train
    shards: shards
    preset: tiny
    steps: 40
    batch_sequences: 2
    micro_batch: 2
    checkpoint_every: 5
    evaluate_every: 20
    evaluation_sequences: 8
    threads: 1
"""


def write_recipe(folder: Path) -> Path:
    """The recipe as a file."""
    path = folder / "road.yaml"
    path.write_text(RECIPE)
    return path


def environment(**more: str) -> dict[str, str]:
    """An environment for the command line without a Ray of somebody else's."""
    plain = {key: value for key, value in os.environ.items() if key not in ("RAY_ADDRESS", "RAY_JOB_ID")}
    paths = [str(ROOT / "src"), *([plain["PYTHONPATH"]] if plain.get("PYTHONPATH") else [])]
    return {**plain, "PYTHONPATH": os.pathsep.join(paths), "RAY_AUTH_MODE": "disabled", **more}


def command(recipe: Path, output: Path, *options: str) -> list[str]:
    """The command line that runs the recipe."""
    return [sys.executable, "-m", "corpusmill", "run", str(recipe), "--output", str(output), *options]


def run(
    recipe: Path, output: Path, *options: str, timeout: float = 300, **more: str
) -> subprocess.CompletedProcess[str]:
    """Runs the recipe to its end."""
    return subprocess.run(
        command(recipe, output, *options), capture_output=True, text=True, env=environment(**more), timeout=timeout
    )


def final_bytes(output: Path) -> dict[str, bytes]:
    """Every file that a run promises to be the same: all but `_state/` and the report, which tell of this very run."""
    return {
        str(path.relative_to(output)): path.read_bytes()
        for path in sorted(output.rglob("*"))
        if path.is_file() and "_state" not in path.parts and path.relative_to(output).parts[0] != "report"
    }


def markers(output: Path, stage: str = "*") -> dict[str, int]:
    """Markers of finished tasks and the times at which they were written."""
    paths = output.glob(f"{stage}/_state/*/*.json")
    whole = (path for path in paths if not path.name.startswith(".tmp-"))
    return {str(path.relative_to(output)): path.stat().st_mtime_ns for path in whole}


def assert_same_bytes(one: Path, other: Path) -> None:
    """Fails naming the files that differ."""
    left, right = final_bytes(one), final_bytes(other)
    assert sorted(left.keys() - right.keys()) == []
    assert sorted(right.keys() - left.keys()) == []
    assert [name for name in left if left[name] != right[name]] == []
