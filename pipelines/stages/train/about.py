"""What train says of itself."""

from collections.abc import Mapping
from typing import Any

from corpusmill.pipelines.description import Manifest, Rows, StageDescription


def _rows(counts: Mapping[str, int], facts: Mapping[str, Any]) -> Rows:
    rows = [
        ("parameters", f"{facts['parameters']['total']:,}"),
        ("steps", f"{counts['steps']:,}"),
        ("training loss", f"{facts['train_loss']:.3f} nats/token"),
    ]
    if facts.get("validation_loss") is not None:
        rows.append(("held-back loss", f"{facts['validation_loss']:.3f} nats/token"))
        rows.append(("unigram entropy of that text", f"{facts['unigram_loss']:.3f} nats/token"))
    if facts.get("validation_bits_per_byte") is not None:
        rows.append(("held-back bits per byte", f"{facts['validation_bits_per_byte']:.3f}"))
    for use in facts.get("mixture") or ():
        if use["sequences"]:
            epochs = (use["repeated"] + use["rows"] - use["unseen"]) / use["rows"]
            read = f"{use['share']:.1%}, {use['sequences']:,} sequences, {epochs:.2f} epochs so far"
            rows.append((f"  phase {use['phase']}: {use['group'] or 'all'}", read))
    return rows


def _tiles(manifest: Manifest) -> Rows:
    facts = manifest["facts"]
    tiles = [("parameters", f"{facts['parameters']['total']:,}")]
    if facts.get("validation_loss") is not None:
        tiles.append(("held-back loss", f"{facts['validation_loss']:.3f}"))
    return tiles


TRAIN = StageDescription(
    name="train",
    plan="corpusmill.pipelines.stages.train.plan:TrainStage",
    command=("train",),
    line="Train a DeepSeek-V3-shaped model on shards.",
    help="Train a DeepSeek-V3-shaped model on shards; resumes from its last checkpoint.",
    example="corpusmill train shards --output run --preset laptop --steps 300",
    positional=("shards",),
    output="RUN",
    command_module="corpusmill.pipelines.cli.train",
    makes="model",
    holds="a model",
    reads=("shards",),
    reads_tokens=True,
    uses=("start_from",),
    rows=_rows,
    tiles=_tiles,
    report="corpusmill.pipelines.stages.train.report:REPORT",
    preview_ahead="corpusmill.pipelines.stages.train.preview",
    progress="corpusmill.pipelines.stages.train.progress:progress_line",
)
