"""What the tokens of a vocabulary are: words, numbers, punctuation, white space, parts of characters; and their script.

Each character of a token is one letter of a short alphabet (word, number, punctuation, space, line break, other) by the
classes that pretoken patterns go by; a kind is then a small regular expression over such letters, the first that fits,
listed in `KINDS` as data. Scripts are those of Unicode's Script property as Arrow's regular expressions (RE2) know it,
asked once for every distinct character; marks and letters that many scripts share leave a token's script to the others.

Cost: 0.1 s of processor time for 128,000 tokens, and some 200 bytes each while it lasts.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.tokenizer.unicode import LETTER, MARKED, NUMBER, SPACE, unicode_classes

WORD, DIGIT, MARK, BREAK, BLANK, OTHER = b"wnpb o"
"""The letters: letter or mark; number; punctuation or symbol; CR or LF; other white space (a space); the rest."""

SPECIAL, MISSING, PARTIAL, JOINED, MIXED = "special", "no token", "partial UTF-8", "punctuation and line break", "mixed"
SHAPES = {
    "word": "^ ?w+$",
    "punctuation and word": "^pw+$",
    "number": "^ ?n+$",
    "punctuation": "^ ?p+$",
    JOINED: "^_?p+b+$",
    "white space": "^[ _b]+$",
}
"""Kinds by their shape; `_` is U+0020, the one space that may stand in front of joined punctuation."""
KINDS = (*SHAPES, MIXED, PARTIAL, SPECIAL, MISSING)

SCRIPT_REGEXES = {
    name: rf"\p{{{name}}}"
    for name in (
        "Latin", "Greek", "Cyrillic", "Armenian", "Georgian", "Hebrew", "Arabic", "Syriac", "Thaana", "Ethiopic",
        "Devanagari", "Bengali", "Gurmukhi", "Gujarati", "Oriya", "Tamil", "Telugu", "Kannada", "Malayalam", "Sinhala",
        "Thai", "Lao", "Tibetan", "Myanmar", "Khmer", "Mongolian", "Hangul", "Bopomofo", "Han",
    )
} | {"Kana": r"[\p{Hiragana}\p{Katakana}ー]"}  # fmt: skip
HAN_AND_KANA, SEVERAL, OTHER_SCRIPT, NO_SCRIPT = "Han and kana", "several", "other letters", "no letters"
SCRIPTS = (*SCRIPT_REGEXES, OTHER_SCRIPT, HAN_AND_KANA, SEVERAL, NO_SCRIPT)
_NUMBERS = {name: number for number, name in enumerate(SCRIPTS)}
_EAST_ASIAN = (_NUMBERS["Han"], _NUMBERS["Kana"])


@dataclass(frozen=True)
class VocabularyKinds:
    """The kind and script of each id: uint8 (V,), places in `KINDS` and `SCRIPTS`."""

    kinds: np.ndarray
    scripts: np.ndarray

    def is_kind(self, name: str) -> np.ndarray:
        """bool (V,), which ids are of a kind."""
        return self.kinds == KINDS.index(name)


def vocabulary_kinds(spellings: pa.LargeBinaryArray, special: np.ndarray) -> VocabularyKinds:
    """Kind and script of each id.

    Args:
        spellings: large_binary (V,), the bytes of each id, null where an id has no token.
        special: bool (V,), which ids are special tokens; their spelling is not looked at.
    """
    kinds = np.full(len(spellings), KINDS.index(MIXED), np.uint8)
    scripts = np.full(len(spellings), _NUMBERS[NO_SCRIPT], np.uint8)
    missing = spellings.is_null().to_numpy(zero_copy_only=False)
    texts = [_text(spelling) for spelling in spellings.fill_null(b"").to_pylist()]
    whole = np.array([text is not None for text in texts], bool)
    kinds[~whole] = KINDS.index(PARTIAL)
    kept = np.flatnonzero(whole & ~missing & ~special)
    kinds[kept], scripts[kept] = _by_characters([texts[number] or "" for number in kept])
    kinds[special] = KINDS.index(SPECIAL)
    kinds[missing] = KINDS.index(MISSING)
    return VocabularyKinds(kinds, scripts)


def _text(token: bytes) -> str | None:
    """The token as text; None for one that is not whole characters."""
    try:
        return token.decode()
    except UnicodeDecodeError:
        return None


def _by_characters(texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """(kinds, scripts) of tokens that are whole characters."""
    codes = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), "<u4").astype(np.int64)
    starts = np.concatenate([np.zeros(1, np.int64), np.cumsum([len(text) for text in texts], dtype=np.int64)])
    classes = unicode_classes()[codes]
    letters = np.full(len(codes), OTHER, np.uint8)
    for bit, letter in ((MARKED, MARK), (NUMBER, DIGIT), (LETTER, WORD), (SPACE, BLANK)):
        letters[(classes & bit) != 0] = letter
    letters[(codes == 10) | (codes == 13)] = BREAK
    return _kinds(letters, codes, starts), _scripts(codes, (classes & LETTER) != 0, starts)


def _kinds(letters: np.ndarray, codes: np.ndarray, starts: np.ndarray) -> np.ndarray:
    kinds = np.full(len(starts) - 1, KINDS.index(MIXED), np.uint8)
    for name in reversed(SHAPES):
        shaped = letters.copy()
        if name == JOINED:
            shaped[codes == 32] = ord("_")
        buffers = pa.py_buffer(starts), pa.py_buffer(shaped)
        spelled = pa.LargeStringArray.from_buffers(len(kinds), *buffers)
        fits = pc.match_substring_regex(spelled, SHAPES[name]).to_numpy(zero_copy_only=False)
        kinds[fits] = KINDS.index(name)
    return kinds


def _scripts(codes: np.ndarray, letters: np.ndarray, starts: np.ndarray) -> np.ndarray:
    unknown = len(SCRIPTS)
    distinct, place = np.unique(codes[letters], return_inverse=True)
    characters = pa.array([chr(code) for code in distinct.tolist()], pa.string())
    of_distinct = np.full(len(distinct), unknown, np.uint8)
    for name, regex in {OTHER_SCRIPT: r"\p{L}", "no script of its own": r"[\p{Common}\p{Inherited}]"}.items():
        fits = pc.match_substring_regex(characters, regex).to_numpy(zero_copy_only=False)
        of_distinct[fits] = _NUMBERS.get(name, unknown)
    for name, regex in SCRIPT_REGEXES.items():
        fits = pc.match_substring_regex(characters, regex).to_numpy(zero_copy_only=False)
        of_distinct[fits] = _NUMBERS[name]
    known = of_distinct[place]
    token = np.repeat(np.arange(len(starts) - 1), np.diff(starts))[letters]
    token, known = token[known != unknown], known[known != unknown]
    scripts = np.full(len(starts) - 1, _NUMBERS[NO_SCRIPT], np.uint8)
    if not len(token):
        return scripts
    first = np.flatnonzero(np.concatenate([[True], token[1:] != token[:-1]]))
    low, high = np.minimum.reduceat(known, first), np.maximum.reduceat(known, first)
    east_asian = np.logical_and.reduceat(np.isin(known, _EAST_ASIAN), first)
    mixed = np.where(east_asian, _NUMBERS[HAN_AND_KANA], _NUMBERS[SEVERAL])
    scripts[token[first]] = np.where(low == high, low, mixed)
    return scripts
