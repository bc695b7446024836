"""One command for each stage, with the stage's settings as flags."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from corpusmill.pipelines.cli.apps import command_app
from corpusmill.pipelines.cli.flags import RUN_OPTIONS, model_options, read_model, with_options
from corpusmill.pipelines.engine.stage import Stage
from corpusmill.pipelines.stages import stage_type


@dataclass(frozen=True)
class StageCommand:
    """How a stage is called: which fields are arguments, what its output is called, and an example."""

    positional: tuple[str, ...]
    output: str
    example: str
    line: str


COMMANDS = {
    "ingest": StageCommand(
        ("inputs",),
        "DATASET",
        "corpusmill ingest 'crawl/*.jsonl.zst' notes/ --output documents --source crawl --kind web",
        "Raw files (JSON lines, JSON, CSV, Parquet, Arrow, Hugging Face datasets, web archives, HTML, text, code "
        "repositories) to a dataset of documents.",
    ),
    "filter": StageCommand(
        ("datasets",),
        "DATASET",
        "corpusmill filter documents --output clean --rules gopher-quality,gopher-repetition,fineweb,code",
        "Measure every document once and keep it by rules; every broken rule goes into the ledger.",
    ),
    "dedup": StageCommand(
        ("datasets",),
        "DATASET",
        "corpusmill dedup clean --output unique --method exact,minhash --threshold 0.8",
        "Remove exact and near duplicates; each removed document names its survivor.",
    ),
    "spans": StageCommand(
        ("datasets",),
        "DATASET",
        "corpusmill spans unique --output trimmed --unit substring --length 200 --action cut",
        "Find repeated substrings, paragraphs or lines; report them, cut them out, or remove documents full of them.",
    ),
    "decontaminate": StageCommand(
        ("datasets",),
        "DATASET",
        "corpusmill decontaminate unique --against gsm8k=eval/gsm8k.jsonl --fields gsm8k=question+answer"
        " --action remove --output decontaminated",
        "Find items of evaluation sets in documents by n-grams of words; report, cut or remove.",
    ),
    "mixture": StageCommand(
        ("datasets",),
        "DATASET",
        "corpusmill mixture unique --output mixed --by source,language --source-weights web=0.7,code=0.3 --total 10GB",
        "Documents repeated, drawn or dropped until sources, kinds and languages have the weights that are asked for.",
    ),
    "quality-train": StageCommand(
        (),
        "CLASSIFIER",
        "corpusmill quality train --positive textbooks --negative crawl --negative-cap 200000 --output classifier",
        "Train a fastText classifier on documents to have more and fewer of; measure it on documents held back.",
    ),
    "quality-score": StageCommand(
        ("datasets",),
        "DATASET",
        "corpusmill quality score crawl --model classifier --output scored",
        "Add a classifier's score to every document; any fastText classifier will do.",
    ),
    "quality-keep": StageCommand(
        ("datasets",),
        "DATASET",
        "corpusmill quality keep scored --top-share 0.1 --by language --output good",
        "Keep scored documents: above a threshold, the best share of them, or by a seeded Pareto draw.",
    ),
    "pack": StageCommand(
        ("datasets",),
        "SHARDS",
        "corpusmill pack unique --tokenizer tokenizer --output shards --sequence-length 4096 --fim-rate 0.1",
        "Tokens, fill-in-the-middle and best-fit packing into Arrow shards.",
    ),
    "export": StageCommand(
        ("shards",),
        "FOLDER",
        "corpusmill export shards --to megatron --output for-megatron --unit document",
        "Token shards as Megatron, Mosaic MDS, Hugging Face or flat files.",
    ),
    "import": StageCommand(
        ("paths",),
        "SHARDS",
        "corpusmill import tokens/ --format megatron --tokenizer tokenizer --output shards --sequence-length 4096",
        "Tokenised documents of Megatron, Mosaic MDS, Hugging Face or flat files to token shards.",
    ),
    "train": StageCommand(
        ("shards",),
        "RUN",
        "corpusmill train shards --output run --preset laptop --steps 300",
        "Train a DeepSeek-V3-shaped model on shards; resumes from its last checkpoint.",
    ),
    "count": StageCommand(
        ("datasets",),
        "COUNTS",
        "corpusmill tokenizer count unique --output counts --group-by language",
        "Count pretokens into a table that any vocabulary can be learned from, and that more text can be added to.",
    ),
    "tokenizer": StageCommand(
        ("datasets",),
        "TOKENIZER",
        "corpusmill tokenizer train unique --output tokenizer --vocab-size 128000",
        "Count pretokens and learn a byte-level BPE from the counts.",
    ),
}


def stage_command(name: str) -> tuple[Callable[..., Any], str]:
    """(the function that typer makes a command of, its help)."""
    described, made_of = COMMANDS[name], stage_type(name)

    def command(**values: Any) -> None:
        _run(made_of, values)

    output = Annotated[str, typer.Option(help=f"the {described.output} folder to make", metavar=described.output)]
    seed = Annotated[int, typer.Option(help="seed of every draw", min=0, metavar="N")]
    options = model_options(made_of.Settings, described.positional)
    required = {key: value for key, value in options.items() if value[1] is ...}
    optional = {key: value for key, value in options.items() if value[1] is not ...}
    with_options(command, required | {"output": (output, ...)} | optional | {"seed": (seed, 0)} | RUN_OPTIONS)
    return command, f"{described.line}\n\nExample: {described.example}"


def app_for(name: str) -> typer.Typer:
    """The typer application of a stage's command."""
    return command_app(*stage_command(name))


def _run(made_of: type[Stage], values: dict[str, Any]) -> None:
    from corpusmill.pipelines.recipe import NamedStage, Recipe
    from corpusmill.pipelines.running import RunOptions, run_recipe

    settings = read_model(made_of.Settings, values)
    stage = made_of(settings, seed=values["seed"])
    output = values["output"]
    named = NamedStage(name=made_of.name, folder=output, stage=stage)
    recipe = Recipe(name=made_of.name, output=output, seed=values["seed"], stages=(named,))
    options = RunOptions.from_flags(values)
    raise typer.Exit(run_recipe(recipe, options))
