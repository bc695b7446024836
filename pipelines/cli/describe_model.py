"""Prints what a model is made of and what it costs: as tables in a terminal, as plain lines in a pipe.

All numbers come from closed forms (`training/model/config.py`, `training/model/memory.py`), so even the largest model
is described at once, without torch.
"""

from dataclasses import dataclass

from rich.text import Text

from corpusmill.pipelines.guarded_streams import Console
from corpusmill.pipelines.terminal import Column, output_console, print_lines, print_sentence, table
from corpusmill.training.model.config import ModelConfig, flops_per_token, parameters, parts
from corpusmill.training.model.memory import MemoryLayout, memory

KIB = 2**10
MAIN, TOTAL = "main model", "total"
SUMS = (MAIN, TOTAL)


@dataclass(frozen=True)
class NumberTable:
    """A heading, names of columns, rows of strings; all columns but the first stand to the right."""

    heading: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def describe_model(name: str, config: ModelConfig, layout: MemoryLayout) -> None:
    """Prints parameters, operations a token and memory a rank. Raises UserError for a layout that doesn't fit."""
    tables = (
        parameter_table(name, config),
        operation_table(config, layout.sequence_length),
        memory_table(config, layout),
    )
    console = output_console()
    for number, numbers in enumerate(tables):
        if number:
            console.print()
        _print(console, numbers)


def parameter_table(name: str, config: ModelConfig) -> NumberTable:
    """Parameters by part, total and active; the main model's sum leaves MTP out, as DeepSeek's counts do."""
    counted = parameters(config)
    main = [(part.name, part.total, part.active) for part in parts(config) if part.total and not part.mtp]
    rows = [*main, (MAIN, counted.total, counted.active)]
    if counted.mtp_total:
        rows.append(("MTP modules", counted.mtp_total, counted.mtp_active))
        rows.append(("with MTP", counted.total + counted.mtp_total, counted.active + counted.mtp_active))
    return NumberTable(
        f"{name}: {count_text(counted.total)} parameters, {count_text(counted.active)} active per token",
        ("parameters", "total", "active"),
        tuple((part, count_text(total), count_text(active)) for part, total, active in rows),
    )


def operation_table(config: ModelConfig, length: int) -> NumberTable:
    """FLOPs of forward and backward for one token: causal and not, with and without MTP."""
    rows = []
    for what, causal in (("causal: half of the attention matrix", True), ("whole attention matrix", False)):
        without, with_mtp = (flops_per_token(config, length, causal, mtp) for mtp in (False, True))
        rows.append((what, operations_text(without), operations_text(with_mtp)))
    heading = f"FLOPs per token, forward and backward, in a sequence of {length:,}; recomputation is not counted"
    return NumberTable(heading, ("FLOPs per token", MAIN, "with MTP"), tuple(rows))


def memory_table(config: ModelConfig, layout: MemoryLayout) -> NumberTable:
    """Bytes on one rank by role, and what each takes a parameter or a token."""
    memory_used = memory(config, layout)
    trained = parameters(config).total + parameters(config).mtp_total
    tokens = layout.micro_batch * layout.sequence_length
    state = (
        ("weights", memory_used.weights, layout.weights),
        ("master weights", memory_used.master_weights, layout.master_weights),
        ("gradients", memory_used.gradients, layout.gradients),
        ("AdamW's moments", memory_used.moments, layout.moments),
    )
    kept_type = "fp8, bfloat16" if layout.fp8 else layout.weights
    rows = [
        (what, size_text(count), f"{count / trained:.3g} B per parameter", kind) for what, count, kind in state if count
    ]
    rows += [
        (f"activations: {part}", size_text(count), f"{count / tokens / KIB:,.1f} KiB per token", kept_type)
        for part, count in memory_used.activations.items()
        if count
    ]
    rows.append(("workspace", size_text(memory_used.workspace), "", ""))
    rows.append((TOTAL, size_text(memory_used.total), "", ""))
    if layout.average:
        rows.append(
            (
                "in CPU memory: average",
                size_text(memory_used.average),
                f"{memory_used.average / trained:.3g} B per parameter",
                layout.average,
            )
        )
    ranks = f"{layout.ranks:,} data-parallel rank{'s' if layout.ranks > 1 else ''}, ZeRO {layout.zero}"
    batch = f"{layout.micro_batch} x {layout.sequence_length:,} tokens per forward pass"
    recomputed = "selective recomputation" if layout.recompute else "nothing recomputed"
    heading = f"memory per rank, each holding the whole model: {ranks}, {batch}, {recomputed}"
    return NumberTable(heading, ("memory", "size", "each", "type"), tuple(rows))


def count_text(count: float) -> str:
    """671.026 B, 14.369 M: B for a thousand million, as models are named."""
    return _scaled(count, (("T", 1e12), ("B", 1e9), ("M", 1e6), ("k", 1e3)), 3)


def operations_text(count: float) -> str:
    """250.5 G, 85.4 M."""
    return _scaled(count, (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)), 1)


def size_text(count: float) -> str:
    """73.61 GiB, 219.12 MiB."""
    return _scaled(count, (("TiB", 2**40), ("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)), 2)


def _scaled(count: float, units: tuple[tuple[str, float], ...], digits: int) -> str:
    """In the largest unit that it fills, without one where it fills none."""
    for unit, worth in units:
        if count >= worth:
            return f"{count / worth:.{digits}f} {unit}"
    return f"{count:.0f}"


def _print(console: Console, shown: NumberTable) -> None:
    print_sentence(console, shown.heading, style="bold")
    columns = [Column(name, right=place > 0) for place, name in enumerate(shown.columns)]
    rows = [[Text(cell, style="bold" if row[0] in SUMS else "") for cell in row] for row in shown.rows]
    print_lines(console, table(columns, rows, console.width))
