"""What of a page is judged for its language, and that a page in Chinese is Chinese whatever code it holds."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.dataproc.language.embedded import EmbeddedIdentifier
from corpusmill.dataproc.language.families import FAMILIES, family_of, named, with_members
from corpusmill.dataproc.language.prose import LEAST, prose_of

CODE = "def read(path: str) -> list[str]:\n    return [line.strip() for line in open(path)]\n"
WORDS = "the prose of a page stands around its code"


def prose(text: str, characters: int = 2000) -> str:
    return prose_of(pa.array(["before", text], pa.large_string()).slice(1), characters)[0].as_py()


@pytest.mark.parametrize(
    "code",
    [
        f"```python\n{CODE}```",
        f"~~~~\n{CODE}~~~\n```\n~~~~",
        f"  ```\n{CODE}  ```",
        "`read_lines`",
        "``a ` b``",
        f"<pre class='x'>{CODE}</pre>",
        f"<script>{CODE}</script>",
        "<code>import os</code>",
        "<a href='x'>",
        "<br/>",
        "<!-- a note\nof two lines -->",
        "https://example.org/a/b?c=d#e",
        "www.example.org/index.html",
        "| a | b |",
        "+---+---+",
        "-----",
        ".. code-block:: python\n\n   import os\n   import sys",
    ],
)
def test_code_addresses_markup_and_tables_are_left_out(code: str) -> None:
    made = prose(f"{WORDS}\n{code}\n{WORDS}")
    assert made.split() == (f"{WORDS} {WORDS}").split()


@pytest.mark.parametrize(
    "text", ["a < b and b > c", "2 <3", "it's `open", "Note: this", "a - b", "www is a web", ".. note:: see", "x | y"]
)
def test_what_only_looks_like_markup_stays(text: str) -> None:
    assert prose(f"{WORDS} {text}, {WORDS}") == f"{WORDS} {text}, {WORDS}"


def test_an_indented_block_of_code_ends_where_its_indentation_does() -> None:
    assert prose(f"{WORDS}::\n\n    import os\n\n    import sys\n\n{WORDS}").split() == (f"{WORDS} {WORDS}").split()


def test_a_text_of_next_to_nothing_else_is_judged_as_it_is() -> None:
    assert prose(f"```\n{CODE}```\nyes") == f"```\n{CODE}```\nyes"
    assert prose(f"```\n{CODE}```\n{'y' * LEAST}").strip() == "y" * LEAST


@settings(max_examples=300, deadline=None)
@given(st.text(st.sampled_from("ab `~<>/!-\n:|w.é語=+"), max_size=60), st.integers(1, 40))
def test_any_text_gives_valid_text_of_no_more_characters(text: str, characters: int) -> None:
    made = prose(text, characters)
    assert len(made) <= characters
    if not set(text) & set("`~<:|w.=+-"):
        assert made == text[:characters]


SENTENCES = {
    "zh": "这个函数读取一个文件，并返回其中的所有行。如果文件不存在，程序会报告一个错误。请参考下面的例子。",
    "ja": "この関数はファイルを読み込み、すべての行を返します。ファイルがない場合はエラーになります。",
    "de": "Diese Funktion liest eine Datei und gibt alle Zeilen zurück. Fehlt die Datei, so wird ein Fehler gemeldet.",
    "ru": "Эта функция читает файл и возвращает все его строки. Если файла нет, сообщается об ошибке.",
}


@pytest.mark.parametrize("language", SENTENCES)
def test_a_page_has_the_language_of_its_prose_whatever_code_it_holds(language: str) -> None:
    page = f"# `read()`\n\n```python\n{CODE * 40}```\n\n{SENTENCES[language]}\n<pre>{CODE * 9}</pre>\n"
    languages, scores = EmbeddedIdentifier().identify(pa.array([page]))
    assert languages.to_pylist() == [language]
    assert scores[0] > 0.9


def test_relatives_count_together_and_the_whole_names_what_no_member_has_clearly() -> None:
    chinese, bosnian, german = family_of("zh_Hant"), family_of("bs"), family_of("de")
    assert chinese.whole == "zh" and "wuu" in chinese.members
    assert german.members == ("de",)
    assert named([("zh", 0.3), ("wuu", 0.35), ("yue", 0.3)], chinese) == "zh"
    assert named([("zh", 0.02), ("yue", 0.9)], chinese) == "yue"
    assert named([("bs", 0.3), ("hr", 0.4)], bosnian) == "hr"
    assert with_members(["zh", "hr", "en"]) == (*FAMILIES[0].members, "hr", "en")


def test_written_chinese_is_as_sure_as_its_relatives_together() -> None:
    poem = "床前明月光，疑是地上霜。舉頭望明月，低頭思故鄉。"
    languages, scores = EmbeddedIdentifier().identify(pa.array([poem]))
    assert languages.to_pylist() == ["zh"]
    assert scores[0] > 0.9
    assert scores.dtype == np.float32
