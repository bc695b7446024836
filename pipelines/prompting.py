"""How a prompt begins for a model: as documents did when its shards were packed.

With bos where `pack` put one; an empty prompt begins with what stands between documents.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from corpusmill.dataproc.errors import UserError

if TYPE_CHECKING:
    from corpusmill.tokenizer.encoder import Tokenizer


def begins_with_bos(shards: Mapping[str, Any]) -> bool:
    """Whether documents of these shards, by their header, begin with bos."""
    return bool((shards.get("packing") or {}).get("bos"))


def prefix_of(tokenizer: "Tokenizer", shards: Mapping[str, Any]) -> int:
    """What stands before a document in training: bos where `pack` put one, else the end of another document."""
    return tokenizer.special.role("bos" if begins_with_bos(shards) else "eos")


def prompt_ids(tokenizer: "Tokenizer", shards: Mapping[str, Any], prompt: str) -> list[int]:
    """The ids that a prompt begins with; at least one."""
    ids = [prefix_of(tokenizer, shards)] if begins_with_bos(shards) else []
    ids += tokenizer.encode(prompt)
    return ids or [prefix_of(tokenizer, shards)]


def require_tokenizer(tokenizer: "Tokenizer", shards: Mapping[str, Any], vocab_size: int, where: str) -> None:
    """Raises UserError for a tokenizer that is not the one of a model's shards, or has more ids than the model."""
    if tokenizer.fingerprint != shards.get("tokenizer", tokenizer.fingerprint):
        raise UserError("the model was trained with another tokenizer", where, "use the tokenizer of its shards")
    if tokenizer.vocab_size > vocab_size:
        what = f"the tokenizer has {tokenizer.vocab_size:,} ids, the model {vocab_size:,}"
        raise UserError(what, where, "use the tokenizer that the model was trained with")
