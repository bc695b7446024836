"""Natural languages by the model of py3langid, which its wheel holds: 139 languages, offline, without a download.

The model is a naive Bayes classifier over 100,053 byte n-grams (Lui & Baldwin 2011, 2012; retrained by Barbaresi). An
automaton walks over the bytes of a text and gives, after each, the n-gram that ends there, if any; each n-gram that
occurs k times adds log(1 + k) times its log probabilities, and the sums, divided by the square root of the text's
length in bytes, go through a softmax. That division is the library's calibration: it makes the score a probability,
which for a text of any length is about how often the answer is right.

The library does this in Python, a text at a time. Here the tables that its own loader gives are walked by a kernel over
Arrow's buffers, with the same steps: the text in NFC, in lower case if it is all in upper case, scores of the two
columns that Serbian and Uzbek have (one a script) added up. The answers are the library's. Sums are taken in the order
in which n-grams first occur, in float32, where the library leaves the order to a matrix product: scores differ by
2e-4 at most on 12,000 documents of the corpus, with no language among them different, and ours are the same on every
machine.

Cost: 20 to 45 MB/s of what is looked at on one core, 5.6 to 9 times what the library does in the same minute; most
of it is waiting for memory, as the automaton has 38 MB and the probabilities 57 MB. Loading takes 0.5 s. Memory: these
95 MB, and twice the starts of a batch's texts.
"""

import math

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.dataproc.kernels.buffers import read_only, text_buffers
from corpusmill.dataproc.kernels.compiling import kernel, kernel_step
from corpusmill.dataproc.language.codes import language_code
from corpusmill.dataproc.language.families import CLEAR, family_of
from corpusmill.dataproc.language.identifier import CHARACTERS, require_characters, starts_of

_NOTHING = -1


class EmbeddedIdentifier:
    """Identifies languages with py3langid's model, from the first `characters` code points of a text."""

    def __init__(self, characters: int = CHARACTERS) -> None:
        from py3langid.langid import MODEL_FILE, LanguageIdentifier

        self.characters = require_characters(characters, "embedded")
        model = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
        labels = list(model.nb_classes)
        self._moves = read_only(np.asarray(model.tk_nextmove), np.uint32)
        self._states = _packed_states(np.asarray(model.tk_row), np.asarray(model.tk_output))
        self._weights = read_only(model.nb_ptc, np.float32)
        self._priors = read_only(model.nb_pc, np.float32)
        self._columns = read_only(np.array([labels.index(label) for label in labels]), np.int64)
        codes = [language_code(label) for label in labels]
        self._codes = pa.array(codes, pa.string())
        self._families, self._wholes = (read_only(np.array(array), np.int64) for array in _families(codes))

    @property
    def languages(self) -> tuple[str, ...]:
        return tuple(sorted(set(self._codes.to_pylist())))

    def identify(self, texts: pa.Array) -> tuple[pa.Array, np.ndarray]:
        """(languages, scores) of N texts: see `LanguageIdentifier`."""
        starts = starts_of(texts, self.characters)
        offsets, data = text_buffers(pc.utf8_normalize(_lowered(starts), "NFC"))
        columns = np.full(len(texts), _NOTHING, np.int64)
        scores = np.zeros(len(texts), np.float32)
        model = self._moves, self._states, self._weights, self._priors, self._columns, self._families, self._wholes
        _identify(data, offsets, *model, columns, scores)
        blank = pc.equal(pc.utf8_ltrim_whitespace(starts), "").to_numpy(zero_copy_only=False)
        columns[blank] = _NOTHING
        scores[blank] = 0
        return self._codes.take(pa.array(columns, mask=columns == _NOTHING)), scores


def _lowered(texts: pa.Array) -> pa.Array:
    """The texts, in lower case those that are all in upper case, as Python's `str.isupper` sees it.

    Arrow finds the few that may be; it knows fewer letters that have a case (not ª, nor Ⅻ).
    """
    asked = np.flatnonzero(~pc.match_substring_regex(texts, "[a-z]").to_numpy(zero_copy_only=False))
    some = texts.take(pa.array(asked))
    unchanged, changed = pc.equal(pc.utf8_upper(some), some), pc.not_equal(pc.utf8_lower(some), some)
    shouted = asked[pc.and_(unchanged, changed).to_numpy(zero_copy_only=False)]
    if len(shouted) == 0:
        return texts
    mask = np.zeros(len(texts), bool)
    mask[shouted] = True
    lowered = [text.lower() if text.isupper() else text for text in texts.take(pa.array(shouted)).to_pylist()]
    return pc.replace_with_mask(texts, pa.array(mask), pa.array(lowered, texts.type))


def _families(codes: list[str | None]) -> tuple[list[int], list[int]]:
    """(number of each column's family, of each family the column that stands for the whole, or -1)."""
    families = [family_of(code or "") for code in codes]
    numbers = {family: number for number, family in enumerate(dict.fromkeys(families))}
    wholes = [codes.index(family.whole) if family.whole in codes else _NOTHING for family in numbers]
    return [numbers[family] for family in families], wholes


def _packed_states(rows: np.ndarray, outputs: np.ndarray) -> np.ndarray:
    """uint64 a state of the automaton: where its row of moves begins << 32 | the n-gram that ends there, plus 1.

    One load a byte in place of two; 0 in the lower half is no n-gram.
    """
    return read_only((rows.astype(np.uint64) << np.uint64(40)) | (outputs + 1).astype(np.uint64), np.uint64)


@kernel_step
def _add(sums, weights, ngram, factor):
    """Adds factor * weights[ngram] to `sums`."""
    for column in range(sums.size):
        sums[column] += factor * weights[ngram, column]


@kernel_step
def _walk(data, start, stop, moves, states, counts, distinct):
    """How many distinct n-grams are in data[start:stop]: `distinct` gets them in order, counts[n-gram] how often."""
    ngrams = np.int64(0)
    row = states[0] >> np.uint64(32)
    for position in range(start, stop):
        state = states[np.uint64(moves[row + np.uint64(data[np.uint64(position)])])]
        row = state >> np.uint64(32)
        ngram = state & np.uint64(0xFFFFFFFF)
        if ngram:
            ngram -= np.uint64(1)
            if counts[ngram] == 0:
                distinct[np.uint64(ngrams)] = np.int32(ngram)
                ngrams += 1
            counts[ngram] += np.int32(1)
    return ngrams


@kernel
def _identify(data, offsets, moves, states, weights, priors, columns_of_labels, families, wholes, columns, scores):
    """Fills columns[text] with the best class, or leaves it where no n-gram is found, and scores[text].

    Args:
        moves: uint32, 256 states a row of the automaton.
        states: `_packed_states`.
        weights: float32[F, C], log probabilities of F n-grams in C classes; `priors` float32[C].
        columns_of_labels: int64[C], the first class that has the same label as this one.
        families: int64[C], the family of each class; wholes: int64, the class that stands for each family, or -1.
    """
    longest = np.int64(0)
    for text in range(columns.size):
        longest = max(longest, offsets[text + 1] - offsets[text])
    counts = np.zeros(weights.shape[0], np.int32)
    distinct = np.empty(longest, np.int32)
    logarithms = np.log1p(np.arange(longest + 1).astype(np.float32))
    sums = np.empty(priors.size, np.float32)
    probabilities = np.empty(priors.size, np.float64)
    of_families = np.empty(wholes.size, np.float64)
    for text in range(columns.size):
        start, stop = offsets[text], offsets[text + 1]
        ngrams = _walk(data, start, stop, moves, states, counts, distinct)
        if ngrams == 0:
            continue
        sums[:] = 0
        for place in range(ngrams):
            ngram = distinct[place]
            factor = logarithms[counts[ngram]]
            counts[ngram] = 0
            _add(sums, weights, ngram, factor)
        sums += priors
        highest = sums.max()
        scale = 1.0 / math.sqrt(stop - start)
        probabilities[:] = 0
        total = 0.0
        for column in range(sums.size):
            odds = math.exp((np.float64(sums[column]) - np.float64(highest)) * scale)
            probabilities[columns_of_labels[column]] += odds
            total += odds
        of_families[:] = 0
        for column in range(sums.size):
            of_families[families[column]] += probabilities[column]
        family = int(of_families.argmax())
        best = np.int64(_NOTHING)
        for column in range(sums.size):
            if families[column] == family and (best < 0 or probabilities[column] > probabilities[best]):
                best = np.int64(column)
        if wholes[family] >= 0 and probabilities[best] < CLEAR * of_families[family]:
            best = wholes[family]
        columns[text] = best
        scores[text] = min(of_families[family] / total, 1.0)
