"""The n-gram yardsticks against modified Kneser-Ney written with dictionaries, from Chen and Goodman's equations."""

from collections import Counter, defaultdict

import numpy as np
import pytest

from benchmarks.ngrams import Events, KneserNey, events_of

VOCABULARY, START = 9, 9


def _sequences() -> tuple[np.ndarray, np.ndarray]:
    """A second-order chain over ids below 8, so that id 8 is never seen; the last sequences are padded."""
    rng = np.random.default_rng(0)
    likely = rng.dirichlet(np.full(8, 0.3), (8, 8))
    rows = []
    for _ in range(40):
        row = rng.integers(0, 8, 2).tolist()
        while len(row) < 12:
            row.append(int(rng.choice(8, p=likely[row[-2], row[-1]])))
        rows.append(row)
    valid = np.ones((40, 12), bool)
    valid[30:, 7:] = False
    return np.array(rows), valid


def _ngrams(tokens: np.ndarray, valid: np.ndarray) -> list[tuple[int, int, int]]:
    actual = []
    for row, used in zip(tokens.tolist(), valid.sum(1).tolist(), strict=True):
        padded = [START, *row[:used]]
        actual += [(padded[i - 1], padded[i], padded[i + 1]) for i in range(1, used)]
    return actual


def _discounts(counts: dict) -> list[float]:
    """Equation 26; toy data lack counts of 1 to 4 on the shortest level, where half the count is taken."""
    n = Counter(counts.values())
    if not all(n[k] for k in (1, 2, 3, 4)):
        return [0.0, 0.5, 1.0, 1.5]
    y = n[1] / (n[1] + 2 * n[2])
    exact = [k - (k + 1) * y * n[k + 1] / n[k] for k in (1, 2, 3)]
    return [0.0, *(min(max(value, 0.0), float(k)) for k, value in enumerate(exact, 1))]


def _smoothed(counts: dict, token: int, context: tuple, shorter: float) -> float:
    """(c - D(c)) / total + what the discounts of this context leave, times the shorter context's probability."""
    here = [count for gram, count in counts.items() if gram[:-1] == context]
    if not here:
        return shorter
    discounts, count = _discounts(counts), counts.get((*context, token), 0)
    left = sum(discounts[min(other, 3)] for other in here) / sum(here)
    return (count - discounts[min(count, 3)]) / sum(here) + left * shorter


def _reference(grams: list[tuple[int, int, int]], wanted: tuple[int, int, int]) -> tuple[float, float]:
    """(bigram, trigram) probability of the last of three tokens."""
    before_last, before, token = wanted
    trigrams, bigrams = Counter(grams), Counter(gram[1:] for gram in grams)
    contexts: dict[tuple, set[int]] = defaultdict(set)
    for gram in grams:
        contexts[gram[1:]].add(gram[0])
        contexts[gram[2:]].add(gram[1])
    seen_after = {gram: len(others) for gram, others in contexts.items()}
    single = {gram: count for gram, count in seen_after.items() if len(gram) == 1}
    double = {gram: count for gram, count in seen_after.items() if len(gram) == 2}
    unigram = _smoothed(single, token, (), 1 / VOCABULARY)
    middle = _smoothed(double, token, (before,), unigram)
    return (
        _smoothed(bigrams, token, (before,), unigram),
        _smoothed(trigrams, token, (before_last, before), middle),
    )


def test_probabilities_equal_those_of_dictionaries():
    tokens, valid = _sequences()
    grams = _ngrams(tokens, valid)
    assert _discounts(Counter(grams)) != [0.0, 0.5, 1.0, 1.5] != _discounts(Counter(gram[1:] for gram in grams))
    model = KneserNey(events_of(tokens, valid, START), VOCABULARY)
    wanted = [*grams[:60], (8, 8, 8), (1, 2, 8), (START, 3, 4), (0, 8, 1)]
    events = Events(*(np.array(column) for column in zip(*wanted, strict=True)))
    expected = [_reference(grams, gram) for gram in wanted]
    np.testing.assert_allclose(model.bigram(events), [bigram for bigram, _ in expected], rtol=1e-12)
    np.testing.assert_allclose(model.trigram(events), [trigram for _, trigram in expected], rtol=1e-12)


@pytest.mark.parametrize("context", [(0, 1), (3, 3), (START, 5), (2, 8), (8, 8)])
def test_every_context_leaves_a_whole(context: tuple[int, int]):
    model = KneserNey(events_of(*_sequences(), START), VOCABULARY)
    every = Events(np.full(9, context[0]), np.full(9, context[1]), np.arange(9))
    for probabilities in (model.unigram(every), model.bigram(every), model.trigram(every)):
        assert probabilities.sum() == pytest.approx(1.0) and (probabilities > 0).all()


def test_events_are_what_a_trainer_predicts():
    actual = events_of(np.array([[4, 5, 6, 2], [7, 8, 2, 2]]), np.array([[1, 1, 1, 0], [1, 1, 0, 0]], bool), START)
    assert list(zip(*(column.tolist() for column in (actual.earlier, actual.before, actual.token)), strict=True)) == [
        (9, 4, 5),
        (4, 5, 6),
        (9, 7, 8),
    ]
