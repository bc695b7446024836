"""Scores: those of the library, for each document by itself, whatever stands in its text."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.quality.lines import LineSettings, to_lines
from corpusmill.dataproc.quality.model_file import write_model
from corpusmill.dataproc.quality.scorer import KernelScorer, ListScorer, open_scorer
from corpusmill.dataproc.quality.trainer import Hyperparameters, train
from corpusmill.dataproc.quality.words import WordNumbers

PLAIN = LineSettings()
VOCABULARY = [f"w{number}" for number in range(30)]


@pytest.fixture(scope="module", params=[1, 3])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A classifier whose positive documents have the words of even numbers."""
    draw = np.random.default_rng(1)
    labels = draw.integers(0, 2, 200).astype(np.int32)
    texts = [" ".join(VOCABULARY[2 * draw.integers(15) + label] for _ in range(20)) for label in labels]
    words = WordNumbers()
    tokens, ends = words.number(*to_lines(pa.array(texts, pa.large_string())))
    chosen = Hyperparameters(dimensions=8, epochs=10, word_ngrams=request.param, buckets=300, learning_rate=0.5)
    path = tmp_path_factory.mktemp("model") / "model.bin"
    with path.open("wb") as file:
        write_model(train(tokens, ends, labels, words, ("__label__hq", "__label__cc"), chosen, 0), file)
    return str(path)


texts = st.lists(st.lists(st.sampled_from([*VOCABULARY, "new", "é漢", "\n", "</s>", "__label__hq"])).map(" ".join))


@settings(deadline=None)
@given(documents=texts)
def test_scores_are_those_of_the_library(model: str, documents: list[str]) -> None:
    pytest.importorskip("fasttext")
    array = pa.array(documents, pa.large_string())
    ours, theirs = (scorer.score(array) for scorer in (open_scorer(model, "hq", PLAIN), _listed(model)))
    assert isinstance(open_scorer(model, "hq", PLAIN), KernelScorer)
    np.testing.assert_allclose(ours, theirs, atol=2e-6)


_LISTED: dict[str, ListScorer] = {}


def _listed(model: str) -> ListScorer:
    return _LISTED.setdefault(model, ListScorer(model, "__label__hq", PLAIN))


@settings(deadline=None)
@given(documents=texts, cut=st.integers(0, 20))
def test_a_score_depends_on_its_own_document_alone(model: str, documents: list[str], cut: int) -> None:
    scorer, array = open_scorer(model, "hq", PLAIN), pa.array(documents, pa.large_string())
    pieces = [scorer.score(array.slice(0, cut)), scorer.score(array.slice(cut))]
    np.testing.assert_array_equal(np.concatenate(pieces), scorer.score(array))


def test_labels_add_up_to_one_and_are_found_with_or_without_prefix(model: str) -> None:
    array = pa.array(["w0 w2 w4", "w1 w3", "w0 w1"], pa.large_string())
    good, bad = (open_scorer(model, label, PLAIN).score(array) for label in ("hq", "__label__cc"))
    np.testing.assert_allclose(good + bad, 1 + 2e-5, atol=1e-9)
    assert good[0] > 0.5 > good[1]


def test_text_without_a_word_scores_nothing(model: str) -> None:
    for scorer in (open_scorer(model, "hq", PLAIN), *([_listed(model)] if _has_library() else [])):
        assert scorer.score(pa.array(["", " \n\t", "\0"], pa.large_string())).tolist() == [0.0, 0.0, 0.0]
        assert scorer.score(pa.array([], pa.large_string())).tolist() == []


def _has_library() -> bool:
    try:
        import fasttext  # noqa: F401
    except ImportError:
        return False
    return True


def test_a_text_cannot_end_its_line_nor_hide_what_follows(model: str) -> None:
    bad = "w1 w3 w5 w7 w9 w11"
    texts = pa.array(["w0 w2 </s> " + bad, "w0 w2\n" + bad, "w0 w2 zz " + bad], pa.large_string())
    scores = open_scorer(model, "hq", PLAIN).score(texts)
    assert (scores < 0.5).all()


def test_a_word_as_long_as_a_file_is_one_word(model: str) -> None:
    alone, beside = open_scorer(model, "hq", PLAIN).score(pa.array(["w0", "w0 " + "A" * (1 << 22)], pa.large_string()))
    assert beside == pytest.approx(alone, abs=0.2)


def test_a_label_that_there_is_not_is_named_with_those_there_are(model: str) -> None:
    with pytest.raises(UserError, match=r"no label 'math'.*__label__cc, __label__hq"):
        open_scorer(model, "math", PLAIN)


@pytest.mark.parametrize("settings", [{"loss": "hs"}, {"minn": 2, "maxn": 4}, {"loss": "ova"}])
def test_other_kinds_of_models_go_through_the_library(tmp_path: Path, settings: dict[str, object]) -> None:
    path = _by_library(tmp_path, **settings)
    scorer = open_scorer(path, "hq", PLAIN)
    assert isinstance(scorer, ListScorer)
    good, bad, broken = scorer.score(pa.array(["w0 w2 w4 w6", "w1 w3 w5 w7", "w0\nw2"], pa.large_string()))
    assert good > bad
    assert broken > bad


def test_a_quantised_model_goes_through_the_library(tmp_path: Path) -> None:
    fasttext = pytest.importorskip("fasttext")
    texts = pa.array([" ".join(VOCABULARY[number % 2 :: 2]) for number in range(40)], pa.large_string())
    words = WordNumbers()
    tokens, ends = words.number(*to_lines(texts))
    chosen = Hyperparameters(dimensions=8, epochs=10, word_ngrams=2, buckets=400, learning_rate=0.5)
    labels = (np.arange(40) % 2).astype(np.int32)
    with (tmp_path / "model.bin").open("wb") as file:
        write_model(train(tokens, ends, labels, words, ("__label__hq", "__label__cc"), chosen, 0), file)
    made = fasttext.load_model(str(tmp_path / "model.bin"))
    made.quantize()
    made.save_model(str(tmp_path / "model.ftz"))
    scorer = open_scorer(str(tmp_path / "model.ftz"), "hq", PLAIN)
    assert isinstance(scorer, ListScorer)
    good, bad = scorer.score(pa.array(["w0 w2 w4 w6", "w1 w3 w5 w7"], pa.large_string()))
    assert good > bad


LIBRARY = """
import json, sys, fasttext
lines, output, settings = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
while True:
    try:
        made = fasttext.train_supervised(lines, dim=8, epoch=10, lr=0.5, bucket=500, thread=1, verbose=0, **settings)
        break
    except RuntimeError:
        pass
made.save_model(output)
"""


def _by_library(folder: Path, **settings: object) -> str:
    """A model of the library's own making, in a process of its own: some builds read memory that they never filled,
    and in one that has worked before that is hardly ever free of NaN."""
    pytest.importorskip("fasttext")
    draw = np.random.default_rng(5)
    lines = []
    for _ in range(300):
        label = int(draw.integers(2))
        chosen = " ".join(VOCABULARY[2 * draw.integers(15) + label] for _ in range(20))
        lines.append(f"__label__{('hq', 'cc')[label]} {chosen}\n")
    (folder / "lines").write_text("".join(lines))
    path = str(folder / "model.bin")
    arguments = [str(folder / "lines"), path, json.dumps(settings)]
    subprocess.run([sys.executable, "-c", LIBRARY, *arguments], check=True, timeout=60)
    return path
