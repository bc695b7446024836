"""The embedded model, held against the library whose tables it walks."""

import random

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from py3langid.langid import MODEL_FILE
from py3langid.langid import LanguageIdentifier as Library

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.language import language_identifier
from corpusmill.dataproc.language.codes import language_code
from corpusmill.dataproc.language.embedded import EmbeddedIdentifier
from corpusmill.dataproc.language.families import CLEAR, Family, family_of, named
from corpusmill.dataproc.language.prose import prose_of

SENTENCES = {
    "en": "The ship left the harbour early in the morning, and nobody knew when it would come back.",
    "de": "Das Schiff verließ den Hafen früh am Morgen, und niemand wusste, wann es zurückkommen würde.",
    "fr": "Le navire a quitté le port tôt le matin, et personne ne savait quand il reviendrait.",
    "es": "El barco salió del puerto temprano por la mañana y nadie sabía cuándo iba a volver.",
    "ru": "Корабль вышел из гавани рано утром, и никто не знал, когда он вернётся обратно.",
    "zh": "那艘船清晨离开了港口，没有人知道它什么时候会回来，大家都在岸边等着。",
    "ja": "その船は朝早く港を出て、いつ戻ってくるのか誰にもわかりませんでした。",
    "ko": "그 배는 이른 아침에 항구를 떠났고, 언제 돌아올지 아무도 몰랐습니다.",
    "ar": "غادرت السفينة الميناء في الصباح الباكر ولم يكن أحد يعلم متى ستعود إلى هنا.",
    "hi": "जहाज सुबह जल्दी बंदरगाह से निकल गया और किसी को नहीं पता था कि वह कब लौटेगा।",
    "tr": "Gemi sabah erkenden limandan ayrıldı ve ne zaman geri döneceğini kimse bilmiyordu.",
    "sr": "Брод је рано ујутру напустио луку и нико није знао када ће се вратити кући.",
}

ROUNDING = 1e-3


@pytest.fixture(scope="module")
def library() -> Library:
    return Library.from_model_file(MODEL_FILE, norm_probs=True)


@pytest.fixture(scope="module")
def identifier() -> EmbeddedIdentifier:
    return EmbeddedIdentifier()


def agrees(library: Library, text: str, code: str | None, score: float) -> bool:
    """Whether an answer is the library's for the text's prose, or that of a family with as much but for rounding.

    Both sum float32 of a thousand n-grams, in orders of their own. Without any n-gram the library has all classes
    alike.
    """
    text = prose_of(pa.array([text], pa.large_string()), 2000)[0].as_py()
    if code is None:
        return score == 0 and (not text.strip() or library.classify(text)[1] < 3 / len(library.nb_classes))
    families: dict[Family, dict[str, float]] = {}
    for label, probability in library.rank(text):
        shares = families.setdefault(family_of(language_code(label) or ""), {})
        shares[language_code(label) or ""] = shares.get(language_code(label) or "", 0.0) + probability
    totals = {family: sum(shares.values()) for family, shares in families.items()}
    family = family_of(code)
    if abs(score - max(totals.values())) > ROUNDING or abs(score - totals[family]) > ROUNDING:
        return False
    best = named(families[family].items(), family)
    near = abs(max(families[family].values()) - CLEAR * totals[family]) < ROUNDING
    return code == best or near or abs(families[family][code] - families[family][best]) < ROUNDING


def test_sentences_have_their_language_and_a_score(identifier):
    languages, scores = identifier.identify(pa.array(list(SENTENCES.values())))
    assert languages.to_pylist() == list(SENTENCES)
    assert languages.type == pa.string()
    assert scores.dtype == np.float32
    assert (scores > 0.5).all() and (scores <= 1).all()


def test_it_is_the_default_and_knows_ninety_languages_and_more(identifier):
    assert isinstance(language_identifier(), EmbeddedIdentifier)
    assert len(set(identifier.languages) - {"zxx"}) >= 90
    assert list(identifier.languages) == sorted(set(identifier.languages))
    assert set(SENTENCES) <= set(identifier.languages)


def test_answers_are_those_of_the_library(identifier, library):
    generator = random.Random(3)
    words = " ".join(SENTENCES.values()).split()
    texts = [" ".join(generator.choices(words, k=generator.randint(1, 60))) for _ in range(300)]
    texts += [text.upper() for text in SENTENCES.values()]  # the library reads what is all upper case in lower case
    texts += [
        "e\u0301te\u0301 " * 5,
        "\u212b\ufb01 caf\u00e9",
        "12 34",
        "AÇÃO Nª",
        "ⅫⅣ",
        "ΟΔΟΣ",
        "A",
        "x" * 1999,
        "def f(x):\n    return x[0]\n",
    ]
    languages, scores = identifier.identify(pa.array(texts, pa.large_string()))
    for text, code, score in zip(texts, languages.to_pylist(), scores.tolist(), strict=True):
        assert agrees(library, text, code, score), text


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=80))
def test_answers_are_those_of_the_library_for_any_text(identifier, library, text):
    languages, scores = identifier.identify(pa.array([text], pa.large_string()))
    assert agrees(library, text, languages[0].as_py(), float(scores[0]))


def test_only_the_start_of_a_text_is_looked_at():
    start = SENTENCES["en"]
    texts = pa.array([start + SENTENCES["ru"] * 20])
    assert EmbeddedIdentifier(characters=len(start)).identify(texts)[0].to_pylist() == ["en"]
    assert EmbeddedIdentifier().identify(texts)[0].to_pylist() == ["ru"]


def test_answers_do_not_depend_on_the_batch(identifier):
    texts = pa.array(["", *SENTENCES.values(), " "])
    languages, scores = identifier.identify(texts)
    for row in range(len(texts)):
        language, score = identifier.identify(texts[row : row + 1])
        assert (language[0], score[0]) == (languages[row], scores[row])


def test_texts_without_words_have_no_language(identifier):
    languages, scores = identifier.identify(pa.array(["", " \n\t", "\u3000"]))
    assert languages.to_pylist() == [None, None, None]
    assert scores.tolist() == [0, 0, 0]


def test_no_texts(identifier):
    languages, scores = identifier.identify(pa.array([], pa.large_string()))
    assert (languages.type, len(languages), scores.shape) == (pa.string(), 0, (0,))


def test_no_characters_is_an_error():
    with pytest.raises(UserError, match="at least 1 character"):
        EmbeddedIdentifier(characters=0)
