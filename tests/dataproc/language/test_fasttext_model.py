"""Language identification by a fastText model at a path, with small models trained here."""

import random
import sys
import types

import numpy as np
import pyarrow as pa
import pytest

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.language import language_identifier
from corpusmill.dataproc.language.fasttext_model import FastTextIdentifier

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
    languages, scores = FastTextIdentifier(model).identify(texts)
    assert languages.type == pa.string()
    assert languages.to_pylist() == expected
    assert scores.dtype == np.float32
    assert (scores > 0.5).all() and (scores <= 1).all()


def test_line_ends_do_not_matter(model):
    identifier = FastTextIdentifier(model)
    plain = "der Fluss und das Wasser mit Haus"
    languages, scores = identifier.identify(pa.array([plain, plain.replace(" ", "\n"), plain.replace(" ", "\r\n\t")]))
    assert languages.to_pylist() == ["de"] * 3
    assert scores[0] == scores[1] == scores[2]


def test_texts_without_words_have_no_language(model):
    languages, scores = FastTextIdentifier(model).identify(pa.array(["", " \n\t", "the green river"]))
    assert languages.to_pylist() == [None, None, "en"]
    assert scores[:2].tolist() == [0, 0]


def test_no_texts(model):
    languages, scores = FastTextIdentifier(model).identify(pa.array([], pa.large_string()))
    assert (languages.type, len(languages), scores.shape) == (pa.string(), 0, (0,))


def test_only_the_start_of_a_text_is_looked_at(model):
    generator = random.Random(5)
    start, rest = sentence("en", generator), " ".join(sentence("de", generator) for _ in range(30))
    texts = pa.array([f"{start} {rest}"])
    assert FastTextIdentifier(model, characters=len(start)).identify(texts)[0].to_pylist() == ["en"]
    assert FastTextIdentifier(model).identify(texts)[0].to_pylist() == ["de"]


def test_answers_do_not_depend_on_the_batch(model):
    generator = random.Random(6)
    texts = pa.array([sentence(generator.choice(["en", "de"]), generator) for _ in range(30)])
    identifier = FastTextIdentifier(model)
    languages, scores = identifier.identify(texts)
    for row in range(30):
        language, score = identifier.identify(texts[row : row + 1])
        assert (language[0], score[0]) == (languages[row], scores[row])


def test_nothing_is_written_to_the_terminal(model, capfd):
    FastTextIdentifier(model).identify(pa.array(["the river"]))
    assert capfd.readouterr() == ("", "")


def test_mistakes_are_named(model, tmp_path, monkeypatch):
    with pytest.raises(UserError, match="no such file"):
        FastTextIdentifier(str(tmp_path / "none.bin"))
    (tmp_path / "bad.bin").write_bytes(b"this is not a model")
    with pytest.raises(UserError, match="not a fastText model"):
        FastTextIdentifier(str(tmp_path / "bad.bin"))
    with pytest.raises(UserError, match="at least 1 character"):
        FastTextIdentifier(model, characters=0)
    with pytest.raises(UserError, match=r"no such file.*or 'embedded'"):
        language_identifier("embeded")
    monkeypatch.setitem(sys.modules, "fasttext", None)
    with pytest.raises(UserError, match=r"corpusmill\[fasttext\]"):
        FastTextIdentifier(model)


def test_word_vectors_are_no_classifier(tmp_path):
    fasttext = pytest.importorskip("fasttext")
    (tmp_path / "text.txt").write_text("the green river and the mountain\n" * 50)
    vectors = fasttext.train_unsupervised(str(tmp_path / "text.txt"), dim=4, epoch=1, minCount=1, thread=1, verbose=0)
    vectors.save_model(str(tmp_path / "vectors.bin"))
    with pytest.raises(UserError, match="no labels"):
        FastTextIdentifier(str(tmp_path / "vectors.bin"))


def test_a_module_that_another_distribution_has_overwritten_is_told_in_one_line(model, monkeypatch):
    overwritten = types.ModuleType("fasttext")  # fasttext-predict's has `load_model` and nothing that trains
    overwritten.load_model = lambda path: None
    monkeypatch.setitem(sys.modules, "fasttext", overwritten)
    with pytest.raises(
        UserError, match=r"fasttext-predict.*has overwritten it; pip uninstall fasttext-predict"
    ) as caught:
        FastTextIdentifier(model)
    assert "\n" not in str(caught.value)


def test_labels_with_iso_639_3_and_a_script_become_our_codes(tmp_path):
    fasttext = pytest.importorskip("fasttext")
    generator = random.Random(7)
    labels = {"eng_Latn": "en", "deu_Latn": "de"}
    names = list(zip(labels, WORDS, strict=True))
    lines = [f"__label__{label} {sentence(language, generator)}\n" for _ in range(200) for label, language in names]
    lines += [f"__label__und_Zzzz {' '.join(generator.choices('1234567890', k=12))}\n" for _ in range(200)]
    (tmp_path / "train.txt").write_text("".join(lines), encoding="utf-8")
    trained = fasttext.train_supervised(
        str(tmp_path / "train.txt"), dim=8, epoch=10, minn=2, maxn=3, thread=1, verbose=0
    )
    trained.save_model(str(tmp_path / "model.bin"))
    identifier = language_identifier(str(tmp_path / "model.bin"))
    assert identifier.languages == ("de", "en")
    texts = [sentence("en", generator), sentence("de", generator), "3 5 1 2 2 7 8 1 4"]
    languages, scores = identifier.identify(pa.array(texts))
    assert languages.to_pylist() == ["en", "de", None]
    assert (scores[:2] > 0.5).all() and scores[2] == 0
