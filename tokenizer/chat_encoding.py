"""Conversations to token ids, and which of them are learned: a batch at a time, or one for whoever answers it.

The words of all turns of a batch are tokenised in one call, each turn's by themselves, with the ordinary text that its
template puts in front of them; special tokens are put in by their ids. So no message can make a special token, whatever
it spells. What stands around a turn is looked up in a table by its kind and its neighbours' (`tokenizer/chat.py`).

A token is learned when it holds a byte of an answer, or is put in as a learned one: the rule of transformers for a
token that lies across the edge. Whether it is learned is carried in bit 30 of its id (`LEARNED`), ids being below 2^24,
so that ids and mask are placed, cut and copied as one.

Cost: that of tokenising, and some array operations over tokens. Memory: the words once more, and about 40 bytes a token
of the batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.dataproc.conversations.turns import KINDS, NONE, PROBLEMS, Turn, Turns, find_turns, text_of
from corpusmill.dataproc.errors import UserError
from corpusmill.tokenizer.chat import ChatTemplate, template_of
from corpusmill.tokenizer.encoder import Tokenizer

LEARNED = 1 << 30
"""Bit of an id that is learned."""

_SIDES = len(KINDS) + 1


@dataclass(frozen=True)
class _Tables:
    """What stands around a turn, by `kind * _SIDES^2 + before * _SIDES + after`.

    Attributes:
        heads: string, tokenised in front of the turn's words. head_bytes: int64, its bytes.
        learned: int64, `LEARNED` where the words are learned, else 0.
        before, after: (first, count), int64 arrays into `values`.
        values: int32, ids with their mark, of all that is put in.
    """

    heads: pa.Array
    head_bytes: np.ndarray
    learned: np.ndarray
    before: tuple[np.ndarray, np.ndarray]
    after: tuple[np.ndarray, np.ndarray]
    values: np.ndarray


class ChatEncoder:
    """A tokenizer and its template. Raises UserError for a tokenizer whose special tokens have no roles."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        template = template_of(tokenizer.special.ids)
        if template is None:
            hint = "train one with --special compact, deepseek-v3, chatml or llama3"
            raise UserError("the tokenizer has no special tokens for the roles of a conversation", hint=hint)
        self.tokenizer = tokenizer
        self.template: ChatTemplate = template

    @property
    def ends(self) -> frozenset[int]:
        """Ids that end an answer."""
        return frozenset(self.tokenizer.special.ids[text] for text in self.template.ends)

    def encode(self, texts: pa.Array) -> pa.LargeListArray:
        """The ids of conversations (documents' texts as `dataproc.conversations.turns` has them), each with its mark.

        Returns:
            large_list<int32> (N,); `values & (LEARNED - 1)` are ids, `values & LEARNED` says whether they are learned.

        Raises ValueError, with the reason, when one of the texts is not a conversation, or has a turn that the template
        has no form for.
        """
        turns = find_turns(texts)
        if turns.problem.any():
            raise ValueError(PROBLEMS[int(turns.problem[turns.problem > 0][0])])
        if unknown := set(np.unique(turns.kind).tolist()) - self.template.kinds:
            raise ValueError(f"the chat template '{self.template.name}' has no form for {KINDS[min(unknown)]}")
        return self._placed(turns)

    def prompt_ids(self, turns: Sequence[Turn]) -> list[int]:
        """The ids that an answer to a conversation follows on."""
        tokens = self.encode(pa.array([text_of(turns)], pa.large_string()))
        ids: list[int] = (tokens.values.to_numpy() & (LEARNED - 1)).tolist()
        for text in self.template.prompt(turns[-1].kind):
            ids += self._ids(text)
        return ids

    def _ids(self, text: str) -> list[int]:
        """The id of a special token, or the ids of ordinary text."""
        known = self.tokenizer.special.ids
        return [known[text]] if text in known else self.tokenizer.encode(text)

    @cached_property
    def _lengths(self) -> np.ndarray:
        """Bytes of each id."""
        return pc.binary_length(self.tokenizer.spellings).fill_null(0).to_numpy().astype(np.int64)

    @cached_property
    def _tables(self) -> _Tables:
        codes = len(KINDS) * _SIDES * _SIDES
        heads, learned = [""] * codes, np.zeros(codes, np.int64)
        sides = np.zeros((2, 2, codes), np.int64)  # before and after, first and count
        values: list[int] = []
        for code in range(codes):
            kind, (before, after) = code // _SIDES**2, divmod(code % _SIDES**2, _SIDES)
            if kind not in self.template.kinds:
                continue
            around = self.template.around(kind, before, after)
            heads[code], learned[code] = around.head, LEARNED * around.learned
            for side, pieces in enumerate((around.before, around.after)):
                sides[side, 0, code] = len(values)
                values += [number | LEARNED * mark for text, mark in pieces for number in self._ids(text)]
                sides[side, 1, code] = len(values) - sides[side, 0, code]
        head_bytes = np.array([len(head.encode()) for head in heads], np.int64)
        fronts, backs = ((side[0], side[1]) for side in sides)
        return _Tables(
            pa.array(heads, pa.large_string()), head_bytes, learned, fronts, backs, np.array(values, np.int32)
        )

    def _placed(self, turns: Turns) -> pa.LargeListArray:
        tables, code = self._tables, _codes(turns)
        ids, lengths = self._words(turns, code)
        # each turn is three stretches: what stands before its words, the words, what stands after them
        counts = np.stack([tables.before[1][code], lengths, tables.after[1][code]], 1)
        words = len(tables.values) + np.cumsum(lengths) - lengths
        starts = np.stack([tables.before[0][code], words, tables.after[0][code]], 1).reshape(-1)
        flat = counts.reshape(-1)
        ends = np.cumsum(flat)
        place = np.repeat(starts - (ends - flat), flat) + np.arange(int(flat.sum()))
        values = np.concatenate([tables.values, ids])[place]
        offsets = np.concatenate([[0], np.cumsum(counts.sum(1))])[turns.bounds]
        return pa.LargeListArray.from_arrays(pa.array(offsets, pa.int64()), pa.array(values, pa.int32()))

    def _words(self, turns: Turns, code: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(ids with their mark of what all turns say, heads included; how many of each turn)."""
        tables = self._tables
        said = _said(turns)
        if tables.head_bytes.any():
            said = pc.binary_join_element_wise(
                tables.heads.take(pa.array(code)), said, pa.scalar("", pa.large_string())
            )
        tokens = self.tokenizer.encode(said)
        lengths = np.diff(tokens.offsets.to_numpy())
        ids = tokens.values.to_numpy()
        turn = np.repeat(np.arange(len(code)), lengths)
        end = np.cumsum(self._lengths[ids])
        before = np.concatenate([[0], end])[tokens.offsets.to_numpy()[:-1]]
        inside = end - before[turn] > tables.head_bytes[code][turn]
        marked = ids | (tables.learned[code][turn] * inside).astype(np.int32)
        return marked.astype(np.int32), lengths


def _said(turns: Turns) -> pa.LargeStringArray:
    """What each turn says: the stretches between marks, of which every other one is a head and is left out."""
    edges = np.stack([turns.begin, turns.end], 1).reshape(-1)
    if not len(edges):
        return pa.array([], pa.large_string())
    buffers = [None, pa.py_buffer(edges), pa.py_buffer(turns.data)]
    stretches = pa.Array.from_buffers(pa.large_string(), len(edges) - 1, buffers)
    return stretches.take(pa.array(np.arange(0, len(edges) - 1, 2)))


def _codes(turns: Turns) -> np.ndarray:
    """Where each turn's surroundings stand in the tables."""
    kind = turns.kind
    before, after = np.append(NONE, kind[:-1]), np.append(kind[1:], NONE)
    before[turns.bounds[:-1][np.diff(turns.bounds) > 0]] = NONE
    after[turns.bounds[1:][np.diff(turns.bounds) > 0] - 1] = NONE
    return (kind * _SIDES + before) * _SIDES + after
