"""Two tokenizers: which tokens and merges both have, how their ranks differ, and how each cuts the same text.

Tokens are compared by their bytes, whatever their ids, and merges by the bytes of the two that they join. A rank is a
token's id among the ordinary tokens, or a merge's place: where a tokenizer was trained on other text, the same tokens
come in another order. Any tokenizer that `tokenizer import` reads can be compared without being imported first.

Cost: a second for two vocabularies of 200,000, most of it to read them; cutting text loads the compiled kernels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.dataproc import storage
from corpusmill.pipelines.inspect.diff.values import Change, value_changes
from corpusmill.tokenizer.formats.files import TRAINING, TokenizerFiles, read_tokenizer
from corpusmill.tokenizer.formats.importing import import_tokenizer

SAMPLES = {
    "Latin": "The quick survey of 1,234 bridges wasn't finished before winter.",
    "Latin with accents": "Où étaient-ils passés, ces élèves? Größere Flüsse führen über Zürich.",
    "Cyrillic": "Утром мы пошли к реке и увидели старый мост.",
    "Greek": "Το πρωί πήγαμε στο ποτάμι και είδαμε τη γέφυρα.",
    "Arabic": "ذهبنا في الصباح إلى النهر ورأينا الجسر القديم.",
    "Hebrew": "בבוקר הלכנו אל הנהר וראינו את הגשר הישן.",
    "Devanagari": "सुबह हम नदी के पास गए और पुराना पुल देखा।",
    "Thai": "ตอนเช้าเราไปที่แม่น้ำและเห็นสะพานเก่า",
    "Han": "早上我们去了河边，看见了那座旧桥。",
    "Kana": "あさ、わたしたちは川へ行って、古い橋を見ました。",
    "Hangul": "아침에 우리는 강으로 가서 오래된 다리를 보았다.",
    "code": "def area(radius: float) -> float:\n    return 3.14159 * radius ** 2  # a circle's\n",
    "numbers and signs": "2026-11-29 12:37, 98.6 %, x² + y² ≤ r², 😀👩‍👧",
}
"""A sentence of our own for each script, where no text is given."""

SHIFTS = 5
"""Tokens and merges that are named for how far their rank moved, and that only one has."""


@dataclass(frozen=True, kw_only=True)
class Overlap:
    """What two lists have in common: tokens by their bytes, or merges.

    Attributes:
        sizes: of each.
        common, only_first, only_second: how many.
        same_rank: of the common ones, how many have the same rank.
        median_shift: half of the common ones moved by no more than this.
        common_prefix: how many agree from the first rank on.
        most_moved: (what, rank in the first, rank in the second).
        first_missing: of each, the first that the other has not, and their ranks.
    """

    sizes: tuple[int, int]
    common: int
    only_first: int
    only_second: int
    same_rank: int
    median_shift: float
    common_prefix: int
    most_moved: Sequence[tuple[str, int, int]]
    first_missing: tuple[Sequence[tuple[str, int]], Sequence[tuple[str, int]]]

    @property
    def differs(self) -> bool:
        return self.sizes != (self.common_prefix, self.common_prefix)


@dataclass(frozen=True)
class Cut:
    """How a text is cut by each: (spelling, id) of its tokens; bytes that are no text stand as \\xe6."""

    name: str
    text: str
    first: Sequence[tuple[str, int]]
    second: Sequence[tuple[str, int]]

    @property
    def same_pieces(self) -> bool:
        return [piece for piece, _ in self.first] == [piece for piece, _ in self.second]


@dataclass(frozen=True, kw_only=True)
class TokenizerDiff:
    """Two tokenizers.

    Attributes:
        settings: pattern, normalisation, sizes and roles that differ.
        special: special tokens that only one has, or has with another id.
        cuts: texts cut by each.
    """

    settings: Sequence[Change]
    special: Sequence[Change]
    tokens: Overlap
    merges: Overlap
    cuts: Sequence[Cut]

    @property
    def differs(self) -> bool:
        return bool(self.settings or self.special) or self.tokens.differs or self.merges.differs


def is_tokenizer(path: str) -> bool:
    """Whether a path looks like a tokenizer: its folder or file, ours or another library's."""
    names = set(storage.list_names(path))
    if names:
        return "tokenizer.json" in names or any(name.endswith(".tiktoken") for name in names)
    return path.endswith((".json", ".tiktoken", "tokenizer.model")) and not path.endswith("_manifest.json")


def read_any(path: str, pattern: str | None = None) -> TokenizerFiles:
    """A tokenizer of ours, or one that can be imported. `pattern`: how a file of ranks cuts text."""
    if storage.exists(storage.join(path, TRAINING)):
        return read_tokenizer(path)
    return import_tokenizer(path, pattern if path.endswith((".tiktoken", ".model")) else None)


def tokenizer_diff(
    first: TokenizerFiles, second: TokenizerFiles, texts: Mapping[str, str] | None = None
) -> TokenizerDiff:
    """Compares two tokenizers. `texts`: to be cut by each, by their names; `SAMPLES` where none are given."""
    return TokenizerDiff(
        settings=value_changes(_settings(first), _settings(second)),
        special=value_changes(_special_ids(first), _special_ids(second)),
        tokens=_token_overlap(first, second),
        merges=_merge_overlap(first, second),
        cuts=cut_texts(first, second, SAMPLES if texts is None else texts),
    )


def cut_texts(first: TokenizerFiles, second: TokenizerFiles, texts: Mapping[str, str]) -> list[Cut]:
    """How each text is cut by each tokenizer."""
    from corpusmill.tokenizer import Tokenizer  # brings the kernels

    cuts = []
    for files in (first, second):
        loaded = Tokenizer(files.vocabulary, files.special, files.pattern, files.fingerprint)
        ids = loaded.encode_batch(texts.values())
        cuts.append([[(_spelled(loaded.token_bytes(number)), number) for number in row] for row in ids])
    return [Cut(name, text, one, other) for (name, text), one, other in zip(texts.items(), *cuts, strict=True)]


def _settings(files: TokenizerFiles) -> dict[str, Any]:
    pattern, special = asdict(files.pattern), files.special
    return {
        "pattern": {name: value for name, value in pattern.items() if isinstance(value, str | bool | int)},
        "vocab_size": special.vocab_size,
        "model_rows": special.model_rows,
        "roles": dict(special.roles),
        "whole_first": files.vocabulary.whole_first,
    }


def _special_ids(files: TokenizerFiles) -> dict[str, int]:
    return {token.text: token.id for token in files.special.tokens}


def _ordinary(files: TokenizerFiles) -> pa.Array:
    """The bytes of the tokens that text can yield, in the order of their ids."""
    return files.vocabulary.tokens[files.vocabulary.specials :].drop_null()


def _token_overlap(first: TokenizerFiles, second: TokenizerFiles) -> Overlap:
    one, other = _ordinary(first), _ordinary(second)
    places = pc.fill_null(pc.index_in(one, value_set=other), -1).to_numpy().astype(np.int64)
    return _overlap(
        places, len(other), lambda rank: _spelled(one[rank].as_py()), lambda rank: _spelled(other[rank].as_py())
    )


def _merge_overlap(first: TokenizerFiles, second: TokenizerFiles) -> Overlap:
    """Merges as pairs of bytes: the tokens of both get common numbers, and a pair is two of these."""
    one, other = first.vocabulary, second.vocabulary
    spelled = pa.concat_arrays([one.tokens, other.tokens]).fill_null(b"")
    numbers = spelled.dictionary_encode().indices.to_numpy().astype(np.int64)
    pairs = [
        (numbers[offset + merges[:, 0]] << 32) | numbers[offset + merges[:, 1]]
        for offset, merges in ((0, one.merges.astype(np.int64)), (len(one), other.merges.astype(np.int64)))
    ]
    places = pc.fill_null(pc.index_in(pa.array(pairs[0]), value_set=pa.array(pairs[1])), -1).to_numpy()

    def joined(files: TokenizerFiles, rank: int) -> str:
        left, right, _ = files.vocabulary.merges[rank].tolist()
        return f"{_spelled(files.vocabulary.tokens[left].as_py())} + {_spelled(files.vocabulary.tokens[right].as_py())}"

    return _overlap(
        places.astype(np.int64), len(pairs[1]), lambda rank: joined(first, rank), lambda rank: joined(second, rank)
    )


def _overlap(places: np.ndarray, second_size: int, first_name: Any, second_name: Any) -> Overlap:
    """`places`: of each of the first its place in the second, -1 where it has none."""
    shared = np.flatnonzero(places >= 0)
    shifts = np.abs(places[shared] - shared)
    alone = np.ones(second_size, bool)
    alone[places[shared]] = False
    missing = np.flatnonzero(places < 0), np.flatnonzero(alone)
    differing = np.flatnonzero(places != np.arange(len(places)))
    most_moved = shared[np.argsort(-shifts, kind="stable")][:SHIFTS]
    return Overlap(
        sizes=(len(places), second_size),
        common=len(shared),
        only_first=len(missing[0]),
        only_second=len(missing[1]),
        same_rank=int((shifts == 0).sum()),
        median_shift=float(np.median(shifts)) if len(shifts) else 0.0,
        common_prefix=int(differing[0]) if len(differing) else len(places),
        most_moved=[(first_name(rank), int(rank), int(places[rank])) for rank in most_moved if places[rank] != rank],
        first_missing=(
            [(first_name(rank), int(rank)) for rank in missing[0][:SHIFTS]],
            [(second_name(rank), int(rank)) for rank in missing[1][:SHIFTS]],
        ),
    )


def _spelled(spelling: bytes) -> str:
    return spelling.decode(errors="backslashreplace")
