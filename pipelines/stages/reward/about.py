"""What reward says of itself."""

from collections.abc import Mapping
from typing import Any

from corpusmill.pipelines.description import Rows, StageDescription


def _rows(counts: Mapping[str, int], facts: Mapping[str, Any]) -> Rows:
    return [
        ("steps", f"{counts['steps']:,}"),
        ("pairs to learn from", f"{counts['pairs']:,}"),
        ("held-back pairs", f"{counts['held_back']:,}"),
        ("  of which the chosen one scores higher", f"{facts['held_back_accuracy']:.1%}"),
    ]


REWARD = StageDescription(
    name="reward",
    plan="corpusmill.pipelines.stages.reward.plan:RewardStage",
    command=("train", "reward"),
    help="Train a reward model on preference pairs, for 'train grpo --rewards model:FOLDER'.",
    example="corpusmill train reward run --pairs pairs.jsonl --output reward-model",
    positional=("run",),
    output="RUN",
    makes="reward model",
    holds="a reward model",
    reads=("run",),
    reads_tokens=True,
    rows=_rows,
    progress="corpusmill.pipelines.stages.grpo.progress:progress_line",
)
