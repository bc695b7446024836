"""What grpo says of itself."""

from collections.abc import Mapping
from typing import Any

from corpusmill.pipelines.description import Manifest, Rows, StageDescription


def _rows(counts: Mapping[str, int], facts: Mapping[str, Any]) -> Rows:
    rows = [
        ("steps", f"{counts['steps']:,}"),
        ("completions", f"{counts['completions']:,}"),
        ("reward of the first and the last step", f"{facts['reward_first']:.3f}, {facts['reward_last']:.3f}"),
    ]
    for name, words in (("held_back_reward", "drawn"), ("held_back_greedy_reward", "likeliest tokens")):
        if facts.get(name) is not None:
            rows.append((f"held-back reward, {words}", f"{facts[f'{name}_before']:.3f} to {facts[name]:.3f}"))
    difference = f"{facts['sampling_difference_most']:.1e} nats at most"
    return [*rows, ("between sampling and training", difference)]


def _tiles(manifest: Manifest) -> Rows:
    facts = manifest["facts"]
    held = facts.get("held_back_reward")
    return [("reward", f"{facts['reward_last']:.3f}")] if held is None else [("held-back reward", f"{held:.3f}")]


GRPO = StageDescription(
    name="grpo",
    plan="corpusmill.pipelines.stages.grpo.plan:GrpoStage",
    command=("train", "grpo"),
    help="Train a model by rewards for what it writes itself (GRPO); resumes from its last checkpoint.",
    example="corpusmill train grpo run --prompts sums.jsonl --rewards exact --output rewarded",
    positional=("run",),
    output="RUN",
    makes="policy",
    holds="a model trained by rewards",
    reads=("run",),
    reads_tokens=True,
    side_folders=("rollouts",),
    rows=_rows,
    tiles=_tiles,
    report="corpusmill.pipelines.stages.grpo.report:REPORT",
    progress="corpusmill.pipelines.stages.grpo.progress:progress_line",
)
