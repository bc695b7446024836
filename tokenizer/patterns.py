r"""How text is cut into pretokens before BPE: the pattern, by name, as Hugging Face `tokenizers` would be told it.

A pretoken is the largest unit that a merge may fill. DeepSeek-V3 cuts with three regular expressions one after the
other, each splitting what the one before left ("Isolated"): numbers in groups of up to three digits; runs of Han
ideographs of the basic block and of kana; then punctuation glued to Latin letters, words with one leading character,
punctuation with its line breaks, and white space. The strings below are those of the official `tokenizer.json`, byte
for byte: `\r` and `\n` in the third are a real carriage return and line feed, since some readers compare the text.

A pattern also needs a walker that finds its cuts at full speed: `tokenizer/pretokens.py`.
"""

from dataclasses import dataclass
from typing import Any

from dataproc.errors import UserError


@dataclass(frozen=True)
class Pattern:
    """A named way of cutting text.

    Attributes:
        name: how settings and files call it.
        splits: regular expressions, applied in turn; a match and what lies between matches are pieces of their own.
    """

    name: str
    splits: tuple[str, ...]


DEEPSEEK_V3 = Pattern(
    name="deepseek-v3",
    splits=(
        r"\p{N}{1,3}",
        "[一-龥\u3040-ゟ゠-ヿ]+",
        r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+"""
        "|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+"
        "| ?[\\p{P}\\p{S}]+[\r\n]*"
        "|\\s*[\r\n]+"
        r"|\s+(?!\S)"
        r"|\s+",
    ),
)

PATTERNS: dict[str, Pattern] = {pattern.name: pattern for pattern in (DEEPSEEK_V3,)}


def pattern_named(name: str) -> Pattern:
    """The pattern of that name. Raises UserError that lists the known ones."""
    if name not in PATTERNS:
        raise UserError(f"unknown pretoken pattern '{name}'", mend=f"known patterns: {', '.join(sorted(PATTERNS))}")
    return PATTERNS[name]


def pre_tokenizer_json(pattern: Pattern) -> dict[str, Any]:
    """The `pre_tokenizer` section of a `tokenizer.json`: the splits in order, then bytes spelled as characters."""
    splits: list[dict[str, Any]] = [
        {"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": False}
        for regex in pattern.splits
    ]
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    return {"type": "Sequence", "pretokenizers": [*splits, byte_level]}


def pattern_of_json(section: Any, where: str) -> Pattern:
    """The known pattern that a `pre_tokenizer` section states. Raises UserError when it is none of them."""
    for pattern in PATTERNS.values():
        if section == pre_tokenizer_json(pattern):
            return pattern
    raise UserError(
        "the pre_tokenizer is not one of the known patterns", where=where, mend=f"known: {', '.join(sorted(PATTERNS))}"
    )
