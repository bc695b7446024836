"""Descriptions of a tokenizer, of one id, and of a text token by token with ids and positions."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from corpusmill.dataproc.errors import UserError
from corpusmill.tokenizer.encoder import Tokenizer
from corpusmill.tokenizer.offsets import Unit, encode_with_offsets


@dataclass(frozen=True)
class TokenPiece:
    """One token of a text: its id, its bytes, and where it lies."""

    id: int
    spelled: bytes
    start: int
    end: int

    @property
    def text(self) -> str:
        """The bytes as text; those of a character cut in two are spelled as \\xNN."""
        return self.spelled.decode(errors="backslashreplace")


def token_pieces(tokenizer: Tokenizer, text: str, unit: Unit = "byte") -> Iterator[TokenPiece]:
    """The tokens of one text in order."""
    encoded = encode_with_offsets(tokenizer, pa.array([text], pa.large_string()), unit)
    ids, starts, ends = (column.values.to_pylist() for column in (encoded.ids, encoded.starts, encoded.ends))
    for number, start, end in zip(ids, starts, ends, strict=True):
        yield TokenPiece(number, tokenizer.token_bytes(number), start, end)


def describe_id(tokenizer: Tokenizer, number: int) -> list[tuple[str, str]]:
    """(what, value) rows that describe one id. Raises UserError for an id that no token has."""
    if not 0 <= number < tokenizer.vocab_size or not tokenizer.spellings[number].is_valid:
        raise UserError(f"no token has the id {number}", hint=f"ids are 0 to {tokenizer.vocab_size - 1}")
    spelled = tokenizer.spellings[number].as_py()
    rows = [("text", spelled.decode(errors="backslashreplace")), ("bytes", spelled.hex(" "))]
    for token in tokenizer.special.tokens:
        if token.id == number:
            roles = [role for role, id_of in tokenizer.special.roles.items() if id_of == number]
            return [*rows, ("special token", "hidden by readers" if token.special else "shown by readers")] + [
                ("role", role) for role in roles
            ]
    merges = tokenizer.vocabulary.merges
    made = np.flatnonzero(merges[:, 2] == number)
    if len(made):
        rank = int(made[0])
        parts = [tokenizer.token_bytes(int(part)).decode(errors="backslashreplace") for part in merges[rank, :2]]
        rows.append(
            ("merge", f"number {rank:,}: {parts[0]!r} ({merges[rank, 0]}) and {parts[1]!r} ({merges[rank, 1]})")
        )
    return rows


def describe(tokenizer: Tokenizer) -> list[tuple[str, str]]:
    """(what, value) of the tokenizer."""
    special = tokenizer.special
    rows = [
        ("ids", f"{tokenizer.vocab_size:,}"),
        ("merges", f"{len(tokenizer.vocabulary.merges):,}"),
        ("rows of a model's embedding", f"{tokenizer.model_rows:,}"),
        ("pattern", str(getattr(tokenizer.pattern, "name", tokenizer.pattern))),
        ("fingerprint", tokenizer.fingerprint),
        ("special tokens", f"{len(special.tokens):,}"),
    ]
    texts = {token.id: token.text for token in special.tokens}
    return rows + [(role, f"{number} {texts[number]}") for role, number in special.roles.items()]
