"""Text from a trained model: a run or a checkpoint, its tokenizer, and prompts as text.

    from corpusmill.pipelines.generation import TextGenerator

    writer = TextGenerator("quickstart-output/model")
    writer.generate(["Once upon a time"], most_tokens=64, temperature=0.8, top_p=0.9, seed=1)[0].text

A prompt may also be a conversation, the turns so far, to which the assistant's answer is written by the tokenizer's
chat template; it ends where an answer ends.

    from corpusmill.pipelines.generation import conversation

    writer.generate([conversation("2 + 3 =", system="You add.")])[0].text

The tokenizer is the one that the run's shards were made with, found by their manifests, unless another folder is named;
its fingerprint must be that of the shards. Prompts begin as documents did when they were packed: with bos where `pack`
put one. An empty prompt begins with what stands between documents. A text ends with eos or another stop id, which its
text leaves out. Text comes whole character by whole character (`tokenizer/decoding.py`), so a stream never shows a
piece of one.

Cost: that of decoding (`training/generation/`); prompts are generated `batch` at a time.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from corpusmill.dataproc.errors import UserError, require_extra
from corpusmill.pipelines.inspect.places import tokenizer_of_run
from corpusmill.pipelines.prompting import prefix_of, prompt_ids, require_tokenizer

if TYPE_CHECKING:
    from corpusmill.dataproc.conversations.turns import Turn
    from corpusmill.tokenizer.chat_encoding import ChatEncoder
    from corpusmill.training.generation.generate import Text, Wanted
    from corpusmill.training.generation.weights import Trained

BATCH = 16


def conversation(*said: str, system: str | None = None) -> "list[Turn]":
    """The turns of a conversation: what the user said, the answer to it, and so on. Raises UserError for U+241E."""
    from corpusmill.dataproc.conversations.turns import ASSISTANT, MARK, SYSTEM, USER, Turn

    if any(MARK in text for text in (*said, system or "")):
        raise UserError(f"a message contains {MARK} (U+241E), which marks turns", hint="leave it out")
    turns = [Turn(SYSTEM, system)] if system else []
    return turns + [Turn(USER if number % 2 == 0 else ASSISTANT, text) for number, text in enumerate(said)]


@dataclass(frozen=True)
class Generated:
    """One text."""

    prompt: str
    text: str
    """What follows the prompt; special tokens and the stop token are left out."""
    ids: tuple[int, ...]
    """The new tokens, the stop token included."""
    log_probability: float
    """Of all new tokens together under the model, at temperature 1, in nats."""
    ended: str
    """"stop" or "length"."""
    drafted: int
    """Guesses of the MTP module that were checked."""
    accepted: int
    """Guesses that were right."""


@dataclass(frozen=True)
class Piece:
    """Text that has just become certain."""

    number: int
    """Of its text among all, in order: prompts, and the samples of each."""
    text: str
    whole: Generated | None
    """The whole text, once it has ended."""


class TextGenerator:
    """A model and its tokenizer, ready to write.

    Args:
        run: folder of a finished run, an imported model, or a checkpoint.
        tokenizer: its folder; None: that of the run's shards.
        average: the moving average of the weights rather than the trained ones.
        dtype: what it computes in, `float32` or `bfloat16`.
        device: where.
        threads: of torch on a CPU; None: as it is.

    Raises UserError for a folder without a model, and for a tokenizer that is not the model's.
    """

    def __init__(
        self,
        run: str | Path,
        tokenizer: str | Path | None = None,
        *,
        average: bool = False,
        dtype: str = "float32",
        device: str = "cpu",
        threads: int | None = None,
    ) -> None:
        from corpusmill.tokenizer.encoder import Tokenizer

        weights = _training("weights")
        if threads is not None:
            weights.torch.set_num_threads(threads)
        self.trained: Trained = weights.open_trained(run, average=average, dtype=dtype, device=device)
        self.tokenizer: Tokenizer = Tokenizer.load(str(tokenizer or _tokenizer_of(Path(run))))
        where = str(tokenizer or run)
        require_tokenizer(self.tokenizer, self.trained.shards, self.trained.config.vocab_size, where)

    @property
    def prefix(self) -> int:
        """What stands before a document in training: bos where `pack` put one, else the end of another document."""
        return prefix_of(self.tokenizer, self.trained.shards)

    @property
    def length(self) -> int:
        """Tokens of the sequences that the model was trained on; of an imported model, what its `config.json` says."""
        known = self.trained.shards.get("sequence_length") or self.trained.extra.get("max_position_embeddings")
        return int(known or self.trained.config.original_seq_len)

    @cached_property
    def chat(self) -> "ChatEncoder":
        """The tokenizer's chat template. Raises UserError where it has none."""
        from corpusmill.tokenizer.chat_encoding import ChatEncoder

        return ChatEncoder(self.tokenizer)

    def prompt_ids(self, prompt: "str | Sequence[Turn]") -> list[int]:
        """The ids that a text goes on from."""
        if not isinstance(prompt, str):
            return self.chat.prompt_ids(prompt)
        return prompt_ids(self.tokenizer, self.trained.shards, prompt)

    def generate(self, prompts: "Sequence[str | Sequence[Turn]]", **how: Any) -> list[Generated]:
        """All texts in order, whole; arguments as of `stream`."""
        ended = {piece.number: piece.whole for piece in self.stream(prompts, **how) if piece.whole is not None}
        return [ended[number] for number in range(len(ended))]

    def stream(
        self,
        prompts: "Sequence[str | Sequence[Turn]]",
        *,
        most_tokens: int = 256,
        temperature: float = 0.0,
        top_p: float = 1.0,
        seed: int = 0,
        samples: int = 1,
        stop: Sequence[int | str] = (),
        drafts: bool = False,
        batch: int = BATCH,
    ) -> Iterator[Piece]:
        """Text of all prompts as it comes; of a batch, texts come side by side.

        Args:
            prompts: texts to go on from, or conversations to answer.
            most_tokens: at most so many new tokens each.
            temperature: 0: the likeliest token, always.
            top_p: draw from the likeliest tokens that together have this probability.
            seed: of the draws; with the prompt's number and the sample's it decides a text.
            samples: how many texts for each prompt.
            stop: further ids, or special tokens by their spelling, that end a text as eos does.
            drafts: let the model's MTP module draft: the same text in fewer passes.
            batch: texts at a time; decides memory and speed, not texts.

        Raises UserError for a setting that makes no sense.
        """
        generation, sampling = _training("generate"), _training("sampling")
        if samples < 1 or most_tokens < 1 or batch < 1:
            raise UserError("samples, tokens and the batch must be 1 or more")
        chats = any(not isinstance(prompt, str) for prompt in prompts)
        wanted = generation.Wanted(
            most_tokens,
            sampling.Sampling(temperature, top_p, seed),
            self._stop_ids(stop) | (self.chat.ends if chats else frozenset()),
            self.tokenizer.vocab_size,
            drafts,
        )
        named = [
            (
                prompt if isinstance(prompt, str) else prompt[-1].text,
                generation.Text(self.prompt_ids(prompt), f"{number}/{sample}"),
            )
            for number, prompt in enumerate(prompts)
            for sample in range(samples)
        ]
        for start in range(0, len(named), batch):
            yield from self._batch(named[start : start + batch], start, wanted)

    def _batch(self, named: "list[tuple[str, Text]]", start: int, wanted: "Wanted") -> Iterator[Piece]:
        from corpusmill.tokenizer.decoding import StreamDecoder

        numbers = {id(text): number for number, (_, text) in enumerate(named)}
        decoders = [StreamDecoder(self.tokenizer, hide_special=True) for _ in named]
        so_far = ["" for _ in named]
        for step in _training("generate").stream(self.trained.model, [text for _, text in named], wanted):
            for text, ids in step:
                number = numbers[id(text)]
                new = decoders[number].push([token for token in ids if token not in wanted.stop])
                if text.ended:
                    new += decoders[number].finish()
                so_far[number] += new
                whole = _generated(named[number][0], so_far[number], text) if text.ended else None
                if new or whole:
                    yield Piece(start + number, new, whole)

    def _stop_ids(self, stop: Sequence[int | str]) -> frozenset[int]:
        special = self.tokenizer.special
        ids = {special.roles["eos"]} if "eos" in special.roles else set()
        for token in stop:
            if isinstance(token, str) and token not in special.ids:
                raise UserError(f"'{token}' is no special token of the tokenizer", hint="name one, or give an id")
            number = special.ids[token] if isinstance(token, str) else token
            if not 0 <= number < self.tokenizer.vocab_size:
                raise UserError(f"no token has the id {number}")
            ids.add(number)
        return frozenset(ids)


def _generated(prompt: str, written: str, text: "Text") -> Generated:
    total = sum(text.log_probabilities)
    return Generated(prompt, written, tuple(text.ids), total, text.ended, text.drafted, text.accepted)


def _tokenizer_of(run: Path) -> str:
    """The tokenizer of a run, or of the run that a checkpoint belongs to. Raises UserError where it is not known."""
    for folder in (run, run.parent.parent):
        if folder_of_tokenizer := tokenizer_of_run(str(folder)):
            return folder_of_tokenizer
    raise UserError("the tokenizer of this model is not known here", where=str(run), hint="name it with --tokenizer")


def _training(module: str) -> Any:
    """A module of `training/generation/`. Raises UserError where torch is not installed."""
    from importlib import import_module

    try:
        return import_module(f"corpusmill.training.generation.{module}")
    except ImportError as error:
        raise require_extra(error.name or "torch", "train") from error
