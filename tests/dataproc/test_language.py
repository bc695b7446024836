"""Language identification with a small fastText model trained here, and languages by file extension."""

import random
import sys

import numpy as np
import pyarrow as pa
import pytest

from dataproc.errors import UserError
from dataproc.language import LanguageIdentifier, language_of_path

WORDS = {
    "en": "the of and house water green river mountain with from where always never people window",
    "de": "der die das und Haus Wasser grün Fluss Berg mit von wo immer niemals Leute Fenster",
}


def sentence(language: str, generator: random.Random) -> str:
    return " ".join(generator.choices(WORDS[language].split(), k=12))


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> str:
    fasttext = pytest.importorskip("fasttext")
    folder = tmp_path_factory.mktemp("fasttext")
    generator = random.Random(3)
    lines = [f"__label__{language} {sentence(language, generator)}\n" for _ in range(200) for language in WORDS]
    (folder / "train.txt").write_text("".join(lines), encoding="utf-8")
    trained = fasttext.train_supervised(str(folder / "train.txt"), dim=8, epoch=10, minn=2, maxn=3, thread=1, verbose=0)
    trained.save_model(str(folder / "model.bin"))
    return str(folder / "model.bin")


def test_languages_and_scores(model):
    generator = random.Random(4)
    expected = ["en", "de"] * 20
    texts = pa.array([sentence(language, generator) for language in expected], pa.large_string())
    languages, scores = LanguageIdentifier(model).identify(texts)
    assert languages.type == pa.string()
    assert languages.to_pylist() == expected
    assert scores.dtype == np.float32
    assert (scores > 0.5).all() and (scores <= 1).all()


def test_line_ends_do_not_matter(model):
    identifier = LanguageIdentifier(model)
    plain = "der Fluss und das Wasser mit Haus"
    languages, scores = identifier.identify(pa.array([plain, plain.replace(" ", "\n"), plain.replace(" ", "\r\n\t")]))
    assert languages.to_pylist() == ["de"] * 3
    assert scores[0] == scores[1] == scores[2]


def test_texts_without_words_have_no_language(model):
    languages, scores = LanguageIdentifier(model).identify(pa.array(["", " \n\t", "the green river"]))
    assert languages.to_pylist() == [None, None, "en"]
    assert scores[:2].tolist() == [0, 0]


def test_no_texts(model):
    languages, scores = LanguageIdentifier(model).identify(pa.array([], pa.large_string()))
    assert (languages.type, len(languages), scores.shape) == (pa.string(), 0, (0,))


def test_only_the_start_of_a_text_is_looked_at(model):
    generator = random.Random(5)
    start, rest = sentence("en", generator), " ".join(sentence("de", generator) for _ in range(30))
    texts = pa.array([f"{start} {rest}"])
    assert LanguageIdentifier(model, characters=len(start)).identify(texts)[0].to_pylist() == ["en"]
    assert LanguageIdentifier(model).identify(texts)[0].to_pylist() == ["de"]


def test_answers_do_not_depend_on_the_batch(model):
    generator = random.Random(6)
    texts = pa.array([sentence(generator.choice(["en", "de"]), generator) for _ in range(30)])
    identifier = LanguageIdentifier(model)
    languages, scores = identifier.identify(texts)
    for row in range(30):
        language, score = identifier.identify(texts[row : row + 1])
        assert (language[0], score[0]) == (languages[row], scores[row])


def test_nothing_is_written_to_the_terminal(model, capfd):
    LanguageIdentifier(model).identify(pa.array(["the river"]))
    assert capfd.readouterr() == ("", "")


def test_mistakes_are_named(model, tmp_path, monkeypatch):
    with pytest.raises(UserError, match="no such file"):
        LanguageIdentifier(str(tmp_path / "none.bin"))
    (tmp_path / "bad.bin").write_bytes(b"this is not a model")
    with pytest.raises(UserError, match="no fastText model"):
        LanguageIdentifier(str(tmp_path / "bad.bin"))
    with pytest.raises(UserError, match="at least 1 character"):
        LanguageIdentifier(model, characters=0)
    monkeypatch.setitem(sys.modules, "fasttext", None)
    with pytest.raises(UserError, match=r"corpusmill\[fasttext\]"):
        LanguageIdentifier(model)


def test_word_vectors_are_no_classifier(tmp_path):
    fasttext = pytest.importorskip("fasttext")
    (tmp_path / "text.txt").write_text("the green river and the mountain\n" * 50)
    vectors = fasttext.train_unsupervised(str(tmp_path / "text.txt"), dim=4, epoch=1, minCount=1, thread=1, verbose=0)
    vectors.save_model(str(tmp_path / "vectors.bin"))
    with pytest.raises(UserError, match="no labels"):
        LanguageIdentifier(str(tmp_path / "vectors.bin"))


@pytest.mark.parametrize(
    ("path", "language"),
    [
        ("src/main.py", "python"),
        ("a/b.c", "c"),
        ("a/b.H", "c"),
        ("x.hpp", "cpp"),
        ("X.java", "java"),
        ("app.min.js", "javascript"),
        ("app.tsx", "typescript"),
        ("main.go", "go"),
        ("lib.rs", "rust"),
        ("README.md", "markdown"),
        ("docker/Dockerfile", "dockerfile"),
        ("C:\\src\\Main.CS", "csharp"),
        ("CMakeLists.txt", "cmake"),
        ("notes.txt", None),
        ("LICENSE", None),
        (".gitignore", None),
        ("py", None),
        ("a.py/file", None),
        ("", None),
    ],
)
def test_language_of_path(path, language):
    assert language_of_path(path) == language
