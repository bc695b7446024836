"""`corpusmill train SHARDS --output …`, `train grpo|reward RUN`, `train --describe PRESET`, `train --simulate LAYOUT`.

The stage's own command is made from its settings like any other. With `--describe` or `--simulate` among the
arguments another command answers, which takes a layout instead of shards and an output, and trains nothing. Under
torchrun every rank runs this command; rank 0 alone runs the stage (`pipelines/stages/train/work/launched.py`).
"""

from collections.abc import Callable
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperCommand
from typer.main import get_command

from corpusmill.dataproc.errors import UserError
from corpusmill.pipelines.cli.apps import command_app
from corpusmill.pipelines.cli.describe_model import describe_model
from corpusmill.pipelines.cli.flags import options_of, read_assignments, with_options
from corpusmill.pipelines.cli.stages import stage_command

DESCRIBE, SIMULATE = "--describe", "--simulate"
FURTHER = ("grpo", "reward")
"""Stages that train on a model; each is a command behind `train`."""

HELP = """

With --describe PRESET it trains nothing: it prints what a model is made of, its FLOPs per token and its memory; see
corpusmill train --describe tiny --help. With --simulate LAYOUT it prints what a run would take on GPUs that are not
here, and which layout is the fastest; see corpusmill train --simulate 2048 --help.

corpusmill train grpo RUN trains a model by rewards for what it writes, corpusmill train reward RUN one that scores
texts, by pairs; see their --help."""

DESCRIPTION = """Parameters, FLOPs per token and memory per rank of a model in a given layout; trains nothing.

Example: corpusmill train --describe v2-lite-16b --sequence-length 4096 --ranks 8 --zero 1 --recompute"""


class TrainOrDescribe(TyperCommand):
    """The stage's command, that of `--describe` or `--simulate` where one is among the arguments, or that of a stage
    which trains on a model, where its name is the first argument (a folder of that name is written ./grpo)."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        def among(flag: str) -> bool:
            return any(argument == flag or argument.startswith(f"{flag}=") for argument in args)

        if args and args[0] in FURTHER:
            command = get_command(command_app(*stage_command(args[0])))
            return command.make_context(f"{info_name} {args[0]}", args[1:], parent, **extra)
        if among(SIMULATE):
            from corpusmill.pipelines.cli import simulate

            command = get_command(command_app(simulate.simulate_command, simulate.DESCRIPTION))
            return command.make_context(info_name, args, parent, **extra)
        if among(DESCRIBE):
            command = get_command(command_app(describe_command, DESCRIPTION))
            return command.make_context(info_name, args, parent, **extra)
        return super().make_context(info_name, args, parent, **extra)


DescribeOption = Annotated[
    str | None,
    typer.Option(help="print the parameters, operations and memory of this preset, without training", metavar="PRESET"),
]


SimulateOption = Annotated[
    str | None,
    typer.Option(help="print what a run would take on GPUs laid out like this, without training", metavar="LAYOUT"),
]


def describe_command(
    describe: Annotated[str, typer.Option(help="the preset to describe", metavar="PRESET")],
    model: Annotated[str, typer.Option(help="override fields of the preset", metavar="NAME=VALUE,...")] = "",
    sequence_length: Annotated[int, typer.Option(help="tokens per sequence", min=1, metavar="N")] = 4096,
    micro_batch: Annotated[int, typer.Option(help="sequences per forward pass", min=1, metavar="N")] = 1,
    ranks: Annotated[int, typer.Option(help="data-parallel processes", min=1, metavar="N")] = 1,
    zero: Annotated[
        int, typer.Option(help="ZeRO stage; 1 shares optimiser state out among ranks", min=0, max=1, metavar="0|1")
    ] = 0,
    precision: Annotated[
        Literal["mixed", "float32", "fp8"],
        typer.Option(
            help="mixed: BF16 weights and moments, FP32 master weights and gradients; fp8: that with layers' products "
            "and their inputs in FP8"
        ),
    ] = "mixed",
    device: Annotated[
        Literal["gpu", "cpu"], typer.Option(help="device to estimate for; RMSNorm keeps more in memory on a CPU")
    ] = "gpu",
    recompute: Annotated[
        bool, typer.Option("--recompute", help="recompute norms, MLA's up-projections and SwiGLU")
    ] = False,
    average: Annotated[
        bool, typer.Option("--average/--no-average", help="a moving average of the weights in CPU memory")
    ] = True,
) -> None:
    """Prints what a preset is made of and what it costs. Raises UserError for what cannot be."""
    from corpusmill.training.model.config import preset
    from corpusmill.training.model.memory import FLOAT32, MemoryLayout

    types: dict[str, Any] = dict(FLOAT32) if precision == "float32" else {}
    layout = MemoryLayout(
        ranks=ranks,
        zero=zero,
        sequence_length=sequence_length,
        micro_batch=micro_batch,
        average="float32" if average else None,
        recompute=recompute,
        fused_norms=device == "gpu",
        fp8=precision == "fp8",
        **types,
    )
    overrides = {name: number(value) for name, value in read_assignments(model, "model").items()}
    describe_model(describe, preset(describe, overrides), layout)


def number(text: str) -> int | float:
    """What a field of a model is set to. Raises UserError."""
    try:
        value = float(text)
    except ValueError:
        raise UserError(f"'{text}' is not a number", where="--model", hint="give NAME=NUMBER") from None
    return int(value) if value.is_integer() else value


def app_for(name: str) -> typer.Typer:
    """The typer application of both commands."""
    run, text = stage_command("train")
    line, example = text.split("\n\nExample: ")

    def command(**values: Any) -> None:
        _run_here_or_launched(run, values)

    with_options(command, options_of(run) | {"describe": (DescribeOption, None), "simulate": (SimulateOption, None)})
    return command_app(command, f"{line}{HELP}\n\nExample: {example}", TrainOrDescribe)


def _run_here_or_launched(run: Callable[..., None], values: dict[str, Any]) -> None:
    """The stage's command; as one of several ranks that torchrun started, its part of it."""
    from corpusmill.pipelines.engine.ranks import launched_ranks

    if launched_ranks() == 1:
        return run(**values)
    if values["engine"] == "ray":
        raise UserError("torchrun and Ray cannot both start the ranks", where="--engine", hint="leave one of them out")
    from corpusmill.pipelines.stages.train.work.launched import run_launched
    from corpusmill.pipelines.stages.train.work.training import train_rank

    here = values | {"engine": "local", "workers": 1}
    return run_launched(values["device"] or "auto", lambda: run(**here), train_rank)
