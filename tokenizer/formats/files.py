"""The tokenizer folder: what other libraries load, and what says how it came about.

- `tokenizer.json`: for Hugging Face `tokenizers`; our own source, too. Its xxh3 digest is the tokenizer's fingerprint.
- `tokenizer_config.json`: what `transformers` wants beside it to load the folder offline.
- `chat_template.jinja`: how conversations are written (`tokenizer/chat.py`), where special tokens have roles.
- `tokenizer.tiktoken`, `tiktoken.json`: for tiktoken, where it would give the same ids (`tiktoken_files.py`).
- `vocabulary.arrow`: a copy for loading in milliseconds (`vocabulary_file.py`).
- `training.json`: layout of special tokens, embedding rows, versions, and whatever the trainer says of its settings,
  counts and corpus, or where the tokenizer was imported from. Without it the folder is still a tokenizer, but not ours.

The same vocabulary gives the same bytes. Each file appears whole; `training.json`, which makes the folder ours, last.
"""

import json
import shlex
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import xxhash

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.storage import commit_bytes, exists, join, list_names, read_bytes, remove
from corpusmill.tokenizer.blanks import blank_ids
from corpusmill.tokenizer.chat import CHAT_TEMPLATE, template_of
from corpusmill.tokenizer.formats.special_records import check_roles, layout_from_record, layout_record
from corpusmill.tokenizer.formats.splits import same_by_rank
from corpusmill.tokenizer.formats.tiktoken_files import ENCODING, RANKS, tiktoken_json, tiktoken_ranks
from corpusmill.tokenizer.formats.vocabulary_file import NAME as ARROW
from corpusmill.tokenizer.formats.vocabulary_file import read_vocabulary_file, vocabulary_file
from corpusmill.tokenizer.patterns import PATTERNS, Pattern, pattern_named, pattern_of_json, pre_tokenizer_json
from corpusmill.tokenizer.special import SpecialLayout, SpecialToken, SpecialTokens, layout_named
from corpusmill.tokenizer.vocabulary import Vocabulary, byte_characters

FORMAT = 2
TOKENIZER, CONFIG, TRAINING = "tokenizer.json", "tokenizer_config.json", "training.json"
FILE_NAMES = (TOKENIZER, CONFIG, CHAT_TEMPLATE, RANKS, ENCODING, ARROW, TRAINING)
"""All that a folder may hold of ours; the template and what tiktoken reads are not always there."""
MOST_IDS = 1 << 24
"""What a file may claim: the ids that token shards can hold in three bytes."""


@dataclass(frozen=True)
class TokenizerFiles:
    """What a tokenizer folder holds. `layout`: how the special tokens were laid out; `training`: all of
    `training.json`."""

    vocabulary: Vocabulary
    special: SpecialTokens
    pattern: Pattern
    fingerprint: str
    layout: SpecialLayout
    training: dict[str, Any]


def _compact(content: Any) -> bytes:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()


def _readable(content: Any) -> bytes:
    return (json.dumps(content, ensure_ascii=False, indent=2, sort_keys=True) + "\n").encode()


def _added(special: SpecialTokens) -> dict[int, dict[str, Any]]:
    flags = {"single_word": False, "lstrip": False, "rstrip": False}
    return {
        token.id: {"content": token.text, **flags, "normalized": not token.special, "special": token.special}
        for token in special.tokens
    }


def _spelled(vocabulary: Vocabulary, special: SpecialTokens) -> dict[int, str]:
    """What the file's model holds, by id: tokens in byte-level characters, and special ones as they are.

    `tokenizers` numbers added tokens that the model lacks from the model's size on, so special tokens may be left to
    it only where that gives their ids. Raises UserError when a special token is spelled like an ordinary one.
    """
    characters = byte_characters()
    ordinary = vocabulary.tokens[vocabulary.specials :].to_pylist()
    tokens = {
        number: "".join([characters[byte] for byte in token])
        for number, token in enumerate(ordinary, vocabulary.specials)
        if token is not None
    }
    for text in set(special.ids).intersection(tokens.values()):
        hint = "spell it otherwise"
        raise UserError("ordinary text can contain this special token", where=repr(text), hint=hint)
    within = {token.id: token.text for token in special.tokens if token.id < len(vocabulary)}
    behind = {token.id: token.text for token in special.tokens if token.id >= len(vocabulary)}
    size = len(tokens) + len(within)
    inside = within if list(behind) == list(range(size, size + len(behind))) else within | behind
    return dict(sorted((tokens | inside).items()))


def tokenizer_json(vocabulary: Vocabulary, special: SpecialTokens, pattern: Pattern) -> bytes:
    """The content of `tokenizer.json`."""
    tokens = _spelled(vocabulary, special)
    byte_level = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}
    return _compact(
        {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": [{"id": number, **token} for number, token in _added(special).items()],
            "normalizer": {"type": "NFC"} if pattern.nfc else {"type": "Sequence", "normalizers": []},
            "pre_tokenizer": pre_tokenizer_json(pattern),
            "post_processor": None,
            "decoder": byte_level,
            "model": {
                "type": "BPE",
                "dropout": None,
                "unk_token": None,
                "continuing_subword_prefix": None,
                "end_of_word_suffix": None,
                "fuse_unk": False,
                "byte_fallback": False,
                "ignore_merges": vocabulary.whole_first,
                "vocab": {token: number for number, token in tokens.items()},
                "merges": [f"{tokens[left]} {tokens[right]}" for left, right, _ in vocabulary.merges.tolist()],
            },
        }
    )


def _config(special: SpecialTokens) -> dict[str, Any]:
    texts = {token.id: token.text for token in special.tokens}
    ends = {f"{role}_token": texts[special.roles[role]] for role in ("bos", "eos", "pad") if role in special.roles}
    template = template_of(special.ids)
    return (
        ends
        | ({"chat_template": template.jinja} if template else {})
        | {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "unk_token": None,
            "add_bos_token": False,
            "add_eos_token": False,
            "clean_up_tokenization_spaces": False,
            "model_max_length": 131072,
            "added_tokens_decoder": {str(number): token for number, token in _added(special).items()},
        }
    )


def write_tokenizer(
    folder: str,
    vocabulary: Vocabulary,
    layout: str | SpecialLayout,
    pattern: str | Pattern,
    training: dict[str, Any],
) -> TokenizerFiles:
    """Writes a tokenizer folder (path or URL).

    Args:
        folder: where; made if it is not there.
        vocabulary: trained for `layout.model_size(…)` ids, with the layout's first tokens in front.
        layout: of the special tokens, or the name of a preset.
        pattern: that the counts were made with.
        training: settings, digest of the counts, fingerprint of the corpus: what can be said as JSON.

    Raises UserError when a special token is spelled like an ordinary one.
    """
    chosen = layout_named(layout) if isinstance(layout, str) else layout
    first = [text.encode() for text in chosen.first]
    if vocabulary.tokens[: vocabulary.specials].to_pylist() != first:
        raise ValueError(f"the vocabulary was not trained with the first special tokens of the layout '{chosen.name}'")
    return write_files(folder, vocabulary, chosen.tokens(len(vocabulary)), chosen, pattern, training)


def write_files(
    folder: str,
    vocabulary: Vocabulary,
    special: SpecialTokens,
    layout: SpecialLayout,
    pattern: str | Pattern,
    training: dict[str, Any],
) -> TokenizerFiles:
    """As `write_tokenizer`, with special tokens that stand where they stand. `layout` says how to lay them out around
    another size of vocabulary."""
    import tokenizers

    cut = pattern_named(pattern)
    main = tokenizer_json(vocabulary, special, cut)
    arrow = vocabulary_file(vocabulary, special.tokens)
    fingerprint = xxhash.xxh3_128_hexdigest(main)
    for_tiktoken = not (cut.nfc or cut.prefix_space or blank_ids(special, cut)) and same_by_rank(vocabulary)
    record = {
        "format": FORMAT,
        "fingerprint": fingerprint,
        "vocabulary": xxhash.xxh3_128_hexdigest(arrow),
        "pattern": cut.name,
        "nfc": cut.nfc,
        "prefix_space": cut.prefix_space,
        "special_tokens": {"layout": layout_record(layout), "roles": special.roles},
        "vocab_size": special.vocab_size,
        "merges": len(vocabulary.merges),
        "model_rows": special.model_rows,
        "tiktoken": for_tiktoken,
        "unicode": f"the classes of tokenizers {tokenizers.__version__}",
        "training": training,
    }
    commit_bytes(join(folder, TOKENIZER), main)
    commit_bytes(join(folder, CONFIG), _readable(_config(special)))
    template = template_of(special.ids)
    for names, wanted in (((RANKS, ENCODING), for_tiktoken), ((CHAT_TEMPLATE,), template is not None)):
        for name in names:
            if not wanted and exists(join(folder, name)):
                remove(join(folder, name))
    if template is not None:
        commit_bytes(join(folder, CHAT_TEMPLATE), template.jinja.encode())
    if for_tiktoken:
        commit_bytes(join(folder, RANKS), tiktoken_ranks(vocabulary))
        commit_bytes(join(folder, ENCODING), _compact(tiktoken_json(special, cut)) + b"\n")
    commit_bytes(join(folder, ARROW), arrow)
    commit_bytes(join(folder, TRAINING), _readable(record))
    return TokenizerFiles(vocabulary, special, cut, fingerprint, layout, record)


def _from_json(content: Any) -> tuple[Vocabulary, tuple[SpecialToken, ...]]:
    """(vocabulary, special tokens) of a `tokenizer.json` of ours. Raises ValueError, KeyError or TypeError if it is
    none."""
    model = content["model"]
    byte_of = {character: byte for byte, character in enumerate(byte_characters())}
    added = tuple(SpecialToken(entry["id"], entry["content"], entry["special"]) for entry in content["added_tokens"])
    special = {token.id: token.text for token in added}
    specials = next(number for number in range(len(special) + 1) if number not in special)
    ids: dict[str, int] = model["vocab"]
    ordinary = {number: token for token, number in ids.items() if number not in special}
    size = max(ordinary, default=-1) + 1
    if len(ids) != len(set(ids.values())) or min(ordinary, default=0) < specials or size > MOST_IDS:
        raise ValueError("ids are not those of a folder of ours")
    tokens: list[bytes | None] = [None] * size
    for number, token in ordinary.items():
        tokens[number] = bytes([byte_of[character] for character in token])
    for number in range(specials):
        tokens[number] = special[number].encode()
    pairs = [merge.split(" ") for merge in model["merges"]]
    merges = np.array([(ids[a], ids[b], ids[a + b]) for a, b in pairs], np.int32).reshape(-1, 3)
    return Vocabulary(pa.array(tokens, pa.large_binary()), merges, specials, model["ignore_merges"]), added


def require_folder(folder: str) -> None:
    """Raises UserError for what cannot be a tokenizer folder of ours; somebody else's is to be imported first."""
    missing = [name for name in (TOKENIZER, TRAINING) if not exists(join(folder, name))]
    if not missing:
        return
    if not exists(folder):
        raise UserError("no such tokenizer folder", where=folder, hint="create one with `corpusmill tokenizer train`")
    if TOKENIZER not in missing or not list_names(folder):
        what = "this tokenizer was not made by corpusmill"
        hint = f"import it first: corpusmill tokenizer import {shlex.quote(folder)} --output tokenizer"
        raise UserError(what, where=folder, hint=f"{hint}, then name that folder")
    raise UserError(f"not a tokenizer folder: it has no {missing[0]}", where=folder)


def read_tokenizer(folder: str) -> TokenizerFiles:
    """Reads a folder that `write_tokenizer` wrote. Raises UserError when it is not one, or was changed since."""
    require_folder(folder)
    where = join(folder, TOKENIZER)
    main = read_bytes(where)
    fingerprint = xxhash.xxh3_128_hexdigest(main)
    try:
        record = orjson.loads(read_bytes(join(folder, TRAINING)))
        if record.get("format") not in (1, FORMAT):
            raise UserError(f"unknown format {record.get('format')!r} of tokenizer folder", where=folder)
        if fingerprint != record["fingerprint"]:
            raise UserError(f"not the file that {TRAINING} describes", where=where, hint="export the tokenizer again")
        layout_value = record["special_tokens"]["layout"]
        at = f"{join(folder, TRAINING)}, special_tokens.layout"
        layout = layout_named(layout_value) if isinstance(layout_value, str) else layout_from_record(layout_value, at)
        loaded = _from_arrow(folder, record)
        pattern = PATTERNS.get(record["pattern"])
        if loaded is None or pattern is None:
            content = orjson.loads(main)
            pattern = pattern_of_json(content["pre_tokenizer"], where)
            loaded = loaded or _from_json(content)
        pattern = replace(pattern, nfc=bool(record.get("nfc")), prefix_space=bool(record.get("prefix_space")))
        vocabulary, added = loaded
        vocabulary.byte_ids()
        roles, sizes = record["special_tokens"]["roles"], (record["vocab_size"], record["model_rows"])
        texts = {token.id: token.text for token in added}
        if max(texts, default=-1) >= sizes[0] or len(vocabulary) > sizes[0] or not all(type(n) is int for n in sizes):
            raise ValueError("vocab_size is less than there are ids")
        check_roles({role: texts.get(number) for role, number in roles.items()}, texts.values(), folder)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(
            f"not a tokenizer file made by corpusmill ({type(error).__name__}: {error})", where=folder
        ) from error
    return TokenizerFiles(vocabulary, SpecialTokens(added, roles, *sizes), pattern, fingerprint, layout, record)


def _from_arrow(folder: str, record: dict[str, Any]) -> tuple[Vocabulary, tuple[SpecialToken, ...]] | None:
    """The copy for loading, if it is the one that `training.json` names."""
    path = join(folder, ARROW)
    if "vocabulary" not in record or not exists(path):
        return None
    content = read_bytes(path)
    if xxhash.xxh3_128_hexdigest(content) != record["vocabulary"]:
        return None
    return read_vocabulary_file(content, path)
