"""`corpusmill train --simulate LAYOUT`: what a layout costs, or which layout of so many GPUs is the fastest.

All numbers come from `training/simulate/`, which needs no GPU and no torch. A layout that says everything (GPUs,
pipeline, expert, schedule) is priced as it is; what it leaves out is searched for, among layouts that fit into memory.
"""

import json
from typing import Annotated

import typer

from corpusmill.dataproc import storage
from corpusmill.dataproc.errors import UserError
from corpusmill.pipelines.cli.flags import read_assignments
from corpusmill.pipelines.stages.train.simulated import SCHEMA, campaign_rows, campaign_values, gpu_and_layout
from corpusmill.pipelines.summary import print_json
from corpusmill.pipelines.terminal import Column, output_console, pairs, print_lines, print_sentence, table
from corpusmill.training.model.config import preset as preset_named
from corpusmill.training.simulate.campaign import Campaign, length_of_run, price
from corpusmill.training.simulate.hardware import Gpu, measured_products, with_products
from corpusmill.training.simulate.layout import Layout, layout_values
from corpusmill.training.simulate.picture import draw
from corpusmill.training.simulate.search import Search, answer, fewest_gpus, says_all
from corpusmill.training.simulate.step import Workload, timeline

DESCRIPTION = """What a layout of GPUs costs: seconds of a step, memory, GPU-hours, dollars; trains nothing.

LAYOUT is gpus=N with any of pipeline, expert, context, schedule (1f1b, zb1p, zbv, dualpipe, dualpipev), micro_batch,
precision (fp8, bfloat16) and recompute (no, selective, layers), as NAME=VALUE with commas; or N alone; or v3-report.
What is left out is searched for. Before it, h800:, h100:, h200: or b200: names the GPU.

Example: corpusmill train --simulate h200:gpus=256 --preset v3-671b --tokens 1e12"""


def simulate_command(
    simulate: Annotated[str, typer.Option(help="the layout, after the GPU and a colon", metavar="LAYOUT")],
    preset: Annotated[str, typer.Option(help="the model", metavar="PRESET")] = "v3-671b",
    model: Annotated[str, typer.Option(help="override fields of the preset", metavar="NAME=VALUE,...")] = "",
    sequence_length: Annotated[int, typer.Option(help="tokens per sequence", min=1, metavar="N")] = 4096,
    batch_sequences: Annotated[int, typer.Option(help="sequences in a step", min=1, metavar="N")] = 15_360,
    tokens: Annotated[float, typer.Option(help="length of the run in tokens", min=1, metavar="N")] = 14.8e12,
    first_batch_sequences: Annotated[
        int | None, typer.Option(help="sequences in the first step, from which the batch grows", min=1, metavar="N")
    ] = None,
    batch_ramp_tokens: Annotated[int, typer.Option(help="tokens over which it grows", min=0, metavar="N")] = 0,
    dollars: Annotated[float | None, typer.Option(help="price of a GPU-hour", min=0, metavar="N")] = None,
    products: Annotated[
        str | None, typer.Option(help="hopper.json of benchmarks/hopper.py: measured products", metavar="FILE")
    ] = None,
    picture: Annotated[
        str | None, typer.Option(help="draw one step of the best layout's pipeline, as SVG", metavar="FILE")
    ] = None,
    top: Annotated[int, typer.Option(help="layouts to list", min=1, metavar="N")] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Prices a layout. Raises UserError for what cannot be."""
    from corpusmill.pipelines.cli.train import number

    gpu, text = gpu_and_layout(simulate)
    gpu = _measured(gpu, products)
    overrides = {name: number(value) for name, value in read_assignments(model, "model").items()}
    work = Workload(preset_named(preset, overrides), sequence_length, batch_sequences)
    if (first_batch_sequences is None) != (batch_ramp_tokens == 0):
        what = "first_batch_sequences and batch_ramp_tokens go together"
        raise UserError(what, where="--batch-ramp-tokens", hint="give both or none")
    length = length_of_run(tokens, work, first_batch_sequences, batch_ramp_tokens)
    given = layout_values(text)
    result = answer(work, gpu, given, top)
    campaigns = [price(step, work, gpu, length, dollars) for step in result.fitting or (result.nearest,) if step]
    fewest = None
    if not result.fitting and not says_all(given):
        fewest = fewest_gpus(work, gpu, {**given, "gpus": 2 * int(str(given["gpus"]))})
    if picture is not None:
        _draw(work, gpu, campaigns[0].step.layout, picture)
    if as_json:
        priced = [campaign_values(work, gpu, campaign) for campaign in campaigns]
        values = {"preset": preset, "tried": result.tried, "fit": result.fit, "fewest_gpus": fewest}
        print_json({"schema": SCHEMA, **values, "layouts": priced})
    else:
        _print(preset, work, gpu, result, campaigns, fewest)
    if not result.fitting and not says_all(given):
        raise typer.Exit(1)


def _measured(gpu: Gpu, products: str | None) -> Gpu:
    """The GPU, with rates of products that were measured on one."""
    if products is None:
        return gpu
    try:
        rows = json.loads(storage.read_bytes(products))["products"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        hint = "give the hopper.json that benchmarks/hopper.py wrote on a GPU"
        raise UserError("this cannot be read as measurements", where=products, hint=hint) from error
    return with_products(gpu, *measured_products(rows))


def _draw(work: Workload, gpu: Gpu, layout: Layout, path: str) -> None:
    line = timeline(work, layout, gpu)
    micro_batches = layout.micro_batches(work.batch_sequences)
    title = f"{layout.text}: {micro_batches} micro-batches, {line.seconds:.2f} s, {line.mean_bubble:.2f} s idle"
    width = max(1100, 24 * micro_batches * layout.plan.stages_a_rank // layout.plan.copies)
    svg = draw(line, title, micro_batches, layout.stages, layout.plan.copies, width)
    storage.commit_bytes(path, svg.encode())


def _print(
    preset: str, work: Workload, gpu: Gpu, result: Search, campaigns: list[Campaign], fewest: int | None
) -> None:
    console = output_console()
    if not result.fitting:
        if result.tried == 1:
            said = f"This layout does not fit into {gpu.name}'s memory."
        else:
            enough = "no number of GPUs up to 65,536 does" if fewest is None else f"{fewest:,} GPUs have one that does"
            said = f"None of {result.tried:,} layouts fits into {gpu.name}'s memory; {enough}. The nearest:"
        print_sentence(console, said, style="bold")
    elif result.tried > 1:
        print_sentence(console, f"{result.fit:,} of {result.tried:,} layouts fit; the fastest:", style="bold")
        names = ("layout", "step", "tokens/s/GPU", "MFU", "bubble", "memory", "GPU-hours", "price")
        columns = [Column(name, right=place > 0) for place, name in enumerate(names)]
        print_lines(console, table(columns, [_row(work, gpu, campaign) for campaign in campaigns], console.width))
        console.print()
    print_lines(console, pairs(campaign_rows(preset, work, gpu, campaigns[0]), console.width))
    if campaigns[0].step.layout.recompute == "layers":
        print_sentence(console, "Recomputing whole layers is priced here, and not yet in this trainer.")
    if gpu.carried_over:
        print_sentence(
            console, f"What kernels reach on {gpu.name} is carried over from H800 by peak, and not measured."
        )


def _row(work: Workload, gpu: Gpu, campaign: Campaign) -> list[str]:
    step = campaign.step
    return [
        step.layout.text,
        f"{step.seconds:.2f} s",
        f"{step.tokens_a_second:,.0f}",
        f"{step.mfu(work.config, work.sequence_length, gpu):.1%}",
        f"{step.bubble_seconds / step.seconds:.1%}",
        f"{step.memory_bytes / 1e9:.1f} GB",
        f"{campaign.gpu_hours:,.0f}",
        f"${campaign.dollars:,.0f}",
    ]
