"""Training: fastText's algorithm, held against ten slow lines of it and against the library that loads its model."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.quality.lines import as_strings, to_lines
from corpusmill.dataproc.quality.model_file import FastTextModel, write_model
from corpusmill.dataproc.quality.trainer import PRESETS, Hyperparameters, train
from corpusmill.dataproc.quality.words import WordNumbers
from corpusmill.dataproc.randomness import random_key, uniforms

LABELS = ("__label__hq", "__label__cc")


def documents(count: int = 60, seed: int = 0) -> tuple[pa.Array, np.ndarray]:
    """Texts of two kinds, each with words of its own, and their labels."""
    draw = np.random.default_rng(seed)
    labels = draw.integers(0, 2, count).astype(np.int32)
    texts = [
        " ".join(
            f"{'pn'[label]}{draw.integers(20)}" if draw.random() < 0.4 else f"c{draw.integers(20)}" for _ in range(12)
        )
        for label in labels
    ]
    return pa.array(texts, pa.large_string()), labels


def trained(texts: pa.Array, labels: np.ndarray, chosen: Hyperparameters, seed: int = 0) -> FastTextModel:
    words = WordNumbers()
    tokens, ends = words.number(*to_lines(texts))
    return train(tokens, ends, labels, words, LABELS, chosen, seed)


def slow_training(
    texts: pa.Array, labels: np.ndarray, chosen: Hyperparameters, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """(input, output) in float64, from the description: rows, mean, softmax, gradient, falling rate."""
    lines = [[*line.split(), "</s>"] for line in as_strings(*to_lines(texts)).to_pylist()]
    counts: dict[str, int] = {"</s>": 0}
    for line in lines:
        for word in line:
            counts[word] = counts.get(word, 0) + 1
    kept = [word for word in sorted(counts, key=lambda word: -counts[word]) if counts[word] >= chosen.minimum_count]
    row_of = {word: row for row, word in enumerate(kept)}
    buckets = chosen.buckets if chosen.word_ngrams > 1 else 0
    key = np.array([random_key(seed, "quality/weights", "input")], np.uint64)
    size = (len(kept) + buckets, chosen.dimensions)
    drawn = np.array([uniforms(key, counter)[0] for counter in range(size[0] * size[1])])
    weights, output = ((2 * drawn - 1) / chosen.dimensions).reshape(size), np.zeros((2, chosen.dimensions))

    def fnv(word: str) -> int:
        value = 2166136261
        for byte in word.encode():
            value = ((value ^ byte) * 16777619) & 0xFFFFFFFF  # ASCII words only
        return value - (1 << 32) if value >= 1 << 31 else value

    def rows(line: list[str]) -> list[int]:
        numbers = [row_of[word] for word in line if word in row_of]
        for start in range(len(line)):
            chained = fnv(line[start]) % (1 << 64)
            for word in line[start + 1 : start + chosen.word_ngrams]:
                chained = (chained * 116049371 + fnv(word)) % (1 << 64)
                numbers.append(len(kept) + chained % buckets)
        return numbers

    whole, done = chosen.epochs * sum(map(len, lines)), 0
    for _ in range(chosen.epochs):
        for line, label in zip(lines, labels, strict=True):
            rate = chosen.learning_rate * (1 - done / whole)
            done += len(line)
            used = rows(line)
            hidden = weights[used].mean(axis=0)
            chance = np.exp(output @ hidden) / np.exp(output @ hidden).sum()
            step = rate * ((np.arange(2) == label) - chance)
            gradient = step @ output / len(used)
            output += np.outer(step, hidden)
            np.add.at(weights, used, gradient)
    return weights, output


@pytest.mark.parametrize("word_ngrams", [1, 3])
@pytest.mark.parametrize("minimum_count", [1, 3])
def test_weights_are_those_of_the_slow_reference(word_ngrams: int, minimum_count: int) -> None:
    texts, labels = documents()
    chosen = Hyperparameters(
        dimensions=5, epochs=3, word_ngrams=word_ngrams, minimum_count=minimum_count, buckets=37, learning_rate=0.5
    )
    model = trained(texts, labels, chosen, seed=4)
    weights, output = slow_training(texts, labels, chosen, seed=4)
    np.testing.assert_allclose(model.input, weights, atol=1e-5)
    np.testing.assert_allclose(model.output, output, atol=1e-5)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others() -> None:
    texts, labels = documents()
    chosen = Hyperparameters(dimensions=8, epochs=2)
    one, two, other = (trained(texts, labels, chosen, seed).input.tobytes() for seed in (1, 1, 2))
    assert one == two != other


def test_every_weight_is_drawn_not_only_a_tenth_of_them() -> None:
    texts, labels = documents()
    model = trained(texts, labels, Hyperparameters(dimensions=16, epochs=1, learning_rate=1e-6))
    assert np.all(model.input != 0)
    assert np.abs(model.input).max() <= 1 / 16 + 1e-6
    assert abs(float(model.input.mean())) < 0.01


def test_the_library_loads_the_model_and_finds_what_it_was_trained_for(tmp_path: Path) -> None:
    fasttext = pytest.importorskip("fasttext")
    texts, labels = documents(400)
    model = trained(
        texts, labels, Hyperparameters(dimensions=10, epochs=20, word_ngrams=2, buckets=500, learning_rate=0.5)
    )
    path = tmp_path / "model.bin"
    with path.open("wb") as file:
        write_model(model, file)
    loaded = fasttext.load_model(str(path))
    assert [word.encode() for word in loaded.get_words()] == model.words
    np.testing.assert_array_equal(loaded.get_input_matrix(), model.input)
    np.testing.assert_array_equal(loaded.get_output_matrix(), model.output)
    others, truth = documents(100, seed=9)
    predicted, _ = loaded.predict(others.to_pylist())
    right = sum(label[0] == LABELS[wanted] for label, wanted in zip(predicted, truth, strict=True))
    assert right >= 90


def test_a_rate_that_leaves_the_numbers_is_one_line_with_the_mend() -> None:
    texts, labels = documents(30)
    with pytest.raises(UserError, match=r"Encountered NaN.*--learning-rate below 1e\+30"):
        trained(texts, labels, Hyperparameters(dimensions=4, epochs=50, learning_rate=1e30))


def test_a_label_without_documents_and_words_that_are_all_rare_are_errors() -> None:
    texts, _ = documents(10)
    with pytest.raises(UserError, match="no document of __label__cc"):
        trained(texts, np.zeros(10, np.int32), Hyperparameters(dimensions=2))
    rare = pa.array(["one two", "three four"], pa.large_string())
    with pytest.raises(UserError, match="smaller --minimum-count"):
        trained(rare, np.array([0, 1], np.int32), Hyperparameters(dimensions=2, minimum_count=2))


def test_documents_without_words_are_learned_from_by_their_end_alone() -> None:
    texts = pa.array(["", "a b", "a", ""], pa.large_string())
    model = trained(texts, np.array([0, 1, 1, 0], np.int32), Hyperparameters(dimensions=3))
    assert model.words[0] == b"</s>"
    assert np.isfinite(model.input).all()


def test_presets_are_those_of_the_papers() -> None:
    assert PRESETS["dclm"] == Hyperparameters(
        learning_rate=0.1, dimensions=100, window=5, epochs=5, word_ngrams=1, minimum_count=1
    )
    assert PRESETS["deepseek-math"] == Hyperparameters(
        learning_rate=0.1, dimensions=256, word_ngrams=3, minimum_count=3, epochs=3
    )
