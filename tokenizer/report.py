"""How well tokenizers fit a corpus, measured in one pass over its documents for all of them at once.

Of the text, by language, source and kind: bytes per token, characters per token, tokens per word; whether every
document comes back from its ids, byte for byte, and which do not. Of the vocabulary: tokens by kind and script, how
long they are, how often each is used. A word is what the filters count as one (`dataproc.text.words`): a run of
letters, marks and numbers, or a single Han or kana character. A token that joins punctuation and line breaks is what
`boundary.py` splits a share of.

An id that no text of a large and varied corpus uses has an embedding that training never moves, and one that is used a
few times is hardly better off ("under-trained", arXiv 2405.05417): both are counted, with the longest as examples.
Special ids, which no text may yield, and single bytes, which any text may need, are not candidates.

`measure` is a pure function of a batch, so batches may be measured by threads, and added up in any order: all is sums,
and the failed documents are put in order at the end. Memory: 8 bytes for each id of each tokenizer, and a batch with
its ids. Cost: encoding, and about a quarter of that for everything else.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.dataproc.kernels.buffers import read_only
from corpusmill.dataproc.kernels.compiling import kernel
from corpusmill.dataproc.text.unicode_tables import load_tables
from corpusmill.dataproc.text.words import word_hashes
from corpusmill.tokenizer.kinds import JOINED, KINDS, MISSING, PARTIAL, SCRIPTS, VocabularyKinds, vocabulary_kinds
from corpusmill.tokenizer.measurable import Measurable
from corpusmill.tokenizer.pretokens import read_text

COLUMNS = ("language", "source", "kind")
READ = ("id", "text", *COLUMNS)
UNKNOWN = "unknown"
RARE = 10
"""An id used less often than this, but used, is rare."""
EXAMPLES = 20
LOST_SHOWN = 100
LONGEST_COUNTED = 64
"""Longer tokens share the last place of the histogram of lengths."""

TEXT_SUMS = ("documents", "bytes", "characters", "words")


@kernel
def tally(
    ids: np.ndarray,
    lists: np.ndarray,
    offsets: np.ndarray,
    data: np.ndarray,
    token_offsets: np.ndarray,
    token_data: np.ndarray,
    usage: np.ndarray,
    differs: np.ndarray,
) -> None:
    """Counts how often each id occurs in `usage`, and compares the bytes of each document's ids with its text.

    Args:
        ids: int32; document d has `ids[lists[d] : lists[d + 1]]` and is `data[offsets[d] : offsets[d + 1]]`.
        token_offsets, token_data: the bytes of each id.
        usage: int64 (V,), added to.
        differs: bool (documents,), filled.
    """
    for document in range(offsets.shape[0] - 1):
        place = offsets[document]
        end = offsets[document + 1]
        same = True
        for token in range(lists[document], lists[document + 1]):
            number = ids[token]
            usage[number] += 1
            first = token_offsets[number]
            size = token_offsets[number + 1] - first
            if place + size > end:
                same = False
            elif same:
                for byte in range(size):
                    if data[place + byte] != token_data[first + byte]:
                        same = False
                        break
            place += size
        differs[document] = not (same and place == end)


@kernel
def count_words(
    data: np.ndarray, offsets: np.ndarray, classes: np.ndarray, lower: np.ndarray, scratch: np.ndarray, out: np.ndarray
) -> None:
    """Words of each document to `out`, int64. `scratch`: uint64, half as long as the longest document, and one more."""
    for document in range(offsets.shape[0] - 1):
        out[document] = word_hashes(data, offsets[document], offsets[document + 1], classes, lower, scratch)


@dataclass
class Measures:
    """Sums over documents, for K tokenizers.

    Attributes:
        usage: of each tokenizer, int64 (V,), how often each id occurs.
        groups: {(column, value): int64 (4 + K,)}: documents, bytes, characters, words; tokens of each tokenizer.
        lost: of each tokenizer, ids of documents that do not come back; the first `LOST_SHOWN` in order.
        lost_documents: int64 (K,), how many there are.
        totals: int64 (4 + K,), over all documents.
    """

    usage: list[np.ndarray]
    lost: list[list[str]]
    lost_documents: np.ndarray
    totals: np.ndarray
    groups: dict[tuple[str, str], np.ndarray] = field(default_factory=dict)

    @classmethod
    def none(cls, tokenizers: Sequence[Measurable]) -> "Measures":
        """Those of no documents."""
        usage = [np.zeros(len(tokenizer.spellings), np.int64) for tokenizer in tokenizers]
        count = len(tokenizers)
        totals = np.zeros(len(TEXT_SUMS) + count, np.int64)
        return cls(usage, [[] for _ in tokenizers], np.zeros(count, np.int64), totals)

    def add(self, other: "Measures") -> None:
        """Adds those of other documents."""
        for mine, theirs in zip(self.usage, other.usage, strict=True):
            mine += theirs
        for number, lost in enumerate(other.lost):
            self.lost[number] = sorted([*self.lost[number], *lost])[:LOST_SHOWN]
        self.lost_documents += other.lost_documents
        self.totals += other.totals
        for group, sums in other.groups.items():
            self.groups[group] = self.groups[group] + sums if group in self.groups else sums


def measure(tokenizers: Sequence[Measurable], batch: pa.RecordBatch) -> Measures:
    """What one batch of documents (columns `READ`) adds."""
    measured = Measures.none(tokenizers)
    text = batch.column("text")
    if not len(text):
        return measured
    offsets, data = read_text(text)
    columns = {
        "documents": np.ones(len(text), np.int64),
        "bytes": np.diff(offsets),
        "characters": pc.utf8_length(text).to_numpy().astype(np.int64),
        "words": _words(offsets, data),
    }
    for number, tokenizer in enumerate(tokenizers):
        ids = tokenizer.encode(text)
        lists, values = ids.offsets.to_numpy(), read_only(ids.values.to_numpy().astype(np.int32, copy=False))
        differs = np.empty(len(text), bool)
        spelled = (read_only(part) for part in read_text(tokenizer.spellings.fill_null(b"")))
        tally(values, read_only(lists), offsets, data, *spelled, measured.usage[number], differs)
        if not tokenizer.byte_level:
            differs = pc.not_equal(tokenizer.decode(ids), text.cast(pa.large_string())).to_numpy(zero_copy_only=False)
        columns[f"tokens {number}"] = np.diff(lists)
        measured.lost[number] = sorted(batch.column("id").filter(pa.array(differs)).to_pylist())[:LOST_SHOWN]
        measured.lost_documents[number] = np.count_nonzero(differs)
    measured.totals[:] = [int(column.sum()) for column in columns.values()]
    table = pa.table(columns)
    for name in COLUMNS:
        of = batch.column(name).cast(pa.string()).fill_null(UNKNOWN)
        sums = table.append_column("of", of).group_by("of").aggregate([(column, "sum") for column in columns])
        counted = np.stack([sums.column(f"{column}_sum").to_numpy() for column in columns], axis=1)
        measured.groups |= {
            (name, value): row for value, row in zip(sums.column("of").to_pylist(), counted, strict=True)
        }
    return measured


def _words(offsets: np.ndarray, data: np.ndarray) -> np.ndarray:
    tables = load_tables()
    words = np.empty(len(offsets) - 1, np.int64)
    scratch = np.empty(int(np.diff(offsets).max()) // 2 + 2, np.uint64)
    count_words(data, offsets, tables.classes, tables.lower, scratch, words)
    return words


def report(tokenizers: Sequence[Measurable], measured: Measures) -> dict[str, Any]:
    """The whole report, as JSON: of the text, and a list with what each tokenizer makes of it."""
    groups: dict[str, Any] = {name: {} for name in COLUMNS}
    for (name, value), sums in sorted(measured.groups.items(), key=lambda item: (-int(item[1][1]), item[0])):
        groups[name][value] = dict(zip(TEXT_SUMS, sums.tolist(), strict=False))
    text = dict(zip(TEXT_SUMS, measured.totals.tolist(), strict=False))
    return {
        "text": text,
        "groups": groups,
        "tokenizers": [_of_tokenizer(number, tokenizer, measured) for number, tokenizer in enumerate(tokenizers)],
    }


def _of_tokenizer(number: int, tokenizer: Measurable, measured: Measures) -> dict[str, Any]:
    usage, column = measured.usage[number], len(TEXT_SUMS) + number
    kinds = vocabulary_kinds(tokenizer.spellings, tokenizer.special)
    sizes = pc.binary_length(tokenizer.spellings).fill_null(0).to_numpy().astype(np.int64)
    groups: dict[str, Any] = {name: {} for name in COLUMNS}
    for (name, value), sums in sorted(measured.groups.items(), key=lambda item: (-int(item[1][1]), item[0])):
        groups[name][value] = rates(sums[: len(TEXT_SUMS)], int(sums[column]))
    tokens = int(measured.totals[column])
    joined = kinds.is_kind(JOINED)
    return {
        "name": tokenizer.name,
        "ids": int(np.count_nonzero(~kinds.is_kind(MISSING))),
        **rates(measured.totals[: len(TEXT_SUMS)], tokens),
        "groups": groups,
        "lost": {"documents": int(measured.lost_documents[number]), "ids": measured.lost[number]},
        "joined": {
            "ids": int(joined.sum()),
            "tokens": int(usage[joined].sum()),
            "share": _share(usage[joined], tokens),
        },
        "kinds": _by(kinds.kinds, KINDS, usage, _candidates(tokenizer, sizes)),
        "scripts": _by(kinds.scripts, SCRIPTS, usage, _candidates(tokenizer, sizes)),
        "lengths": _lengths(sizes, usage, ~tokenizer.special & (sizes > 0)),
        "longest": _examples(tokenizer, usage, np.flatnonzero(~tokenizer.special), sizes),
        **_unused(tokenizer, usage, sizes, kinds),
        "usage": _curve(usage, ~tokenizer.special & (sizes > 0)),
    }


def rates(text: np.ndarray, tokens: int) -> dict[str, Any]:
    """Tokens, and what one of them holds; `text` is the sums of `TEXT_SUMS`. None where there is nothing to divide."""
    _, size, characters, words = (int(word) for word in text)
    return {
        "tokens": tokens,
        "bytes_per_token": round(size / tokens, 4) if tokens else None,
        "characters_per_token": round(characters / tokens, 4) if tokens else None,
        "tokens_per_word": round(tokens / words, 4) if words else None,
    }


def _share(part: np.ndarray, whole: int) -> float:
    return round(int(part.sum()) / whole, 6) if whole else 0.0


def _by(of: np.ndarray, names: Sequence[str], usage: np.ndarray, candidates: np.ndarray) -> dict[str, Any]:
    """{name: ids, of them never used, tokens} of what there is; only candidates are called unused."""
    ids = np.bincount(of, minlength=len(names))
    unused = np.bincount(of[(usage == 0) & candidates], minlength=len(names))
    tokens = np.bincount(of, usage, len(names))
    return {
        name: {"ids": int(ids[number]), "never_used": int(unused[number]), "tokens": int(tokens[number])}
        for number, name in enumerate(names)
        if ids[number]
    }


def _lengths(sizes: np.ndarray, usage: np.ndarray, counted: np.ndarray) -> dict[str, list[int]]:
    """Ids, and tokens of the text, by bytes: place n holds those of n bytes, the last one all longer ones, too."""
    places = np.minimum(sizes[counted], LONGEST_COUNTED)
    length = LONGEST_COUNTED + 1
    ids, tokens = np.bincount(places, minlength=length), np.bincount(places, usage[counted], length)
    return {"ids": ids.tolist(), "tokens": tokens.astype(np.int64).tolist()}


def _examples(tokenizer: Measurable, usage: np.ndarray, among: np.ndarray, sizes: np.ndarray) -> list[dict[str, Any]]:
    """The longest tokens among some; bytes that are not characters are spelled as \\xNN."""
    chosen = among[np.argsort(-sizes[among], kind="stable")[:EXAMPLES]]
    spelled = tokenizer.spellings.take(pa.array(chosen)).to_pylist()
    return [
        {
            "id": int(number),
            "text": token.decode(errors="backslashreplace"),
            "bytes": len(token),
            "used": int(usage[number]),
        }
        for number, token in zip(chosen, spelled, strict=True)
        if token is not None
    ]


def _candidates(tokenizer: Measurable, sizes: np.ndarray) -> np.ndarray:
    """bool (V,), ids that should be used: neither special nor a single byte."""
    return ~tokenizer.special & (sizes > 1)


def _unused(tokenizer: Measurable, usage: np.ndarray, sizes: np.ndarray, kinds: VocabularyKinds) -> dict[str, Any]:
    """Ids that no document uses, and those that few do. Partial characters are counted, but no example."""
    candidates = _candidates(tokenizer, sizes)
    whole = ~kinds.is_kind(PARTIAL)
    unused = {}
    for name, these in (("never_used", usage == 0), ("rarely_used", (usage > 0) & (usage < RARE))):
        chosen = candidates & these
        share = _share(chosen, int(candidates.sum()))
        examples = _examples(tokenizer, usage, np.flatnonzero(chosen & whole), sizes)
        unused[name] = {"ids": int(chosen.sum()), "share": share, "examples": examples}
    return unused


def _curve(usage: np.ndarray, counted: np.ndarray) -> dict[str, list[int]]:
    """How often the commonest, the second, … id occurs, at ranks that grow by about a quarter."""
    ordered = np.sort(usage[counted])[::-1]
    if not len(ordered):
        return {"ranks": [], "uses": []}
    ranks = np.unique(np.geomspace(1, len(ordered), 60).astype(np.int64))
    return {"ranks": ranks.tolist(), "uses": ordered[ranks - 1].tolist()}
