"""Does a model fill holes in code: exact match of a line taken out of a held-back document (FIM, PSM order).

Of each document of kind `code` that is drawn, one line with four characters or more is cut out, and the model is given
what stands before and after, as in training: <fim_begin> before <fim_hole> after <fim_end>. It writes greedily to the
end of the text; the line counts where every character is right. Text beyond the model's sequence length is left out,
furthest from the hole first. Documents and lines are drawn by the documents' ids.

Cost: a prompt of up to the sequence length and a line of new tokens for each document. Memory: a batch of prompts.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.dataproc.datasets import read_batches
from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.randomness import random_keys
from corpusmill.pipelines.datasets import list_parts

if TYPE_CHECKING:
    from corpusmill.pipelines.generation import TextGenerator

CODE = "code"
MOST_TOKENS = 48
"""Longest line that is asked for; longer ones are not drawn."""
_LEAST_CHARACTERS = 4
_BATCH = 16


@dataclass
class Infilling:
    """How many holes were filled."""

    holes: int = 0
    exact: int = 0

    @property
    def exact_match(self) -> float | None:
        """Share of holes filled to the letter; None where there were none."""
        return self.exact / self.holes if self.holes else None


def evaluate_infilling(writer: "TextGenerator", dataset: str, holes: int) -> Infilling:
    """Asks for a line of up to so many code documents. Raises UserError for a tokenizer without FIM's tokens."""
    from corpusmill.training.generation.generate import Wanted, generate

    special = writer.tokenizer.special
    if "fim_begin" not in special.roles:
        raise UserError("this tokenizer has no tokens for fill-in-the-middle", hint="measure without --fim")
    wanted = Wanted(MOST_TOKENS, stop=frozenset({special.eos}), allowed=writer.tokenizer.vocab_size)
    result, waiting = Infilling(), list[tuple[list[int], str]]()

    def answer() -> None:
        for text, (_, line) in zip(
            generate(writer.trained.model, [prompt for prompt, _ in waiting], wanted), waiting, strict=True
        ):
            ids = text.ids[:-1] if text.ended == "stop" else text.ids
            result.holes += 1
            result.exact += text.ended == "stop" and writer.tokenizer.decode(ids) == line
        waiting.clear()

    for text, key in _code(dataset, holes):
        if hole := _hole(text, key):
            prompt = _prompt(writer, *hole)
            if len(writer.tokenizer.encode(hole[1])) < MOST_TOKENS:
                waiting.append((prompt, hole[1]))
        if len(waiting) == _BATCH:
            answer()
    if waiting:
        answer()
    return result


def _code(dataset: str, most: int) -> Iterator[tuple[str, int]]:
    """Text and key of the `most` code documents with the smallest keys, found in one pass over ids."""
    keys, names = np.zeros(0, np.uint64), pa.array([], pa.string())
    parts = list_parts([dataset], lambda name: name)
    for part in parts:
        for batch in read_batches(part.path, ["id", "kind"]):
            code = batch.column("id").filter(pc.fill_null(pc.equal(batch.column("kind"), CODE), False))
            keys = np.concatenate([keys, random_keys(0, "infilling", code)])
            nearest = np.argsort(keys, kind="stable")[:most]
            keys, names = keys[nearest], pa.concat_arrays([names, code]).take(pa.array(nearest))
    chosen = dict(zip(names.to_pylist(), keys.tolist(), strict=True))
    for part in parts:
        for batch in read_batches(part.path, ["id", "text"]):
            drawn = batch.filter(pc.is_in(batch.column("id"), value_set=names))
            for name, text in zip(drawn.column("id").to_pylist(), drawn.column("text").to_pylist(), strict=True):
                yield text, chosen[name]


def _hole(text: str, key: int) -> tuple[str, str, str] | None:
    """(before, line, after) of a line chosen by the key; None where no line is long enough."""
    lines = text.split("\n")
    fit = [number for number, line in enumerate(lines) if len(line.strip()) >= _LEAST_CHARACTERS]
    if not fit:
        return None
    number = fit[key % len(fit)]
    before = "".join(f"{line}\n" for line in lines[:number])
    after = "".join(f"\n{line}" for line in lines[number + 1 :])
    return before, lines[number], after


def _prompt(writer: "TextGenerator", before: str, line: str, after: str) -> list[int]:
    """The ids that the line follows, with room for it in a sequence."""
    special, encode = writer.tokenizer.special, writer.tokenizer.encode
    room = max(2, writer.length - MOST_TOKENS - 3)
    first, second = encode(before), encode(after)
    kept = min(len(second), max(room // 2, room - len(first)))
    first = first[max(0, len(first) - (room - kept)) :]
    return [special.fim_begin, *first, special.fim_hole, *second[:kept], special.fim_end]
