"""Listed words of documents: one list for all, lists by language, numbers and mistakes."""

import pyarrow as pa
import pytest

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.lists.words import ListedWords
from corpusmill.dataproc.measures.columns import Measure


def documents(*rows: tuple[str, str | None]) -> pa.RecordBatch:
    texts, languages = zip(*rows, strict=True)
    return pa.RecordBatch.from_arrays(
        [pa.array(texts, pa.large_string()), pa.array(languages, pa.string())], names=["text", "language"]
    )


@pytest.fixture
def folder(tmp_path):
    lists = {"en": "gift wrap\nfart", "de.txt": "Gift\n", "zh.txt": "毒药\n", "sv-SE.txt": "gift", "README.md": "fart"}
    for name, text in lists.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def test_one_list_is_for_all_languages(tmp_path):
    (tmp_path / "list.txt").write_text("# ours\nbad\nvery bad\n毒药\n", encoding="utf-8")
    actual = ListedWords(path=str(tmp_path / "list.txt")).measure(
        documents(
            ("This is BAD, very bad; bad.", "en"), ("Badly", None), ("他喝了毒药。", "zh"), ("", "en"), ("...", "en")
        )
    )
    assert actual.schema.names == ["listed_word_count", "listed_distinct_word_count", "listed_word_fraction"]
    assert actual.column(0).to_pylist() == [3, 0, 1, 0, 0]
    assert actual.column(1).to_pylist() == [2, 0, 1, 0, 0]
    assert actual.column(2).to_pylist() == [4 / 6, 0, 2 / 5, 0, 0]
    assert [field.type for field in actual.schema] == [pa.int64(), pa.int64(), pa.float64()]


def test_each_language_has_its_own_list(folder):
    rows = [
        ("Gift wrap, a fart, ein Gift", language)
        for language in ("en", "de", "deu_Latn", "sv", "fr", "python", None, "en_Shaw")
    ]
    actual = ListedWords(path=str(folder)).measure(documents(*rows))
    assert actual.column("listed_word_count").to_pylist() == [2, 2, 2, 2, 0, 0, 2, 2]
    actual = ListedWords(path=str(folder), default_language=None).measure(documents(*rows))
    assert actual.column("listed_word_count").to_pylist() == [2, 2, 2, 2, 0, 0, 0, 2]
    actual = ListedWords(path=str(folder), default_language="de").measure(documents(("Gift 毒药", None)))
    assert actual.column("listed_word_count").to_pylist() == [1]


def test_a_script_of_its_own_falls_back_on_the_language(folder):
    measure = ListedWords(path=str(folder))
    assert measure.measure(documents(("毒药", "zh_Hant"))).column(0).to_pylist() == [1]
    (folder / "zh_Hant.txt").write_text("毒藥", encoding="utf-8")
    both = ListedWords(path=str(folder)).measure(documents(("毒药 毒藥 毒藥", "zh_Hant"), ("毒药 毒藥 毒藥", "zh")))
    assert both.column(0).to_pylist() == [2, 1]


def test_code_is_no_language_of_a_list(folder):
    (folder / "c.txt").write_text("int")  # one letter is no code of a language
    assert ListedWords(path=str(folder)).measure(documents(("int x;", "c"))).column(0).to_pylist() == [0]


def test_numbers_do_not_depend_on_the_batch(folder):
    batch = documents(("a fart", "en"), ("Gift", "de"), ("毒药毒药", "zh"), ("Gift", None), ("", "en"))
    measure = ListedWords(path=str(folder))
    together = measure.measure(batch)
    for row in range(batch.num_rows):
        assert measure.measure(batch.slice(row, 1)).to_pylist() == together.slice(row, 1).to_pylist()


def test_columns_are_known_without_a_list():
    measure: Measure = ListedWords(path="/none")
    assert measure.columns == ListedWords.COLUMNS


def test_mistakes_are_named(tmp_path):
    def complains(path: str, message: str) -> None:
        with pytest.raises(UserError, match=message) as caught:
            ListedWords(path=path).measure(documents(("text", "en")))
        assert "\n" not in str(caught.value)

    complains(str(tmp_path / "none.txt"), "no file matches")
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "README.md").write_text("no list")
    complains(str(tmp_path / "lists"), "no file here is named after a language")
    (tmp_path / "lists" / "en.txt").write_text("foo\n!!!\n")
    complains(str(tmp_path / "lists"), "en.txt, line 2: '!!!' has no letter or digit")
    (tmp_path / "empty.txt").write_text("")
    complains(str(tmp_path / "empty.txt"), "has no entries")
