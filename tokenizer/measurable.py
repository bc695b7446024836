"""Tokenizers as a report sees them: a name, the bytes of each id, which ids are special, and a way to encode.

Ours are measured as they are. Any other `tokenizer.json` (a model that is not byte-level BPE, a pattern or a normaliser
of its own) is run by Hugging Face's library, which is some fifty times slower. It is set to take the spellings of
special tokens in text for text, as ours does, so that all are measured on the same terms.
"""

import json
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from corpusmill.dataproc.errors import UserError, is_caught
from corpusmill.dataproc.storage import read_bytes
from corpusmill.tokenizer.decoding import decode_texts
from corpusmill.tokenizer.encoder import Tokenizer
from corpusmill.tokenizer.vocabulary import byte_characters


class Measurable(Protocol):
    """A tokenizer that can be measured.

    Attributes:
        name: for people.
        spellings: large_binary (V,), the bytes of each id; null where an id has no token.
        special: bool (V,), ids that no text should yield.
        byte_level: whether the spellings of ids, one after the other, are the text. If not, use `decode`.
    """

    @property
    def name(self) -> str: ...
    @property
    def spellings(self) -> pa.LargeBinaryArray: ...
    @property
    def special(self) -> np.ndarray: ...
    @property
    def byte_level(self) -> bool: ...

    def encode(self, texts: pa.Array) -> pa.LargeListArray:
        """The ids of each text, large_list<int32>."""

    def decode(self, ids: pa.Array) -> pa.Array:
        """The text of each list of ids."""


@dataclass(frozen=True)
class OurTokenizer:
    """One of our own."""

    name: str
    tokenizer: Tokenizer
    byte_level: bool = True

    @property
    def spellings(self) -> pa.LargeBinaryArray:
        return self.tokenizer.spellings

    @property
    def special(self) -> np.ndarray:
        special = np.zeros(len(self.tokenizer.spellings), bool)
        special[[token.id for token in self.tokenizer.special.tokens]] = True
        return special

    def encode(self, texts: pa.Array) -> pa.LargeListArray:
        return self.tokenizer.encode(texts)

    def decode(self, ids: pa.Array) -> pa.Array:
        return decode_texts(self.tokenizer, ids)


class HuggingFaceTokenizer:
    """A `tokenizer.json` as Hugging Face's library reads it; no padding, no truncation, nothing added.

    Args:
        name: for people.
        path: of the file. Raises UserError when the library cannot read it.
    """

    def __init__(self, name: str, path: str) -> None:
        import tokenizers

        content = read_bytes(path)
        try:
            self._tokenizer = tokenizers.Tokenizer.from_buffer(content)
        except BaseException as error:  # whatever the library objects to, in a panic if need be
            if not is_caught(error):
                raise
            raise UserError(f"not a tokenizer file that Hugging Face's library reads ({error})", where=path) from error
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._tokenizer.encode_special_tokens = True
        self.name = name
        types = _types(json.loads(content).get("decoder"))
        self.byte_level = "ByteLevel" in types and types <= {"ByteLevel", "Sequence", "Fuse"}
        self.spellings, self.special = self._vocabulary(self.byte_level)

    def _vocabulary(self, byte_level: bool) -> tuple[pa.LargeBinaryArray, np.ndarray]:
        vocabulary = self._tokenizer.get_vocab(with_added_tokens=True)
        added = self._tokenizer.get_added_tokens_decoder()
        size = max(vocabulary.values(), default=-1) + 1
        spelled: list[bytes | None] = [None] * size
        byte_of = {character: byte for byte, character in enumerate(byte_characters())}
        for token, number in vocabulary.items():
            if number not in added and byte_level and all(character in byte_of for character in token):
                spelled[number] = bytes([byte_of[character] for character in token])
            else:
                spelled[number] = token.encode()
        special = np.zeros(size, bool)
        special[[number for number, token in added.items() if token.special]] = True
        return pa.array(spelled, pa.large_binary()), special

    def encode(self, texts: pa.Array) -> pa.LargeListArray:
        try:
            encoded = self._tokenizer.encode_batch_fast(texts.to_pylist(), add_special_tokens=False)
        except BaseException as error:
            if not is_caught(error):
                raise
            raise UserError(
                f"Hugging Face's library cannot encode a text with it ({error})", where=self.name
            ) from error
        return pa.array([encoding.ids for encoding in encoded], pa.large_list(pa.int32()))

    def decode(self, ids: pa.Array) -> pa.Array:
        return pa.array(self._tokenizer.decode_batch(ids.to_pylist(), skip_special_tokens=False), pa.large_string())


def _types(section: Any) -> set[str]:
    """The types that a section of a tokenizer file names, at any depth."""
    if isinstance(section, dict):
        inner = set().union(*(_types(part) for part in section.values()), set())
        return inner | ({section["type"]} if isinstance(section.get("type"), str) else set())
    return set().union(*(_types(part) for part in section), set()) if isinstance(section, list) else set()
