"""Planted faults: what goes wrong with token sets, done to a sound one; for `benchmarks/lint.py` and the tests of lint.

A fault changes the documents before they are packed, the sequences after it, or a foreign file made of them, and names
the check that has to see it. Nothing of lint is used here.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.lint_material import Edit, EditLists, Lists, Material, rewrite, work_of, write_set
from corpusmill.dataproc.sequences.packing import fill, pack
from corpusmill.dataproc.sequences.shards import ShardHeader, shard_name
from corpusmill.pipelines.stages.pack.work.encoding import encode_documents, load_encoder


@dataclass(frozen=True, kw_only=True)
class Planted:
    """A set with a fault, and the options to lint it with."""

    path: Path
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What is planted, in words; the check that must find it; `plant(folder, material)` makes the set."""

    what: str
    check: str
    plant: Callable[[Path, Material], Planted]


def before(edit: EditLists, **settings: Any) -> Callable[[Path, Material], Planted]:
    """A fault in the documents' tokens, before they are packed."""
    return lambda folder, material: Planted(path=write_set(folder, material, edit, **settings))


def after(edit: Edit, shards: slice = slice(None), **settings: Any) -> Callable[[Path, Material], Planted]:
    """A fault in sequences, after they were packed."""
    return lambda folder, material: Planted(path=rewrite(write_set(folder, material, **settings), edit, shards))


def edited(lists: Lists, edit: Callable[[int, np.ndarray], np.ndarray]) -> Lists:
    """Each list through a function of its number and tokens."""
    values, offsets = lists.values.to_numpy(), lists.offsets.to_numpy()
    parts = [edit(row, values[offsets[row] : offsets[row + 1]]) for row in range(len(lists))]
    bounds = np.append(0, np.cumsum([len(part) for part in parts])).astype(np.int64)
    return Lists.from_arrays(pa.array(bounds), pa.array(np.concatenate(parts).astype(np.int32)))


def _special(material: Material) -> Any:
    return load_encoder(material.tokenizer).special


def _without_begin(lists: Lists, material: Material) -> Lists:
    return edited(lists, lambda row, ids: ids[1:] if row % 3 == 0 else ids)


def _two_begins(lists: Lists, material: Material) -> Lists:
    return edited(lists, lambda row, ids: np.append(ids[:1], ids))


def _unasked_begin(lists: Lists, material: Material) -> Lists:
    return edited(lists, lambda row, ids: np.append(_special(material).bos, ids))


def _without_end(lists: Lists, material: Material) -> Lists:
    return edited(lists, lambda row, ids: ids[:-1] if row % 10 == 0 else ids)


def _no_ends(lists: Lists, material: Material) -> Lists:
    return edited(lists, lambda row, ids: ids[:-1])


def _inner_ends(lists: Lists, material: Material) -> Lists:
    def edit(row: int, ids: np.ndarray) -> np.ndarray:
        middle = len(ids) // 2
        return np.concatenate([ids[:middle], [_special(material).eos], ids[middle:]]) if row % 20 == 0 else ids

    return edited(lists, edit)


def _truncated(lists: Lists, material: Material) -> Lists:
    return edited(lists, lambda row, ids: np.append(ids[:99], ids[-1]) if len(ids) > 100 else ids)


def _shifted(lists: Lists, material: Material) -> Lists:
    eos, most = _special(material).eos, load_encoder(material.tokenizer).tokenizer.vocab_size - 40
    return edited(lists, lambda row, ids: np.where((ids == eos) | (ids >= most), ids, ids + 1))


def _shuffled(lists: Lists, material: Material) -> Lists:
    draw = np.random.default_rng(1)
    return edited(lists, lambda row, ids: np.append(draw.permutation(ids[:-1]), ids[-1]))


def _other_tokenizer(lists: Lists, material: Material) -> Lists:
    mine, theirs = _special(material), load_encoder(material.other)
    encoded = theirs.tokenizer.encode(material.documents["text"])
    return edited(encoded, lambda row, ids: np.append(ids, mine.eos))


def _special_in_text(lists: Lists, material: Material) -> Lists:
    tokenizer = load_encoder(material.tokenizer).tokenizer
    roles = {one for one in vars(_special(material)).values() if one is not None}
    parsed = next(token.id for token in tokenizer.special.tokens if token.id not in roles)
    return edited(lists, lambda row, ids: np.concatenate([ids[:5], [parsed], ids[5:]]) if row % 50 == 0 else ids)


def _filler(lists: Lists, material: Material) -> Lists:
    token = int(np.bincount(lists.values.to_numpy()).argmax())
    return edited(lists, lambda row, ids: np.concatenate([ids[:-1], np.full(3 * len(ids), token), ids[-1:]]))


def _fim_markers_lost(lists: Lists, material: Material) -> Lists:
    return edited(lists, lambda row, ids: ids[ids != _special(material).fim_hole] if row % 2 else ids)


def _outside(tokens: np.ndarray, segments: list[Any], header: ShardHeader) -> None:
    tokens[3, 10:20] = header.vocab_size + 5


def _constant(tokens: np.ndarray, segments: list[Any], header: ShardHeader) -> None:
    tokens[:] = 300


def _random(tokens: np.ndarray, segments: list[Any], header: ShardHeader) -> None:
    tokens[:] = np.random.default_rng(0).integers(0, header.vocab_size, tokens.shape)


def _inner_padding(tokens: np.ndarray, segments: list[Any], header: ShardHeader) -> None:
    tokens[1, 4:9] = header.special.pad


def _cut_off(tokens: np.ndarray, segments: list[Any], header: ShardHeader) -> None:
    for row in range(0, len(tokens), 7):
        last = segments[row][-1]
        used = sum(segment["length"] for segment in segments[row])
        cut = last["length"] // 2
        last["length"] -= cut
        tokens[row, used - cut :] = header.special.pad


def _wrong_filler(tokens: np.ndarray, segments: list[Any], header: ShardHeader) -> None:
    for row, parts in enumerate(segments):
        tokens[row, sum(segment["length"] for segment in parts) :] = 300


def _other_header(tokens: np.ndarray, segments: list[Any], header: ShardHeader) -> ShardHeader:
    return replace(header, tokenizer="of another set")


def _copied_shard(folder: Path, material: Material) -> Planted:
    write_set(folder, material)
    (folder / shard_name(900)).write_bytes((folder / shard_name(0)).read_bytes())
    return Planted(path=folder)


def _copied_text(folder: Path, material: Material) -> Planted:
    """A shard's texts once more under other ids: no digest and no id tells."""
    _copied_shard(folder, material)

    def rename(tokens: np.ndarray, segments: list[Any], header: ShardHeader) -> None:
        for parts in segments:
            for segment in parts:
                segment["document"] += "-again"

    return Planted(path=rewrite(folder, rename, slice(-1, None)))


def _replacement_characters(folder: Path, material: Material) -> Planted:
    texts = [text.replace("e", "\ufffd", 3) for text in material.documents["text"].to_pylist()]
    documents = material.documents.set_column(1, "text", pa.array(texts, pa.large_string()))
    return Planted(path=write_set(folder, replace(material, documents=documents)))


def _other_mixture(folder: Path, material: Material) -> Planted:
    names = sorted(set(material.documents["source"].to_pylist()))
    asked = dict.fromkeys(names, 0.0) | {names[0]: 1.0}
    return Planted(path=write_set(folder, material), options={"asked": {"source": asked}})


def _half_the_documents(folder: Path, material: Material) -> Planted:
    older = write_set(folder.with_name(f"{folder.name}-older"), material)
    half = replace(material, documents=material.documents.slice(0, len(material.documents) // 2))
    return Planted(path=write_set(folder, half), options={"against": str(older)})


def _flat(dtype: str, read_as: str) -> Callable[[Path, Material], Planted]:
    """Ids written as one type, in a file that is read as another."""

    def plant(folder: Path, material: Material) -> Planted:
        lists = encode_documents(material.documents, work_of(material)).tokens
        folder.mkdir(parents=True)
        ids = lists.values.to_numpy()
        (folder / "tokens.bin").write_bytes(ids[: len(ids) // 2 * 2].astype(dtype).tobytes())
        return Planted(path=folder, options={"dtype": read_as, "tokenizer": material.tokenizer})

    return plant


def _rows(material: Material) -> tuple[np.ndarray, np.ndarray]:
    """(tokens (S, L), tokens before padding (S,)) of a sound set in memory; each row has a pad token at least."""
    lists = encode_documents(material.documents, work_of(material)).tokens
    placement = pack(np.diff(lists.offsets.to_numpy()), material.length, "none")
    tokens = fill(placement, lists, _special(material).pad)
    used = placement.length.astype(np.int64)  # one segment a sequence
    short = used < material.length
    return tokens[short], used[short]


def _columns(edit: Callable[[np.ndarray, np.ndarray], dict[str, np.ndarray]]) -> Callable[[Path, Material], Planted]:
    """A Hugging Face dataset with further columns, made of (tokens, used)."""

    def plant(folder: Path, material: Material) -> Planted:
        tokens, used = _rows(material)
        folder.mkdir(parents=True)
        columns = {"input_ids": tokens, **edit(tokens, used)}
        lists = {name: pa.array(values.tolist(), pa.list_(pa.int32())) for name, values in columns.items()}
        lengths = pa.array([[int(count)] for count in used], pa.list_(pa.int32()))
        pq.write_table(pa.table({**lists, "segment_lengths": lengths}), folder / "train.parquet")
        return Planted(path=folder, options={"tokenizer": material.tokenizer})

    return plant


def inside(tokens: np.ndarray, used: np.ndarray) -> np.ndarray:
    """1 on text, 0 on padding."""
    return (np.arange(tokens.shape[1]) < used[:, None]).astype(np.int32)


def labels_of(tokens: np.ndarray, used: np.ndarray, shift: int) -> np.ndarray:
    """The tokens so many places on, -100 where there is no text."""
    out = np.full(tokens.shape, -100, np.int32)
    out[:, : tokens.shape[1] - shift] = tokens[:, shift:]
    return np.where(np.arange(tokens.shape[1]) < used[:, None] - shift, out, -100)


def sound_columns(folder: Path, material: Material) -> Planted:
    """Masks and labels as they should be."""

    def edit(tokens: np.ndarray, used: np.ndarray) -> dict[str, np.ndarray]:
        text = inside(tokens, used)
        return {"loss_mask": text, "attention_mask": text, "labels": labels_of(tokens, used, 0)}

    return _columns(edit)(folder, material)


FAULTS: Sequence[Fault] = (
    Fault(
        what="a third of the documents lack the begin token",
        check="begin-tokens",
        plant=before(_without_begin, bos=True),
    ),
    Fault(what="two begin tokens", check="begin-tokens", plant=before(_two_begins, bos=True)),
    Fault(what="begin tokens that nobody asked for", check="begin-tokens", plant=before(_unasked_begin)),
    Fault(what="a tenth of the documents lack the end token", check="end-tokens", plant=before(_without_end)),
    Fault(what="no end tokens at all", check="end-tokens", plant=before(_no_ends)),
    Fault(what="end tokens inside documents", check="end-tokens", plant=before(_inner_ends)),
    Fault(what="documents cut off inside sequences", check="end-tokens", plant=after(_cut_off)),
    Fault(what="documents truncated to 100 tokens", check="document-lengths", plant=before(_truncated)),
    Fault(what="ids of another tokenizer", check="round-trip", plant=before(_other_tokenizer)),
    Fault(what="ids shifted by one", check="round-trip", plant=before(_shifted)),
    Fault(what="tokens in random order", check="round-trip", plant=before(_shuffled)),
    Fault(what="ids outside of the vocabulary", check="vocabulary", plant=after(_outside)),
    Fault(what="32-bit ids read as 16", check="dtype", plant=_flat("<u4", "uint16")),
    Fault(what="16-bit ids read as 32", check="dtype", plant=_flat("<u2", "uint32")),
    Fault(what="big-endian ids of 16 bits", check="dtype", plant=_flat(">u2", "uint16")),
    Fault(what="big-endian ids of 32 bits", check="dtype", plant=_flat(">u4", "uint32")),
    Fault(what="a shard of one id", check="entropy", plant=after(_constant, slice(1, 2))),
    Fault(what="a shard of random ids", check="entropy", plant=after(_random, slice(1, 2))),
    Fault(what="three quarters of all tokens are one", check="token-shares", plant=before(_filler)),
    Fault(what="special tokens parsed in text", check="special-tokens", plant=before(_special_in_text)),
    Fault(what="padding inside documents", check="padding", plant=after(_inner_padding)),
    Fault(what="sequences filled up with text tokens", check="padding", plant=after(_wrong_filler)),
    Fault(what="FIM markers lost", check="fim", plant=before(_fim_markers_lost, fim_rate=0.5)),
    Fault(what="a shard written twice", check="repeats", plant=_copied_shard),
    Fault(what="a shard's text again under other ids", check="repeats", plant=_copied_text),
    Fault(what="a shard of another set", check="headers", plant=after(_other_header, slice(1, 2))),
    Fault(what="replacement characters in every text", check="replacement-characters", plant=_replacement_characters),
    Fault(what="sources in other shares than asked for", check="mixture", plant=_other_mixture),
    Fault(what="half of the documents of the build before", check="drift", plant=_half_the_documents),
    Fault(
        what="a loss mask of zeros",
        check="loss-mask",
        plant=_columns(lambda tokens, used: {"loss_mask": np.zeros_like(tokens)}),
    ),
    Fault(
        what="a loss mask of ones, padding included",
        check="loss-mask",
        plant=_columns(lambda tokens, used: {"loss_mask": np.ones_like(tokens)}),
    ),
    Fault(
        what="a loss mask shifted by one",
        check="loss-mask",
        plant=_columns(lambda tokens, used: {"loss_mask": np.roll(inside(tokens, used), 1, axis=1)}),
    ),
    Fault(
        what="labels shifted twice",
        check="loss-mask",
        plant=_columns(lambda tokens, used: {"labels": labels_of(tokens, used, 2)}),
    ),
)
"""Every fault, and the check that has to see it."""
