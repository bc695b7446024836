"""`corpusmill model evaluate`: how well a model predicts documents, by what they are."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from corpusmill.dataproc.errors import UserError
from corpusmill.pipelines.cli.model_generate import Average, Device, Dtype, Run, Threads, Tokenizer
from corpusmill.pipelines.summary import SCHEMA, print_json
from corpusmill.pipelines.terminal import Column, output_console, print_lines, print_sentence, table
from corpusmill.pipelines.visible import one_line

if TYPE_CHECKING:
    from corpusmill.pipelines.evaluation import Measured, Measurement

_NAME = 40


def evaluate(
    run: Run,
    data: Annotated[
        str | None, typer.Argument(help="a folder of token shards, or a dataset", metavar="[SHARDS|DATASET]")
    ] = None,
    tasks: Annotated[
        list[str] | None,
        typer.Option(
            help="a task of lm-evaluation-harness: its name, or a YAML file; may be repeated (extra eval)",
            metavar="TASK",
        ),
    ] = None,
    fim: Annotated[
        int, typer.Option(help="also ask for a line of so many code documents of the dataset", min=0, metavar="N")
    ] = 0,
    limit: Annotated[int | None, typer.Option(help="items of each task, at most", min=1, metavar="N")] = None,
    share: Annotated[
        float, typer.Option(help="part of a dataset's documents to measure, drawn by id", metavar="X")
    ] = 1.0,
    sequences: Annotated[int, typer.Option(help="packed sequences of shards to measure", min=1, metavar="N")] = 256,
    average: Average = False,
    tokenizer: Tokenizer = None,
    dtype: Dtype = "float32",
    device: Device = "cpu",
    threads: Threads = 1,
    as_json: Annotated[bool, typer.Option("--json", help="as a JSON object")] = False,
) -> None:
    """Measure a model: loss (nats a token) and bits per byte, by source, kind and language.

    Documents of a dataset are measured one by one; of shards the held-back sequences, where there are some. Of a
    dataset made by decontaminate, contaminated and clean documents also stand apart.

    Example: corpusmill model evaluate quickstart-output/model quickstart-output/shards
    """
    from corpusmill.pipelines.evaluation import evaluate as measure
    from corpusmill.pipelines.generation import TextGenerator
    from corpusmill.pipelines.harness import run_tasks
    from corpusmill.pipelines.infilling import evaluate_infilling

    if data is None and not tasks:
        raise UserError("nothing to measure", hint="name a folder of shards, a dataset, or --tasks")
    writer = TextGenerator(run, tokenizer, average=average, dtype=dtype, device=device, threads=threads)
    measurement = measure(writer, data, share=share, sequences=sequences) if data else None
    scores = run_tasks(writer, tasks, limit) if tasks else {}
    if fim and data:
        filled = evaluate_infilling(writer, data, fim)
        scores["fill-in-the-middle"] = {"lines": filled.holes, "exact_match": filled.exact_match}
    if as_json:
        print_json(_as_values(run, data, measurement) | {"tasks": scores})
        return
    if measurement:
        _show(measurement)
    if scores:
        _show_tasks(scores)


def _as_values(run: str, data: str | None, measurement: "Measurement | None") -> dict[str, Any]:
    from corpusmill.dataproc import storage

    values: dict[str, Any] = {"schema": SCHEMA, "run": storage.absolute(run)}
    if data is None or measurement is None:
        return values
    by = {name: {value: _numbers(sums) for value, sums in sorts.items()} for name, sorts in measurement.by.items()}
    values |= {"data": storage.absolute(data), "held_back": measurement.held_back}
    return values | _numbers(measurement.total) | {"by": by}


def _numbers(sums: "Measured") -> dict[str, Any]:
    return {
        "documents": sums.documents,
        "tokens": sums.tokens,
        "bytes": sums.bytes,
        "loss": sums.loss,
        "bits_per_byte": sums.bits_per_byte,
    }


def _show(measurement: "Measurement") -> None:
    console = output_console()
    if measurement.held_back:
        print_sentence(console, "held-back sequences, predicted as in training")
    numbers = ("documents", "tokens", "bytes", "nats per token", "bits per byte")
    columns = [Column(""), *(Column(name, right=True) for name in numbers)]
    print_lines(console, table(columns, list(_rows(measurement)), console.width))


def _show_tasks(scores: dict[str, dict[str, Any]]) -> None:
    console = output_console()
    columns = [Column("task"), Column("metric"), Column("", right=True)]
    rows = [
        [one_line(task, _NAME), one_line(name, _NAME), _number(value)]
        for task, numbers in scores.items()
        for name, value in numbers.items()
    ]
    print_lines(console, table(columns, rows, console.width))


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:.4f}"


def _rows(measurement: "Measurement") -> Iterator[list[str | Text]]:
    yield [Text("all", style="bold"), *_cells(measurement.total)]
    for name, values in measurement.by.items():
        for value, sums in sorted(values.items(), key=lambda pair: (-pair[1].tokens, pair[0])):
            yield [f"{name} {one_line(value, _NAME)}", *_cells(sums)]


def _cells(sums: "Measured") -> list[str]:
    counts = [f"{count:,}" for count in (sums.documents, sums.tokens, sums.bytes)]
    return counts + ["" if value is None else f"{value:.4f}" for value in (sums.loss, sums.bits_per_byte)]
