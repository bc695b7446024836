"""Byte-level tokenizers from elsewhere: a `tokenizer.json` of Hugging Face's `tokenizers`, read as one of ours.

Ids equal the original's, or the file is refused with the reason: a normaliser other than NFC, steps before BPE that are
not splits, bytes that have no token. What the original would add around a text (post_processor) is recorded and not
applied. As everywhere here the spelling of a special token inside text is text, and so is that of any other added
token, which the original cuts out before anything else: ids differ in texts that spell one. Runs of blanks alone are
cut out here, too (`tokenizer/blanks.py`).

Ids are what the library gives, not what the file claims: an added token that is in the model's vocabulary has that id,
any other gets the next one. A file that says otherwise is refused, since its readers disagree.

The file is untrusted. Whatever it holds, it is read or it raises `UserError`; its size and its ids are bounded.
"""

from collections.abc import Mapping
from dataclasses import replace
from itertools import starmap
from operator import add
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import xxhash

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.storage import exists, join, read_bytes, size
from corpusmill.tokenizer.blanks import are_blanks, blank_ids, blanks_expression
from corpusmill.tokenizer.formats.files import CONFIG, TokenizerFiles
from corpusmill.tokenizer.formats.roles import chosen_roles
from corpusmill.tokenizer.patterns import Pattern, pattern_of_json
from corpusmill.tokenizer.pretokens import pretokens
from corpusmill.tokenizer.special import SpecialLayout, SpecialToken, SpecialTokens
from corpusmill.tokenizer.vocabulary import Vocabulary, byte_characters

MOST_BYTES = 256 << 20
"""Largest file that is read; those of today's models have up to 30 MB."""
MOST_IDS = 1 << 22
ROWS_MULTIPLE = 64


def read_bounded(path: str) -> bytes:
    """A foreign file, whole. Raises UserError if it does not exist, or is too large."""
    if not exists(path):
        raise UserError("no such file", where=path)
    try:
        if (bytes_there := size(path)) > MOST_BYTES:
            raise UserError(f"{bytes_there:,} bytes: larger than any tokenizer ({MOST_BYTES:,})", where=path)
        return read_bytes(path)
    except IsADirectoryError as error:
        raise UserError("a folder where a file is needed", where=path) from error


def parsed(content: bytes, path: str) -> dict[str, Any]:
    """A JSON object. Raises UserError with the place of what is wrong."""
    try:
        value = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise UserError(f"not JSON ({error})", where=path) from error
    if not isinstance(value, dict):
        raise UserError("not a JSON object", where=path)
    return value


def _section(content: Mapping[str, Any], name: str, kind: type, where: str) -> Any:
    value = content.get(name)
    if not isinstance(value, kind):
        raise UserError(
            f"no {'list' if kind is list else 'table'} '{name}'",
            where=where,
            hint="check that this is a tokenizer.json",
        )
    return value


def _ids(vocabulary: dict[str, Any], where: str) -> dict[str, int]:
    """The model's ids, which must be numbers of their own below `MOST_IDS`."""
    if not set(map(type, vocabulary.values())) <= {int}:
        token, number = next((token, number) for token, number in vocabulary.items() if type(number) is not int)
        raise UserError(f"the id of {token!r} is {number!r}, not a whole number", where=where)
    if vocabulary and not 0 <= min(vocabulary.values()) <= max(vocabulary.values()) < MOST_IDS:
        raise UserError(f"ids must be from 0 to {MOST_IDS - 1:,}", where=where)
    if len(set(vocabulary.values())) < len(vocabulary):
        raise UserError("two tokens have the same id", where=where)
    if "" in vocabulary:
        raise UserError("a token is empty", where=where)
    return vocabulary


def _added(entries: list[Any], ids: Mapping[str, int], where: str) -> dict[str, SpecialToken]:
    """The added tokens by their spelling, with the ids that Hugging Face's library gives them."""
    added: dict[str, SpecialToken] = {}
    largest = -1
    taken = set(ids.values())
    for place, entry in enumerate(entries):
        here = f"{where}, entry {place}"
        if not isinstance(entry, dict):
            raise UserError("not a table", where=here)
        number, text, flagged = entry.get("id"), entry.get("content"), entry.get("special", False)
        if type(number) is not int or not isinstance(text, str) or not isinstance(flagged, bool) or not text:
            raise UserError("an added token needs an id, a content and a flag `special`", where=here)
        if text in added:
            raise UserError(f"the added token {text!r} occurs twice", where=here)
        given = ids.get(text, max(largest + 1, len(ids)))
        if (text not in ids and given in taken) or given >= MOST_IDS:
            raise UserError(f"the id {given} of {text!r} is taken or out of range", where=here)
        if given != number:
            hint = "save it again with that library"
            raise UserError(
                f"{text!r} has the id {number} here and {given} in Hugging Face's library", where=here, hint=hint
            )
        largest = max(largest, given)
        added[text] = SpecialToken(given, text, flagged)
    return added


def _merges(entries: list[Any], ids: Mapping[str, int], where: str) -> np.ndarray:
    """The merges as ids, int32 (M, 3). They are written as strings with one space, or as pairs."""
    if all(isinstance(entry, str) for entry in entries):
        entries = [entry.split(" ") for entry in entries]
    wrong = (place for place, entry in enumerate(entries) if not isinstance(entry, list) or len(entry) != 2)
    place = next(wrong, -1)
    if place >= 0:
        raise UserError(f"{entries[place]!r} is not a merge of two tokens", where=f"{where}, entry {place}")
    if not entries:
        return np.empty((0, 3), np.int32)
    lefts, rights = zip(*entries, strict=True)
    try:
        wholes = list(starmap(add, entries))
        columns = [np.fromiter(map(ids.__getitem__, parts), np.int32) for parts in (lefts, rights, wholes)]
    except (KeyError, TypeError) as error:
        raise UserError(f"a merge of tokens that are not in the vocabulary ({error})", where=where) from error
    return np.column_stack(columns)


def special_tokens(
    tokens: list[SpecialToken], roles: dict[str, int], ids: int, rows: int | None = None
) -> SpecialTokens:
    """Special tokens where they were found, among `ids` ids in all; rows of an embedding, where they are known."""
    ordered = tuple(sorted(tokens, key=lambda token: token.id))
    vocab_size = max([ids, *(token.id + 1 for token in ordered)])
    rounded = -(-vocab_size // ROWS_MULTIPLE) * ROWS_MULTIPLE
    return SpecialTokens(ordered, roles, vocab_size, rows if rows and vocab_size <= rows <= MOST_IDS else rounded)


def _vocabulary(
    model: dict[str, Any], added: dict[str, SpecialToken], where: str
) -> tuple[Vocabulary, list[SpecialToken]]:
    """(the model, its tokens that no text can spell, though they were not added)."""
    byte_of = {character: byte for byte, character in enumerate(byte_characters())}
    ids: dict[str, int] = model["vocab"]
    ordinary = {text: number for text, number in ids.items() if text not in added}
    unspelled = [text for text in ordinary if not all(map(byte_of.__contains__, text))]
    others = [SpecialToken(ordinary.pop(text), text, False) for text in unspelled]
    special = {token.id: token.text for token in (*added.values(), *others)}
    merges = _merges(_section(model, "merges", list, where), ids, f"{where}.merges")
    for number in np.intersect1d(merges, np.array(list(special), np.int32))[:1].tolist():
        what = f"ordinary text spells the special token {special[number]!r}"
        raise UserError(what, where=f"{where}.merges", hint="it cannot be told from text")
    spelled: list[bytes | None] = [None] * (max(ordinary.values(), default=-1) + 1)
    for text, number in ordinary.items():
        spelled[number] = bytes(map(byte_of.__getitem__, text))
    first = 0
    while first < len(spelled) and first in special and special[first] in ids:
        spelled[first] = special[first].encode()
        first += 1
    whole_first = model.get("ignore_merges", False)
    vocabulary = Vocabulary(pa.array(spelled, pa.large_binary()), merges, first, whole_first=bool(whole_first))
    try:
        vocabulary.byte_ids()
    except UserError as error:
        raise UserError(f"{error.what}, so it is not a byte-level one", where=f"{where}.vocab") from error
    return vocabulary, others


def _unreachable(model: dict[str, Any], added: dict[str, SpecialToken]) -> dict[str, SpecialToken]:
    """The added tokens without those that text yields by merges or as a byte, though they are not flagged as special.

    These stay ordinary tokens.
    """
    merges = model.get("merges")
    pairs = [merge.split(" ") if isinstance(merge, str) else merge for merge in merges] if merges else []
    made = {"".join(pair) for pair in pairs if isinstance(pair, list) and all(isinstance(part, str) for part in pair)}
    reached = {text for text in added if text in model["vocab"] and (text in made or text in byte_characters())}
    return {text: token for text, token in added.items() if token.special or text not in reached}


def _cutting_blanks(pattern: Pattern, added: list[SpecialToken]) -> Pattern:
    """The pattern that first cuts out the runs of blanks among the added tokens, if it leaves them whole."""
    texts = [token.text for token in added if are_blanks(token)]
    if not texts or any(pretokens(text, pattern) != [text] for text in texts):
        return pattern
    return Pattern("custom", (blanks_expression(texts), *pattern.splits), prefix_space=pattern.prefix_space)


def _is_nfc(normalizer: Any, where: str) -> bool:
    """Whether a normaliser is NFC, rather than none. Raises UserError for any other."""
    if normalizer is None:
        return False
    kind = normalizer.get("type") if isinstance(normalizer, dict) else normalizer
    if kind == "NFC":
        return True
    if kind == "Sequence" and isinstance(normalizer.get("normalizers"), list) and len(normalizer["normalizers"]) < 9:
        steps = normalizer["normalizers"]
        if all(isinstance(step, dict) and step.get("type") == "NFC" for step in steps):
            return bool(steps)
        kind = ", ".join(str(step.get("type") if isinstance(step, dict) else step) for step in steps)
    hint = "drop it, if your text is normalised already" if isinstance(normalizer, dict) else ""
    raise UserError(f"its normaliser ({kind}) changes text", where=where, hint=hint)


def _check_model(model: dict[str, Any], where: str) -> None:
    """Raises UserError for a model whose ids are not those of byte-level BPE merges."""
    kind = model.get("type", "BPE")
    if kind != "BPE":
        raise UserError(f"its model is {kind!r}", where=where, hint="only byte-level BPE is read")
    if model.get("byte_fallback"):
        raise UserError("it falls back to bytes (byte_fallback), as SentencePiece's models do", where=where)
    for name in ("dropout", "continuing_subword_prefix", "end_of_word_suffix"):
        if model.get(name):
            raise UserError(f"it has the setting {name}, which is not supported", where=where)


def import_json(path: str, roles: Mapping[str, str] | None = None, drop_normalizer: bool = False) -> TokenizerFiles:
    """Reads a `tokenizer.json`, or a folder that holds one.

    Args:
        path: file or folder, path or URL. A `tokenizer_config.json` beside the file gives roles.
        roles: spelling by role, for roles that cannot be guessed or should differ.
        drop_normalizer: read it without its normaliser: ids are equal where that would not change the text. NFC is
            applied otherwise.

    Returns:
        The tokenizer; `fingerprint` is the file's digest, and `training` says where it came from.

    Raises:
        UserError: it is not byte-level BPE, has a part with no counterpart here, or is damaged.
    """
    inside = join(path, "tokenizer.json")
    file = inside if exists(inside) else path
    content = read_bounded(file)
    value = parsed(content, file)
    normalizer = value.get("normalizer")
    nfc = not drop_normalizer and _is_nfc(normalizer, f"{file}, normalizer")
    model = _section(value, "model", dict, f"{file}, model")
    _check_model(model, f"{file}, model")
    ids = _ids(_section(model, "vocab", dict, f"{file}, model"), f"{file}, model.vocab")
    added = _added(_section(value, "added_tokens", list, file), ids, f"{file}, added_tokens")
    cut_out = [token.text for token in added.values() if not token.special]
    added = _unreachable(model, added)
    vocabulary, others = _vocabulary(model, added, f"{file}, model")
    try:
        pattern = pattern_of_json(value.get("pre_tokenizer"), f"{file}, pre_tokenizer")
    except RecursionError as error:
        raise UserError("its Sequence steps are nested too deeply", where=f"{file}, pre_tokenizer") from error
    cutting = _cutting_blanks(pattern, list(added.values()))
    if cutting != pattern and pattern.prefix_space:
        what = "it puts a space in front of what is left between runs of blanks (add_prefix_space)"
        raise UserError(what, where=f"{file}, pre_tokenizer")
    pattern = replace(cutting, nfc=nfc)
    beside = {name: _beside(file, name) for name in (CONFIG, "config.json")}
    tokens = [*added.values(), *others]
    texts = {token.text: token.id for token in tokens}
    chosen = chosen_roles(texts, beside[CONFIG], roles or {}, file)
    rows = beside["config.json"].get("vocab_size")
    special = special_tokens(tokens, chosen, len(vocabulary), rows if type(rows) is int else None)
    origin = {
        "file": file,
        "format": "tokenizer.json",
        "digest": xxhash.xxh3_128_hexdigest(content),
        "post_processor": value.get("post_processor"),
        "normalizer": normalizer if drop_normalizer else None,
        "cut_out": [text for text in cut_out if text not in blank_ids(special, pattern)],
        "added_tokens": value["added_tokens"],
    }
    return imported(vocabulary, special, pattern, origin)


def _beside(file: str, name: str) -> dict[str, Any]:
    """A JSON file beside another; empty if it does not exist or is not JSON."""
    other = join(file.rpartition("/")[0] or ".", name)
    if not exists(other):
        return {}
    try:
        return parsed(read_bounded(other), other)
    except UserError:
        return {}


def imported(
    vocabulary: Vocabulary, special: SpecialTokens, pattern: Pattern, origin: dict[str, Any]
) -> TokenizerFiles:
    """A tokenizer from elsewhere in the form of a folder of ours. Laid out anew around another size of vocabulary, its
    special tokens stand in their order, those in front still in front."""
    texts = {token.id: token.text for token in special.tokens}
    layout = SpecialLayout(
        name="imported",
        first=tuple(text for number, text in texts.items() if number < vocabulary.specials),
        last=tuple(text for number, text in texts.items() if number >= vocabulary.specials),
        roles={role: texts[number] for role, number in special.roles.items()},
        visible=frozenset(token.text for token in special.tokens if not token.special),
        counted=False,
        rows_multiple=ROWS_MULTIPLE,
    )
    return TokenizerFiles(vocabulary, special, pattern, origin["digest"], layout, {"training": {"imported": origin}})
