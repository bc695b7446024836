"""The language of a document: natural languages by a model, programming languages by the file's extension.

`language_identifier(model)` gives an identifier for natural languages. There are two kinds of model:

    "embedded"     139 languages and `zxx` (no language), by the model in py3langid's wheel: nothing is downloaded
    a path         any fastText classifier: lid.176, GlotLID, OpenLID, one of your own

Both answer in the codes of `dataproc.language.codes`, with probabilities as scores, and look at the first `characters`
of a text. Documents of kind `code` are left out: `language_of_path` gives their language by their name.

Why py3langid is the default. On texts of the corpus that are not code, have 200 characters or more and a language by
their repository (1,953 of them, at most 60 a language, 33 languages with 10 texts or more), its own library is right
for 96.3 % of a language's texts on average, at 5.7 MB/s a core; CLD2 (pycld2 0.42) for 89.0 % at 29 MB/s, lingua 2.1
for 76.6 % at 1.1 MB/s and with a model of 96 MB. Most misses of CLD2 and lingua are answers "English" for documents
that hold English code. Our kernel gives py3langid's answers at 5.6 to 9 times its speed.

On all 29,734 such texts in languages that it knows (`benchmarks/languages.py`) 99.1 % are right. Misses are classical
Chinese taken for `wuu` or `yue`, and Bosnian, Croatian and Serbian taken for each other. A score of 0.65, the default
of `filter`, is reached by 96 % of them, of which 99.7 % are right. Chinese is where a lower threshold pays, since
written Chinese shares its score with `wuu` and `yue`: of 5,972 texts of 50 to 100 characters, most of them classical
poems, 27 % reach 0.65 (99.5 % right), and 83 % reach 0.5 (94.9 % right). What it cannot do is say "none of mine": of
255 texts in languages that it does not know, 183 got another's name with a score of 0.65 or more. Where such languages
matter, give a model that knows them, such as GlotLID.

This module imports neither numba nor a model: identifiers do when they are made.
"""

from corpusmill.dataproc.language.extensions import LANGUAGE_OF_EXTENSION, LANGUAGE_OF_NAME, language_of_path
from corpusmill.dataproc.language.identifier import CHARACTERS, LanguageIdentifier

EMBEDDED = "embedded"
"""The name of the model that lies in py3langid's wheel."""

__all__ = [
    "CHARACTERS",
    "EMBEDDED",
    "LANGUAGE_OF_EXTENSION",
    "LANGUAGE_OF_NAME",
    "LanguageIdentifier",
    "language_identifier",
    "language_of_path",
]


def language_identifier(model: str = EMBEDDED, characters: int = CHARACTERS) -> LanguageIdentifier:
    """The identifier of a model: `"embedded"`, or the path of a fastText model.

    Raises:
        UserError: the file is not there or holds no fastText classifier, a library is missing, or `characters` < 1.
    """
    if model == EMBEDDED:
        from corpusmill.dataproc.language.embedded import EmbeddedIdentifier

        return EmbeddedIdentifier(characters)
    from corpusmill.dataproc.language.fasttext_model import FastTextIdentifier

    return FastTextIdentifier(model, characters)
