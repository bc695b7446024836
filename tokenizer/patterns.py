r"""How text is cut into pretokens before BPE: the pattern, by name, as Hugging Face `tokenizers` takes it.

A pretoken is the largest unit that a merge may fill. A pattern is a row of regular expressions applied one after the
other, each splitting what the one before left: a match is a piece of its own, and so is what lies between two matches
("Isolated"). The presets are those of well-known models, in the strings of their official `tokenizer.json`, byte for
byte, since some readers compare the text. So DeepSeek-V3's third string holds a real carriage return and line feed,
where the others write `\r\n`.

- deepseek-v3: numbers in groups of up to three digits; runs of Han ideographs of the basic block and of kana; then
  punctuation glued to Latin letters, words with one leading character, punctuation with its line breaks, white space.
- gpt2: words, numbers and the rest, each with a space in front. The file names it only as ByteLevel's own expression.
- cl100k (GPT-4), llama3: one expression for both; the files differ, as `pre_tokenizer_json` says.
- qwen2: the same with numbers of one digit. Official files also normalise to NFC first, which is no part of this.
- o200k (GPT-4o, gpt-oss): words are cut where small letters give way to capitals; contractions stay with their word.

`tokenizers` is the authority on what an expression means. tiktoken has other strings for gpt2 and cl100k by now:
`tokenizer/walkers/cl100k.py` describes the one difference that they make.

Files of others write one pattern in several ways: line breaks as escapes or as themselves, a split that removes what it
does not match (`Removed` with `invert`) where nothing is left over, tiktoken's shorter strings. What is the same to
`tokenizers` is recognised as the preset. What differs in anything stays a row of its own, named "custom": cut by that
library itself, which takes 25 times as long (`tokenizer/pretokens.py`). A byte-level tokenizer never loses text,
so a section that would drop some, or put spaces in, is refused, as is one with other steps (Metaspace, Whitespace, …).
"""

import re
from dataclasses import dataclass, replace
from typing import Any

from corpusmill.dataproc.errors import UserError, is_caught


@dataclass(frozen=True)
class Pattern:
    """A way of cutting text.

    Attributes:
        name: how settings and files call it; "custom" if it is not a preset.
        splits: regular expressions, applied in turn; a match and what lies between matches are pieces of their own.
        nfc: text is first brought into Unicode's normal form C.
        prefix_space: a text that does not begin with a space gets one.
    """

    name: str
    splits: tuple[str, ...]
    nfc: bool = False
    prefix_space: bool = False


CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
WHITE_SPACE = r"|\s*[\r\n]+|\s+(?!\S)|\s+"
WORDS = CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*" + WHITE_SPACE

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
GPT2 = Pattern("gpt2", (r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",))
CL100K = Pattern("cl100k", (WORDS,))
LLAMA3 = Pattern("llama3", (WORDS,))
QWEN2 = Pattern("qwen2", (WORDS.replace("{1,3}", ""),))
O200K = Pattern(
    name="o200k",
    splits=(
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+" + CONTRACTIONS + "?"
        r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*" + CONTRACTIONS + "?"
        r"|\p{N}{1,3}"
        r"| ?[^\s\p{L}\p{N}]+[\r\n/]*" + WHITE_SPACE,
    ),
)

PATTERNS: dict[str, Pattern] = {pattern.name: pattern for pattern in (DEEPSEEK_V3, GPT2, CL100K, LLAMA3, QWEN2, O200K)}

EXPANDED_CONTRACTIONS = "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])"
"""As readers without `(?i:…)` write it; unlike that, it does not match U+017F."""

SPELLINGS: dict[str, tuple[str, ...]] = {
    GPT2.splits[0]: (
        r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
        r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s",
        r"'s|'t|'re|'ve|'m|'ll|'d| ?[\p{L}]+| ?[\p{N}]+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    ),
    CL100K.splits[0]: (
        r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*"
        r"|\s*[\r\n]|\s+(?!\S)|\s+",
    ),
}
"""Other spellings of the presets' expressions, tiktoken's among them, that cut every text alike."""

COMPLETE = tuple(
    regex.replace(CONTRACTIONS, contractions)
    for (regex,) in (GPT2.splits, CL100K.splits, QWEN2.splits, O200K.splits)
    for contractions in (CONTRACTIONS, EXPANDED_CONTRACTIONS)
)
"""Expressions that match each character of any text, so that removing the rest removes nothing."""

DIGITS = "[\\p{N}\U00011de0-\U00011de9\U00016ff4-\U00016ff6]"
"""The characters that `tokenizers`' own Digits step takes for digits: its Unicode is newer than its regex engine's."""


def pattern_named(pattern: str | Pattern) -> Pattern:
    """The pattern of that name; a `Pattern` is returned as it is. Raises UserError that lists the known names."""
    if isinstance(pattern, Pattern):
        return pattern
    if pattern not in PATTERNS:
        raise UserError(f"unknown pretoken pattern '{pattern}'", hint=f"known patterns: {', '.join(sorted(PATTERNS))}")
    return PATTERNS[pattern]


def pre_tokenizer_json(pattern: Pattern) -> dict[str, Any]:
    """The `pre_tokenizer` section of a `tokenizer.json`: the splits in order, then bytes spelled as characters.

    As in the model's own file, which for GPT-2 has ByteLevel split, for Qwen2 trims no offsets, and for cl100k (there
    are only files of others) removes what is not matched, which is nothing.
    """
    byte_level = {
        "type": "ByteLevel",
        "add_prefix_space": pattern.prefix_space,
        "trim_offsets": pattern.splits != QWEN2.splits,
    }
    if pattern.splits == GPT2.splits:
        return {**byte_level, "use_regex": True}
    behavior, invert = ("Removed", True) if pattern.name == CL100K.name else ("Isolated", False)
    splits: list[dict[str, Any]] = [
        {"type": "Split", "pattern": {"Regex": regex}, "behavior": behavior, "invert": invert}
        for regex in pattern.splits
    ]
    return {"type": "Sequence", "pretokenizers": [*splits, {**byte_level, "use_regex": False}]}


def _normal(regex: str) -> str:
    """One spelling of an expression for all that are known to be the same."""
    regex = regex.replace("\r", r"\r").replace("\n", r"\n")
    return next((known for known, others in SPELLINGS.items() if regex in others), regex)


def _drops_text(regex: str) -> bool:
    """Whether some character is not matched: each code point alone, and all of them in one row."""
    from tokenizers import Regex
    from tokenizers.pre_tokenizers import Split

    if _normal(regex) in COMPLETE:
        return False
    ranges = ((1, 0xD800), (0xE000, 0x33500), (0xE0000, 0xE0200))  # beyond them nothing is assigned but private use
    points = [chr(point) for first, last in ranges for point in range(first, last)]
    splitter = Split(Regex(regex), "removed", invert=True)
    texts = [*points, "".join(points)]
    return any("".join([piece for piece, _ in splitter.pre_tokenize_str(text)]) != text for text in texts)


def _steps(section: Any) -> list[dict[str, Any]]:
    """The steps of a section in order, sequences in sequences laid flat."""
    if section["type"] != "Sequence":
        return [section]
    return [step for part in section["pretokenizers"] for step in _steps(part)]


def _regex_of(step: dict[str, Any], where: str) -> str:
    """The expression whose isolated matches are what a step cuts."""
    kind = step["type"]
    if kind == "Digits":
        return DIGITS if step["individual_digits"] else DIGITS + "+"
    if kind != "Split":
        raise UserError(f"the pre_tokenizer's step {kind} is not supported in a byte-level tokenizer", where=where)
    (pattern_kind, text), *_ = step["pattern"].items()
    regex = re.escape(text) if pattern_kind == "String" else text
    check_regex(regex, where)
    behavior, invert = step["behavior"], step["invert"]
    if behavior == "Isolated" or (behavior == "Removed" and invert and not _drops_text(regex)):
        return str(regex)
    if behavior == "Removed":
        raise UserError("the pre_tokenizer's Split drops text, so the text could not be restored", where=where)
    raise UserError(
        f"the pre_tokenizer's Split merges its matches with neighbours ({behavior}), which is not supported",
        where=where,
    )


def check_regex(regex: str, where: str) -> None:
    """Raises UserError when `tokenizers` cannot compile the expression."""
    from tokenizers import Regex

    try:
        Regex(regex)
    except BaseException as error:  # the library raises no narrower one, and panics
        if not is_caught(error):
            raise
        raise UserError(f"not a regular expression of tokenizers ({error})", where=where) from error


def pattern_of_json(section: Any, where: str) -> Pattern:
    """The pattern that a `pre_tokenizer` section states: a preset where it cuts alike, else a custom one.

    Raises UserError when it is not a row of splits with ByteLevel at its end.
    """
    for pattern in PATTERNS.values():
        if section == pre_tokenizer_json(pattern):
            return pattern
    try:
        *steps, last = _steps(section)
        if last["type"] != "ByteLevel":
            hint = "only byte-level BPE is read"
            raise UserError("the pre_tokenizer does not end in ByteLevel", where=where, hint=hint)
        prefix_space = bool(last["add_prefix_space"])
        if prefix_space and steps:
            what = "the pre_tokenizer puts a space in front of each piece that other steps cut (add_prefix_space)"
            raise UserError(what, where=where)
        splits = [_regex_of(step, where) for step in steps]
        splits += GPT2.splits if last.get("use_regex", True) else ()
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError("the pre_tokenizer is not one that tokenizers reads", where=where) from error
    normal = [_normal(regex) for regex in splits]
    for pattern in PATTERNS.values():
        if normal == [_normal(regex) for regex in pattern.splits]:
            return replace(pattern, prefix_space=True) if prefix_space else pattern
    return Pattern("custom", tuple(splits), prefix_space=prefix_space)
