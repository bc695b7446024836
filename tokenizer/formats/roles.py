"""Which special token of a tokenizer from elsewhere does what: as its configuration says, else by known spellings.

`tokenizer_config.json` names the tokens that begin, end and pad a text. What marks the parts of a text that is to be
filled in is named nowhere; there the spelling decides, and only if all three of a family are there.
Whoever imports can say otherwise for each role.
"""

from collections.abc import Mapping
from typing import Any

from corpusmill.dataproc.errors import UserError
from corpusmill.tokenizer.special import ROLES

NAMED = {"bos": "bos_token", "eos": "eos_token", "pad": "pad_token"}
"""What `tokenizer_config.json` calls a role."""

KNOWN = {
    "bos": ("<｜begin▁of▁sentence｜>", "<|begin_of_text|>", "<|startoftext|>", "<|bos|>", "<s>"),
    "eos": ("<｜end▁of▁sentence｜>", "<|end_of_text|>", "<|endoftext|>", "<|eos|>", "</s>"),
    "pad": ("<｜▁pad▁｜>", "<|finetune_right_pad_id|>", "<|pad|>", "<pad>", "[PAD]"),
}

FIM = (
    ("<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>"),
    ("<|fim_begin|>", "<|fim_hole|>", "<|fim_end|>"),
    ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"),
    ("<fim_prefix>", "<fim_suffix>", "<fim_middle>"),
    ("<fim-prefix>", "<fim-suffix>", "<fim-middle>"),
    ("[PREFIX]", "[SUFFIX]", "[MIDDLE]"),
)
"""What comes before the prefix, before the suffix and before the middle: fim_begin, fim_hole, fim_end."""


def chosen_roles(
    ids: Mapping[str, int], config: Mapping[str, Any], chosen: Mapping[str, str], where: str
) -> dict[str, int]:
    """The id of each role that has one.

    Args:
        ids: id by spelling of all special tokens.
        config: the content of `tokenizer_config.json`, untrusted; empty if there is none.
        chosen: spelling by role as the user says; these hold.
        where: for errors.

    Raises:
        UserError: an unknown role, or a spelling that is no special token.
    """
    roles: dict[str, int] = {}
    for role, name in NAMED.items():
        said = config.get(name)
        text = said.get("content") if isinstance(said, dict) else said
        spellings = (text, *KNOWN[role]) if isinstance(text, str) else KNOWN[role]
        known = [spelling for spelling in spellings if spelling in ids]
        if known:
            roles[role] = ids[known[0]]
    for family in FIM:
        if "fim_begin" not in roles and all(text in ids for text in family):
            roles |= dict(zip(ROLES[3:], (ids[text] for text in family), strict=True))
    for role, text in chosen.items():
        if role not in ROLES:
            raise UserError(f"unknown role '{role}'", where=where, hint=f"roles: {', '.join(ROLES)}")
        if text not in ids:
            raise UserError(f"the role '{role}' names {text!r}, which is not a special token", where=where)
        roles[role] = ids[text]
    return {role: roles[role] for role in ROLES if role in roles}
