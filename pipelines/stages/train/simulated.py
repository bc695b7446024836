"""What a simulated layout comes to, as rows for a terminal and as values for programs.

`train --simulate` prints them, and so does `--dry-run` of a recipe whose `train` names a layout.
"""

from typing import Any

from corpusmill.training.model.config import parameters
from corpusmill.training.simulate.actions import Kind
from corpusmill.training.simulate.campaign import HOUR, Campaign
from corpusmill.training.simulate.hardware import Gpu, gpu_named
from corpusmill.training.simulate.step import RESERVED, SimulatedStep, Workload

SCHEMA = 1
"""Of the JSON."""

DAY = 24 * HOUR

WORDS = {
    Kind.FORWARD: "forward passes",
    Kind.BACKWARD: "backward passes",
    Kind.INPUT: "gradients of inputs",
    Kind.WEIGHT: "gradients of weights",
    Kind.PAIR: "overlapped pairs",
}


def gpu_and_layout(text: str) -> tuple[Gpu, str]:
    """The two parts of GPU:LAYOUT; without the first it is V3's H800. Raises UserError for an unknown GPU."""
    kind, colon, layout = text.partition(":")
    return (gpu_named(kind), layout) if colon else (gpu_named("h800"), text)


def campaign_rows(name: str, work: Workload, gpu: Gpu, campaign: Campaign) -> list[tuple[str, str]]:
    """What, and how much: model, memory, step, run, checkpoints, failures."""
    step, counted = campaign.step, parameters(work.config)
    return [
        ("parameters", f"{counted.total / 1e9:.3f} B of {name}, {counted.mtp_total / 1e9:.3f} B in MTP modules"),
        ("layout", f"{step.layout.text} on {step.layout.gpus:,} {gpu.name}"),
        ("layers by stage", " ".join(str(share.layers) for share in step.shares)),
        *memory_rows(step, gpu),
        *step_rows(work, gpu, step),
        *run_rows(campaign),
    ]


def memory_rows(step: SimulatedStep, gpu: Gpu) -> list[tuple[str, str]]:
    """Of the rank that needs the most."""
    fullest = step.memory[step.fullest]
    usable = gpu.memory_bytes * (1 - RESERVED)
    over = fullest.total - usable
    verdict = f"fits {_gigabytes(usable)} (a tenth left free)" if over <= 0 else f"{_gigabytes(over)} too much"
    parts = {
        "weights": fullest.weights,
        "gradients": fullest.gradients,
        "masters and moments": fullest.master_weights + fullest.moments,
        "activations": sum(fullest.activations.values()),
        "workspace": fullest.workspace,
    }
    return [
        (f"memory of rank {step.fullest}, the fullest", f"{_gigabytes(fullest.total)} of {gpu.name}: {verdict}"),
        ("  of which", ", ".join(f"{what} {_gigabytes(size)}" for what, size in parts.items())),
    ]


def step_rows(work: Workload, gpu: Gpu, step: SimulatedStep) -> list[tuple[str, str]]:
    """Seconds of a step and where they go, on the mean rank."""
    causal, whole = (step.mfu(work.config, work.sequence_length, gpu, causal) for causal in (True, False))
    spent = [(WORDS[kind], seconds) for kind, seconds in step.by_kind.items() if seconds]
    spent += [("bubble", step.bubble_seconds), ("optimiser", step.optimizer_seconds)]
    return [
        ("a step", f"{step.seconds:.2f} s for {work.step_tokens / 1e6:.2f} M tokens"),
        *((f"  {what}", f"{seconds:.2f} s, {seconds / step.seconds:.1%}") for what, seconds in spent),
        ("exchange with experts", f"{step.network_share:.2f} of forward passes' computation"),
        ("tokens a second", f"{step.tokens_a_second:,.0f} a GPU"),
        ("MFU", f"{causal:.2%} causal, {whole:.2%} not; no MTP, against {gpu.peak_bf16 / 1e12:,.0f} TFLOPS"),
    ]


def run_rows(campaign: Campaign) -> list[tuple[str, str]]:
    """The whole run, and what goes wrong in it."""
    run, dollars = campaign, campaign.dollars_of
    return [
        ("steps", f"{run.length.steps:,} for {run.length.tokens / 1e12:.3f} T tokens"),
        (
            "GPU-hours",
            f"{run.gpu_hours:,.0f}, {run.gpu_hours_a_trillion:,.0f} a trillion tokens; "
            f"{run.undisturbed_seconds / DAY:,.1f} days",
        ),
        ("a checkpoint", f"{run.checkpoint_bytes / 1e12:.2f} TB, stops {run.checkpoint_seconds:.2f} s, "
         f"written in {run.write_seconds:.0f} s; ${dollars(run.checkpoint_seconds):,.2f}"),
        ("checkpoints every", f"{run.checkpoint_interval:,.0f} s, "
         f"{run.checkpoint_interval / run.step.seconds:.0f} steps"),
        ("a lost node", f"{run.lost_seconds:,.0f} s, of which restart {run.restart_seconds:,.0f} s; "
         f"${dollars(run.lost_seconds):,.0f}; {run.failures:.0f} times expected"),
        ("the run with these", f"{run.gpu_hours_with_losses:,.0f} GPU-hours, {run.seconds / DAY:,.1f} days"),
        ("price", f"${run.dollars:,.0f} at ${run.dollars_an_hour:.2f} a GPU-hour; "
         f"${run.dollars_a_million:.3f} a million tokens"),
    ]  # fmt: skip


def campaign_values(work: Workload, gpu: Gpu, campaign: Campaign) -> dict[str, Any]:
    """The same for programs: seconds, bytes, dollars."""
    step, run = campaign.step, campaign
    layout = step.layout
    return {
        "gpu": gpu.name,
        "layout": {
            "gpus": layout.gpus,
            "pipeline": layout.pipeline,
            "expert": layout.expert,
            "context": layout.context,
            "data": layout.pipelines,
            "schedule": layout.plan.name,
            "micro_batch": layout.micro_batch,
            "precision": layout.precision,
            "recompute": layout.recompute,
        },
        "layers_by_stage": [share.layers for share in step.shares],
        "memory_bytes": [memory.total for memory in step.memory],
        "device_bytes": int(gpu.memory_bytes),
        "fits": step.fits(gpu),
        "step_seconds": step.seconds,
        "step_tokens": step.tokens,
        "seconds_by_part": {kind.name.lower(): seconds for kind, seconds in step.by_kind.items()}
        | {"bubble": step.bubble_seconds, "optimizer": step.optimizer_seconds},
        "tokens_a_second": step.tokens_a_second,
        "mfu_causal": step.mfu(work.config, work.sequence_length, gpu),
        "mfu_whole": step.mfu(work.config, work.sequence_length, gpu, causal=False),
        "steps": run.length.steps,
        "tokens": run.length.tokens,
        "gpu_hours": run.gpu_hours,
        "gpu_hours_a_trillion": run.gpu_hours_a_trillion,
        "gpu_hours_with_losses": run.gpu_hours_with_losses,
        "checkpoint_bytes": run.checkpoint_bytes,
        "checkpoint_seconds": run.checkpoint_seconds,
        "checkpoint_interval": run.checkpoint_interval,
        "failures": run.failures,
        "lost_seconds": run.lost_seconds,
        "restart_seconds": run.restart_seconds,
        "dollars_an_hour": run.dollars_an_hour,
        "dollars": run.dollars,
        "dollars_a_million_tokens": run.dollars_a_million,
    }


def _gigabytes(size: float) -> str:
    return f"{size / 1e9:.1f} GB"
