"""Tokens from prompts, a batch at a time, as they come: plain, or drafted by MTP and checked by the model.

    read the prompts                 → hidden state of each prompt's last token, latents of all
    choose a token from its logits   → t
    draft: MTP takes (hidden, t)     → a guess at the token after t
    read [t, guess] in one pass      → logits after t, and after the guess
    choose after t: is it the guess? → then the second logits count as well, and two tokens are won by one pass

Without drafts a pass reads [t] alone. A guess counts only where it is the token that would have been chosen anyway, so
the text is the same with and without drafts, for greedy decoding and for draws, but where two tokens' logits are nearer
to each other than rounding, since a pass over two tokens adds in another order than two passes (FP32: 1e-6).

Texts of a batch end by themselves: those that are done leave the batch. Cost: `LatentCache` for prompts and new tokens
of the texts at work, and logits of a pass. With drafts a pass has twice the tokens and one layer more.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from corpusmill.dataproc.errors import UserError
from corpusmill.training.generation.decoder import Decoder
from corpusmill.training.generation.sampling import GREEDY, Sampling, choose, text_key
from corpusmill.training.model.transformer import Transformer


@dataclass(frozen=True)
class Wanted:
    """What is to be generated for each prompt."""

    most_tokens: int = 256
    """At most so many new tokens."""
    sampling: Sampling = GREEDY
    stop: frozenset[int] = frozenset()
    """Ids that end a text; they belong to it."""
    allowed: int | None = None
    """Ids from this one on are never chosen: rows of the model that no token has. None: all may be."""
    drafts: bool = False
    """Whether the first MTP module drafts (speculative decoding)."""


@dataclass
class Text:
    """One text as it comes."""

    prompt: Sequence[int]
    name: str
    """What its draws are keyed by, with the seed."""
    ids: list[int] = field(default_factory=list)
    """New tokens; the stop id, if there is one, is the last."""
    log_probabilities: list[float] = field(default_factory=list)
    """Of each new token under the model, at temperature 1, in nats."""
    ended: str = ""
    """"stop" or "length"; empty while it is at work."""
    drafted: int = 0
    """Guesses that were checked."""
    accepted: int = 0
    """Guesses that were right."""


def generate(model: Transformer, prompts: Sequence[Sequence[int]], wanted: Wanted) -> list[Text]:
    """All texts of a batch, whole; see `stream`."""
    texts = [Text(prompt, str(number)) for number, prompt in enumerate(prompts)]
    for _ in stream(model, texts, wanted):
        pass
    return texts


def stream(model: Transformer, texts: Sequence[Text], wanted: Wanted) -> Iterator[list[tuple[Text, list[int]]]]:
    """Goes on with all texts, and after each pass says which got which new tokens.

    Args:
        model: left in the mode, training or not, that it was in, once the iterator ends.
        texts: with at least one token of a prompt each.
        wanted: for all of them.

    Raises:
        UserError: for a prompt that is empty or has ids that the model has not, and for drafts of a model without MTP.
    """
    _check(model, texts, wanted)
    if not texts or wanted.most_tokens < 1:
        return
    was_training = model.training
    model.eval()
    try:
        yield from _Batch(model, list(texts), wanted).run()
    finally:
        model.train(was_training)


def _check(model: Transformer, texts: Sequence[Text], wanted: Wanted) -> None:
    if wanted.drafts and not len(model.mtp):
        raise UserError("this model has no MTP module to draft with", hint="generate without drafts")
    for text in texts:
        if not len(text.prompt):
            raise UserError("the prompt is empty", hint="begin with a token, such as bos")
        if min(text.prompt) < 0 or max(text.prompt) >= model.config.vocab_size:
            raise UserError(f"a prompt has ids that the model's {model.config.vocab_size:,} rows do not cover")


class _Batch:
    """The texts at work, one row of the cache each."""

    def __init__(self, model: Transformer, texts: list[Text], wanted: Wanted) -> None:
        self.texts, self.wanted = texts, wanted
        longest = max(len(text.prompt) for text in texts)
        self.decoder = Decoder(model, longest + wanted.most_tokens + 2)
        self.cache = self.decoder.cache(len(texts), wanted.drafts)
        self.keys = np.array([text_key(wanted.sampling, text.name) for text in texts], np.uint64)
        self.guesses: Tensor | None = None

    def run(self) -> Iterator[list[tuple[Text, list[int]]]]:
        """Passes until all texts have ended."""
        hidden = self._read_prompts()
        won = self._choose(hidden[:, None], None)
        yield self._take(won, hidden[:, None])
        while self.texts:
            last = torch.tensor([[text.ids[-1]] for text in self.texts], device=self.decoder.device)
            tokens = last if self.guesses is None else torch.cat([last, self.guesses[:, None]], 1)
            hidden = self.decoder.extend(self.cache, tokens)
            won = self._choose(hidden, self.guesses)
            self.cache.lengths = [length + len(ids) for length, ids in zip(self.cache.lengths, won, strict=True)]
            yield self._take(won, hidden)

    def _read_prompts(self) -> Tensor:
        """Reads all prompts; the hidden state of each one's last token, [B, D]."""
        prompts = [list(text.prompt) for text in self.texts]
        longest = max(map(len, prompts))
        padded = torch.tensor([[*ids, *[0] * (longest + 1 - len(ids))] for ids in prompts], device=self.decoder.device)
        stretch = self.decoder.stretch(len(prompts))
        ends = torch.tensor([len(ids) - 1 for ids in prompts], device=self.decoder.device)
        last = torch.zeros(len(prompts), self.decoder.config.dim, dtype=self.cache.numbers.dtype, device=padded.device)
        for start in range(0, longest, stretch):
            tokens = padded[:, start : min(start + stretch, longest)]
            self.cache.lengths = [start] * len(prompts)
            hidden = self.decoder.extend(self.cache, tokens)
            if self.wanted.drafts:
                # At a prompt's last token the one after it is not known yet; `_draft` goes over that place again.
                self.decoder.draft(self.cache, hidden, padded[:, start + 1 : start + 1 + tokens.shape[1]])
            here = (ends >= start) & (ends < start + tokens.shape[1])
            rows = torch.arange(len(prompts), device=padded.device)
            last = torch.where(here[:, None], hidden[rows, (ends - start).clamp(0, tokens.shape[1] - 1)], last)
        self.cache.lengths = [len(ids) for ids in prompts]
        return last

    def _choose(self, hidden: Tensor, guesses: Tensor | None) -> list[list[int]]:
        """The tokens that each row wins by a pass over [B, T]: one, or two where the guess was right."""
        logits = self.decoder.logits(hidden)
        if self.wanted.allowed is not None:
            logits[..., self.wanted.allowed :] = float("-inf")
        rows, width = logits.shape[:2]
        places = np.array([len(text.prompt) + len(text.ids) for text in self.texts])[:, None] + np.arange(width)
        flat = logits.flatten(0, 1)
        chosen = choose(flat, np.repeat(self.keys, width), places.ravel(), self.wanted.sampling)
        likely = flat.log_softmax(-1).gather(1, chosen[:, None]).view(rows, width).tolist()
        picked = chosen.view(rows, width).tolist()
        guessed = [-1] * rows if guesses is None else guesses.tolist()
        right = [ids[0] == guess for ids, guess in zip(picked, guessed, strict=True)]
        won = []
        for text, ids, values, more in zip(self.texts, picked, likely, right, strict=True):
            if guesses is not None:
                text.drafted += 1
                text.accepted += more
            ids, ended = self._until_end(text, ids[: 1 + more])
            text.ids += ids
            text.log_probabilities += values[: len(ids)]
            text.ended = ended
            won.append(ids)
        return won

    def _until_end(self, text: Text, ids: list[int]) -> tuple[list[int], str]:
        """New ids up to where the text ends, and why it does."""
        for number, token in enumerate(ids, 1):
            if token in self.wanted.stop:
                return ids[:number], "stop"
            if len(text.ids) + number == self.wanted.most_tokens:
                return ids[:number], "length"
        return ids, ""

    def _take(self, won: list[list[int]], hidden: Tensor) -> list[tuple[Text, list[int]]]:
        """Drops rows that have ended and drafts for the others; what each text got."""
        got = list(zip(self.texts, won, strict=True))
        going = [row for row, text in enumerate(self.texts) if not text.ended]
        if len(going) < len(self.texts):
            self.texts = [self.texts[row] for row in going]
            self.keys = self.keys[going]
            hidden = hidden[going]
            won = [won[row] for row in going]
            self.cache.keep(going)
        if self.wanted.drafts and self.texts:
            self.guesses = self._draft(hidden, won)
        return got

    def _draft(self, hidden: Tensor, won: list[list[int]]) -> Tensor:
        """A guess [B] at the token after the last one of each text.

        MTP goes over the places of the pass that `hidden` [B, T, D] is of, each with the token after it; where only
        one token was won, what it makes of the second place is nothing and is overwritten by the next pass.
        """
        width = hidden.shape[1]
        ahead = torch.tensor([(ids * width)[:width] for ids in won], device=hidden.device)
        lengths = self.cache.lengths
        self.cache.lengths = [length - len(ids) for length, ids in zip(lengths, won, strict=True)]
        out = self.decoder.draft(self.cache, hidden, ahead)
        self.cache.lengths = lengths
        rows = torch.arange(len(won), device=hidden.device)
        last = out[rows, torch.tensor([len(ids) - 1 for ids in won], device=hidden.device)]
        logits = self.decoder.head(last)
        if self.wanted.allowed is not None:
            logits[:, self.wanted.allowed :] = float("-inf")
        places = np.array([len(text.prompt) + len(text.ids) for text in self.texts])
        return choose(logits, self.keys, places, self.wanted.sampling)
