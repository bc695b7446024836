"""What every identifier of languages does, whichever model is behind it."""

from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.dataproc.errors import UserError

CHARACTERS = 2000
"""How much of a text is looked at: enough for any classifier, and a bound on its time for long documents."""


class LanguageIdentifier(Protocol):
    """Gives each text its language; an answer depends on the text alone, never on its neighbours or the batch."""

    @property
    def languages(self) -> tuple[str, ...]:
        """The codes that it can give (`dataproc.language.codes`), sorted."""
        ...

    def identify(self, texts: pa.Array) -> tuple[pa.Array, np.ndarray]:
        """(languages, scores) of N texts without nulls: string array of codes, float32 of shape (N,) from 0 to 1.

        The score is the model's probability of the language that it gives, its close relatives included
        (`dataproc.language.families`). A text in which it finds nothing to go by,
        such as one of white space alone, has the language null and the score 0.
        """
        ...


def require_characters(characters: int, model: str) -> int:
    """`characters`, if it is a number to look at. Raises UserError."""
    if characters < 1:
        raise UserError(f"at least 1 character must be examined, not {characters}", model)
    return characters


def starts_of(texts: pa.Array, characters: int) -> pa.Array:
    """The first `characters` code points of each text's prose (`dataproc.language.prose`), large_string."""
    from corpusmill.dataproc.language.prose import LOOK_AT, prose_of

    return prose_of(pc.utf8_slice_codeunits(texts.cast(pa.large_string()), 0, LOOK_AT * characters), characters)
