"""`corpusmill model generate|evaluate|export|import`: what is done with trained models."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from corpusmill.pipelines.cli.apps import group_app, help_text
from corpusmill.pipelines.cli.model_evaluate import evaluate
from corpusmill.pipelines.cli.model_generate import generate

HELP = """Generate text with a trained model, measure it, or convert it to a Hugging Face folder (DeepseekV3) and back.

Example: corpusmill model generate quickstart-output/model --prompt "The function" --temperature 0.8"""

Dtype = Annotated[str, typer.Option(help="dtype of the weights: float32 or bfloat16", metavar="TYPE")]


def app_for(name: str) -> typer.Typer:
    """The typer application of the commands."""
    app = group_app(HELP)
    commands: dict[str, Callable[..., None]] = {
        "generate": generate,
        "evaluate": evaluate,
        "export": _export,
        "import": _import,
    }
    for command, function in commands.items():
        app.command(command, help=help_text(function.__doc__ or ""))(function)
    return app


def _export(
    run: Annotated[str, typer.Argument(help="the folder of a finished training run", metavar="RUN")],
    output: Annotated[str, typer.Option(help="output folder", metavar="FOLDER")],
    dtype: Dtype = "float32",
    average: Annotated[bool, typer.Option("--average", help="export the moving average of the weights")] = False,
    tokenizer: Annotated[
        str | None,
        typer.Option(help="the tokenizer folder of the run's shards, if it was moved", metavar="TOKENIZER"),
    ] = None,
    no_tokenizer: Annotated[bool, typer.Option("--no-tokenizer", help="leave the tokenizer out")] = False,
) -> None:
    """Write a model for transformers: config.json and safetensors, MTP modules as in DeepSeek's release.

    The tokenizer that the run's shards were made with comes along, as tokenizer.json and tokenizer_config.json, for
    AutoTokenizer, and with roles also chat_template.jinja.

    Example: corpusmill model export quickstart-output/model --output exported --dtype bfloat16
    """
    huggingface = _huggingface()
    values = huggingface.read_run_config(Path(run))[1]
    if not no_tokenizer:
        tokenizer = tokenizer or _tokenizer_of(run, values)
    files = _tokenizer_files(tokenizer, values) if tokenizer and not no_tokenizer else []
    stops = _stop_ids(tokenizer) if files and tokenizer else []
    config = huggingface.export_run(run, output, dtype, files, average, stops)
    _print_made(output, config)


def _import(
    folder: Annotated[str, typer.Argument(help="a Hugging Face folder of the type deepseek_v3", metavar="FOLDER")],
    output: Annotated[str, typer.Option(help="output folder, laid out like a finished run's", metavar="RUN")],
    dtype: Dtype = "float32",
    mtp: Annotated[
        str | None,
        typer.Option(
            help="a folder to take MTP modules from, such as the export that TRL trained: what it saves has none",
            metavar="FOLDER",
        ),
    ] = None,
) -> None:
    """Make model.safetensors and config.json, as in a finished run, from a Hugging Face folder.

    Weights are read from safetensors only. Tensors that are missing, unexpected or of another shape are an error.

    Example: corpusmill model import exported --output imported
    """
    opened = _huggingface().import_run(folder, output, dtype, mtp)
    _print_made(output, opened.config)
    if opened.left_behind:
        print(
            "without MTP modules: config.json names some and the weights have none; --mtp takes those of the export",
            file=sys.stderr,
        )


def _tokenizer_of(run: str, values: dict[str, Any]) -> str | None:
    """The tokenizer folder that the run's shards were made with; None for a model that was not trained on shards.

    Raises UserError where it is no longer there.
    """
    from corpusmill.dataproc.errors import UserError
    from corpusmill.pipelines.inspect.places import tokenizer_of_run

    if "shards" not in values:  # imported weights
        return None
    if (tokenizer := tokenizer_of_run(run)) is None:
        what = "the tokenizer that this model was trained with is no longer where it was"
        raise UserError(what, where=run, hint="name it with --tokenizer, or leave it out with --no-tokenizer")
    return tokenizer


def _huggingface() -> Any:
    from corpusmill.dataproc.errors import require_extra

    try:
        from corpusmill.training.huggingface import folder as huggingface
    except ImportError as error:
        raise require_extra(error.name or "torch", "train") from error
    return huggingface


def _tokenizer_files(tokenizer: str, run: dict[str, Any]) -> list[Path]:
    """The files that `transformers` reads a tokenizer from. Raises UserError for another tokenizer than the run's."""
    from corpusmill.dataproc.errors import UserError
    from corpusmill.tokenizer.chat import CHAT_TEMPLATE
    from corpusmill.tokenizer.formats.files import CONFIG, TOKENIZER, read_tokenizer

    fingerprint = read_tokenizer(tokenizer).fingerprint
    wanted = run.get("shards", {}).get("tokenizer", fingerprint)
    if fingerprint != wanted:
        raise UserError("the model was trained with another tokenizer", tokenizer, "use the tokenizer of its shards")
    beside = [Path(tokenizer) / name for name in (TOKENIZER, CONFIG, CHAT_TEMPLATE)]
    return [path for path in beside if path.exists()]


def _stop_ids(tokenizer: str) -> list[int]:
    """The ids that end a text, where those that end an answer are others than the end of a document."""
    from corpusmill.tokenizer.chat import template_of
    from corpusmill.tokenizer.formats.files import read_tokenizer

    special = read_tokenizer(tokenizer).special
    template = template_of(special.ids)
    ends = [special.ids[text] for text in template.ends] if template else []
    documents = [special.roles["eos"]] if "eos" in special.roles else []
    return sorted({*documents, *ends}) if set(ends) - set(documents) else []


def _print_made(output: str, config: Any) -> None:
    from corpusmill.dataproc import storage
    from corpusmill.training.model.config import parameters

    counted = parameters(config)
    print(f"{storage.absolute(output)}: {counted.total:,} parameters, {counted.mtp_total:,} in MTP modules")
