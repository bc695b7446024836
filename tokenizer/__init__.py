"""Text to token ids and back: pretokens, counts, BPE training, encoding, files. Pure: no Ray, no command line."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from corpusmill.tokenizer.encoder import Tokenizer

__all__ = ["Tokenizer"]


def __getattr__(name: str) -> Any:
    if name == "Tokenizer":  # on demand: the kernels behind it take half a second to import
        from corpusmill.tokenizer.encoder import Tokenizer

        return Tokenizer
    raise AttributeError(f"module 'tokenizer' has no attribute '{name}'")
