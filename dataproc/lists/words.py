"""How many listed words a document has: toxicity, or whatever else a list of words and phrases can tell.

A list is a file of one word or phrase a line (`dataproc.lists.files`), for all documents; or a folder with a file for
each language, named by its code as in the List of Dirty, Naughty, Obscene and Otherwise Bad Words that C4 used (`en`,
`zh.txt`, `pt.txt.gz`). Then a document is looked through for the words of its own language, `zh_Hant` with those of
`zh` where it has no list of its own; one without a language, with those of `default_language`. In a language without a
list nothing is listed, and all numbers are 0. Files whose names are not code (README.md) are left out.

Words are whole words, in any case; in scripts written without spaces they are found anywhere. `dataproc.lists.phrases`
says this exactly, and finds them.

C4 rejects a page with any listed word (Raffel et al. 2020, section 2.2), data-juicer one whose share of listed words
exceeds 0.045; for the one rule look at `listed_word_count`, for the other at `listed_word_fraction`.

Cost: 220 MB/s a core, 30 times datatrove's C4BadWordsFilter, with the same decisions on 1,092 documents of the corpus
(`benchmarks/lists.py`). Memory: 24 to 48 bytes a byte of the lists, which are loaded when the first batch is measured.
"""

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.language.codes import language_code, without_script
from corpusmill.dataproc.lists.files import list_paths, stem
from corpusmill.dataproc.measures.columns import Column

_LANGUAGE_NAME = re.compile(r"[a-z]{2,3}(?:[_-][A-Za-z0-9]+)*")
_ANY = ""
_NONE = -1


@dataclass(frozen=True, kw_only=True)
class ListedWords:
    """Counts words and phrases of the list, or the folder of lists, at `path`.

    Attributes:
        path: a file, for documents of all languages; or a folder of files named by languages.
        default_language: the list for documents without a language; None to look for nothing in them.

    Raises:
        UserError: at the first batch: no such file or folder, a folder without lists, a list that is empty or cannot
            be read, an entry without a letter or number.
    """

    COLUMNS: ClassVar[tuple[Column, ...]] = (
        Column("listed_word_count", "words", "words and phrases of the list, every time one occurs", whole=True),
        Column("listed_distinct_word_count", "words", "different words and phrases of the list", whole=True),
        Column(
            "listed_word_fraction", "share", "words in what is listed, out of all words; without spaces, characters"
        ),
    )

    path: str
    default_language: str | None = "en"

    @property
    def columns(self) -> tuple[Column, ...]:
        return self.COLUMNS

    def measure(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The numbers of each document of `batch`, by its columns `text` and `language`."""
        from corpusmill.dataproc.lists.phrases import DISTINCT, FOUND, FOUND_WORDS, WORDS, count_phrases

        languages, table = self._lists
        counts = count_phrases(batch.column("text"), self._list_of_each(batch, languages), table)
        words = counts[:, WORDS]
        fraction = np.divide(counts[:, FOUND_WORDS], words, out=np.zeros(len(words)), where=words != 0)
        columns = [pa.array(counts[:, FOUND]), pa.array(counts[:, DISTINCT]), pa.array(fraction)]
        return pa.RecordBatch.from_arrays(columns, names=[column.name for column in self.COLUMNS])

    @cached_property
    def _lists(self) -> tuple[list[str], Any]:
        """(the language of each list, `_ANY` for one of all; the table of all lists)."""
        from corpusmill.dataproc.lists.phrase_table import table_of_files

        paths: dict[str, list[str]] = {}
        for path in list_paths(self.path):
            language = self._language_of(path)
            if language is not None:
                paths.setdefault(language, []).append(path)
        if not paths:
            raise UserError("no file here is named after a language", self.path, "name the lists en.txt, de.txt, …")
        return list(paths), table_of_files(list(paths.values()))

    def _language_of(self, path: str) -> str | None:
        """The language of a list in a folder, None for a file that is no list; `_ANY` where `path` is the list."""
        if path == self.path or path.rstrip("/") == self.path.rstrip("/"):
            return _ANY
        name = stem(path)
        return language_code(name.replace("-", "_")) if _LANGUAGE_NAME.fullmatch(name) else None

    def _list_of_each(self, batch: pa.RecordBatch, languages: list[str]) -> np.ndarray:
        """int64[N], the number of each document's list, or -1."""
        if languages == [_ANY]:
            return np.zeros(batch.num_rows, np.int64)
        codes = batch.column("language").cast(pa.string())
        if self.default_language is not None:
            codes = pc.fill_null(codes, self.default_language)
        encoded = pc.dictionary_encode(codes)
        numbers = np.array([_number(code, languages) for code in encoded.dictionary.to_pylist()], np.int64)
        places = pc.fill_null(encoded.indices, _NONE).to_numpy(zero_copy_only=False)
        return np.where(places >= 0, np.append(numbers, _NONE)[places], _NONE)


def _number(label: str, languages: list[str]) -> int:
    """The list for a language: its own, else that of the language without its script, else -1."""
    code = language_code(label)
    for name in (code, without_script(code)) if code is not None else ():
        if name in languages:
            return languages.index(name)
    return _NONE
