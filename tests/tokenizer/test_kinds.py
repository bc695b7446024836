"""What tokens are: kinds by classes of characters, scripts by Unicode, joined punctuation as splitting finds it."""

import unicodedata

import numpy as np
import pyarrow as pa
import pytest

from corpusmill.tokenizer import Tokenizer
from corpusmill.tokenizer.boundary import boundary_table
from corpusmill.tokenizer.kinds import JOINED, KINDS, SCRIPTS, vocabulary_kinds


def kinds_of(*tokens: bytes | None, special: tuple[int, ...] = ()) -> list[tuple[str, str]]:
    marked = np.zeros(len(tokens), bool)
    marked[list(special)] = True
    kinds = vocabulary_kinds(pa.array(tokens, pa.large_binary()), marked)
    return [(KINDS[kind], SCRIPTS[script]) for kind, script in zip(kinds.kinds, kinds.scripts, strict=True)]


@pytest.mark.parametrize(
    ("token", "kind", "script"),
    [
        (" the", "word", "Latin"),
        ("слово", "word", "Cyrillic"),
        (" é\u0301", "word", "Latin"),
        ("हिन्दी", "word", "Devanagari"),
        ("中文", "word", "Han"),
        ("テスト", "word", "Kana"),
        ("ーー", "word", "Kana"),
        ("使う", "word", "Han and kana"),
        ("Git은", "word", "several"),
        ("使う은", "word", "several"),
        ("ᐃᓄᒃ", "word", "other letters"),
        ("_name", "punctuation and word", "Latin"),
        ("'s", "punctuation and word", "Latin"),
        (" 12", "number", "no letters"),
        ("१२", "number", "no letters"),
        (" +=", "punctuation", "no letters"),
        ("。", "punctuation", "no letters"),
        ("😀", "punctuation", "no letters"),
        (");\n", JOINED, "no letters"),
        (" }\r\n\r\n", JOINED, "no letters"),
        ("\u3000}\n", "mixed", "no letters"),
        ("  }\n", "mixed", "no letters"),
        ("\n\n", "white space", "no letters"),
        ("\t ", "white space", "no letters"),
        ("\u3000", "white space", "no letters"),
        ("a1", "mixed", "Latin"),
        ("\u200b", "mixed", "no letters"),
        ("\x00", "mixed", "no letters"),
        ("", "mixed", "no letters"),
    ],
)
def test_a_token_has_a_kind_and_a_script(token: str, kind: str, script: str) -> None:
    assert kinds_of(token.encode()) == [(kind, script)]


def test_what_is_no_text_is_told_apart() -> None:
    rows = kinds_of(b"<eos>", None, b"\xe4", b"caf\xc3", b"whole", special=(0,))
    assert [kind for kind, _ in rows] == ["special", "no token", "partial UTF-8", "partial UTF-8", "word"]
    assert [script for _, script in rows] == ["no letters"] * 4 + ["Latin"]
    assert kinds_of() == []


def test_joined_tokens_are_those_that_are_split_at_boundaries(folder: str) -> None:
    tokenizer = Tokenizer.load(folder)
    special = np.zeros(tokenizer.vocab_size, bool)
    special[list(tokenizer.special.ids.values())] = True
    joined = vocabulary_kinds(tokenizer.spellings, special).is_kind(JOINED)
    assert joined.sum() > 10 and np.array_equal(joined, boundary_table(tokenizer).joined)


def test_scripts_are_those_of_unicodes_names() -> None:
    """The first word of a letter's name is its script, for those of which that is so."""
    named = {"LATIN": "Latin", "GREEK": "Greek", "CYRILLIC": "Cyrillic", "ARABIC": "Arabic", "THAI": "Thai"}
    letters = [chr(code) for code in range(0x110000) if unicodedata.category(chr(code)).startswith("L")]
    expected = {letter: named.get(unicodedata.name(letter, "?").split()[0]) for letter in letters}
    expected = {letter: script for letter, script in expected.items() if script}
    kinds = dict(zip(expected, kinds_of(*(letter.encode() for letter in expected)), strict=True))
    other = {letter for letter, script in expected.items() if kinds[letter] != ("word", script)}
    assert len(expected) > 3000 and other == {"\u0374", "\u0640"}, "signs that scripts share"
