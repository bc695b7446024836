"""`corpusmill model generate`: text from a trained model, as it comes."""

import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from corpusmill.dataproc.errors import UserError
from corpusmill.pipelines.cli.model_chat import converse
from corpusmill.pipelines.summary import SCHEMA, print_json
from corpusmill.pipelines.terminal import output_console, print_sentence
from corpusmill.pipelines.visible import one_line, visible

if TYPE_CHECKING:
    from corpusmill.pipelines.generation import Generated, Piece

Run = Annotated[str, typer.Argument(help="folder of a finished run, an imported model, or a checkpoint", metavar="RUN")]
Tokenizer = Annotated[
    str | None, typer.Option(help="tokenizer folder; if left out, that of the run's shards", metavar="TOKENIZER")
]
Average = Annotated[bool, typer.Option("--average", help="use the moving average of the weights")]
Dtype = Annotated[str, typer.Option(help="number format to compute in: float32 or bfloat16", metavar="TYPE")]
Device = Annotated[str, typer.Option(help="where to compute: cpu or cuda", metavar="DEVICE")]
Threads = Annotated[int, typer.Option(help="CPU threads; for small models one is fastest", min=1, metavar="N")]


def generate(
    run: Run,
    prompt: Annotated[
        list[str] | None, typer.Option("--prompt", "-p", help="text to go on from; may be repeated", metavar="TEXT")
    ] = None,
    prompts: Annotated[
        str | None, typer.Option(help="file with a prompt a line; - is standard input", metavar="FILE")
    ] = None,
    max_tokens: Annotated[int, typer.Option(help="most new tokens of a text", min=1, metavar="N")] = 128,
    temperature: Annotated[
        float, typer.Option(help="0: always the likeliest token; 1: the model's own probabilities", min=0, metavar="X")
    ] = 0.0,
    top_p: Annotated[
        float, typer.Option(help="draw from the likeliest tokens that together have this probability", metavar="X")
    ] = 1.0,
    seed: Annotated[int, typer.Option(help="of the draws", min=0, metavar="N")] = 0,
    samples: Annotated[int, typer.Option(help="texts for each prompt", min=1, metavar="N")] = 1,
    stop: Annotated[
        list[str] | None,
        typer.Option(help="an id, or a special token's spelling, that ends a text as eos does", metavar="TOKEN"),
    ] = None,
    speculative: Annotated[
        bool, typer.Option("--speculative", help="let the MTP module draft: the same text in fewer passes")
    ] = False,
    batch: Annotated[int, typer.Option(help="texts generated at a time", min=1, metavar="N")] = 16,
    chat: Annotated[
        bool,
        typer.Option("--chat", help="answer as the assistant, by the chat template; without a prompt, line by line"),
    ] = False,
    system: Annotated[str | None, typer.Option(help="with --chat: what the system says first", metavar="TEXT")] = None,
    average: Average = False,
    tokenizer: Tokenizer = None,
    dtype: Dtype = "float32",
    device: Device = "cpu",
    threads: Threads = 1,
    as_json: Annotated[bool, typer.Option("--json", help="a JSON object a text, in order")] = False,
) -> None:
    """Generate text with a trained model.

    A single text is shown as it comes. The same prompts, settings and seed give the same texts, whatever the batch,
    with or without --speculative.

    With --chat each prompt is a question of its own, and the answer ends where an answer ends. Without a prompt the
    lines of standard input are a conversation, until it ends or a line says /quit; /new begins another.

    Example: corpusmill model generate quickstart-output/model --prompt "The function" --temperature 0.8 --top-p 0.95
    """
    from corpusmill.pipelines.generation import TextGenerator, conversation

    how: dict[str, Any] = {
        "most_tokens": max_tokens,
        "temperature": temperature,
        "top_p": top_p,
        "seed": seed,
        "stop": [int(token) if token.isdecimal() else token for token in stop or ()],
        "drafts": speculative,
    }
    if system is not None and not chat:
        raise UserError("a system message is for conversations", where="--system", hint="give --chat as well")
    if chat and prompt is None and prompts is None:
        if samples > 1:
            raise UserError("a conversation goes on from one answer", where="--samples", hint="leave it out")
        writer = TextGenerator(run, tokenizer, average=average, dtype=dtype, device=device, threads=threads)
        return converse(writer, system, how, as_json)
    texts = _prompts(prompt, prompts)
    writer = TextGenerator(run, tokenizer, average=average, dtype=dtype, device=device, threads=threads)
    asked = [conversation(text, system=system) for text in texts] if chat else texts
    pieces = writer.stream(asked, samples=samples, batch=batch, **how)
    if as_json:
        for number, whole in _in_order(pieces):
            print_json({"schema": SCHEMA, "number": number, "sample": number % samples, **asdict(whole)}, indent=None)
    elif len(texts) * samples == 1:
        _show_stream("" if chat else texts[0], pieces)
    else:
        for number, whole in _in_order(pieces):
            _show(number, number % samples if samples > 1 else None, whole)


def _prompts(prompt: list[str] | None, file: str | None) -> list[str]:
    """All prompts in order. Raises UserError where there are none, or the file can't be read."""
    texts = list(prompt or ())
    if file == "-":
        texts += sys.stdin.read().splitlines()
    elif file is not None:
        try:
            texts += Path(file).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise UserError("can't be read as lines of UTF-8", where=file, hint="give a text file") from error
    if not texts:
        raise UserError("no prompt", hint='give one with --prompt; --prompt "" begins a document')
    return texts


def _in_order(pieces: "Iterator[Piece]") -> "Iterator[tuple[int, Generated]]":
    """Whole texts in the order of their numbers; those of a batch wait for each other."""
    waiting: dict[int, Generated] = {}
    following = 0
    for piece in pieces:
        if piece.whole is not None:
            waiting[piece.number] = piece.whole
        while following in waiting:
            yield following, waiting.pop(following)
            following += 1


def _show_stream(prompt: str, pieces: "Iterator[Piece]") -> None:
    """The prompt and its text, character by character as they become certain."""
    sys.stdout.write(visible(prompt))
    sys.stdout.flush()
    whole = None
    for piece in pieces:
        sys.stdout.write(visible(piece.text))
        sys.stdout.flush()
        whole = piece.whole
    sys.stdout.write("\n")
    sys.stdout.flush()
    if whole is not None and whole.drafted:
        print(_acceptance(whole), file=sys.stderr)


def _show(number: int, sample: int | None, whole: "Generated") -> None:
    console = output_console()
    head = f"{number + 1}" + ("" if sample is None else f", sample {sample + 1}") + f": {one_line(whole.prompt, 60)}"
    print_sentence(console, head, style="bold")
    for line in visible(whole.text).split("\n"):
        print_sentence(console, line)
    if whole.drafted:
        print_sentence(console, _acceptance(whole), style="dim")


def _acceptance(whole: "Generated") -> str:
    share = whole.accepted / whole.drafted
    return f"{whole.accepted:,} of {whole.drafted:,} drafted tokens accepted ({share:.0%})"
