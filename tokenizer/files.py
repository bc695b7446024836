"""The tokenizer folder: what other libraries load, and what says how it came about.

- `tokenizer.json`: for Hugging Face `tokenizers`; our own source, too. Its xxh3 digest is the tokenizer's fingerprint.
- `tokenizer_config.json`: what `transformers` wants beside it to load the folder offline.
- `tokenizer.tiktoken`: `base64(bytes) rank` lines of the ordinary tokens; rank is the id.
- `training.json`: layout of special tokens, embedding rows, versions, and whatever the trainer says of its settings,
  counts and corpus. Without it the folder is still a tokenizer, but not one of ours.

The same vocabulary gives the same bytes. Each file appears whole; `training.json`, which makes the folder ours, last.
"""

import base64
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import xxhash

from dataproc.errors import UserError
from dataproc.storage import commit_bytes, exists, join, read_bytes
from tokenizer.patterns import pattern_named, pattern_of_json, pre_tokenizer_json
from tokenizer.special import SpecialTokens, layout_named
from tokenizer.vocabulary import Vocabulary, byte_characters

FORMAT = 1
TOKENIZER, CONFIG, TIKTOKEN, TRAINING = "tokenizer.json", "tokenizer_config.json", "tokenizer.tiktoken", "training.json"


@dataclass(frozen=True)
class TokenizerFiles:
    """What a tokenizer folder holds. `training`: all of `training.json`."""

    vocabulary: Vocabulary
    special: SpecialTokens
    pattern: str
    fingerprint: str
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


def _spelled(vocabulary: Vocabulary) -> list[str]:
    """Each token in byte-level characters; special ones as they are."""
    characters = byte_characters()
    written = vocabulary.tokens.to_pylist()
    first = [token.decode() for token in written[: vocabulary.specials]]
    return first + ["".join([characters[byte] for byte in token]) for token in written[vocabulary.specials :]]


def tokenizer_json(vocabulary: Vocabulary, special: SpecialTokens, pattern: str) -> bytes:
    """The content of `tokenizer.json`."""
    tokens = _spelled(vocabulary)
    byte_level = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}
    return _compact(
        {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": [{"id": number, **token} for number, token in _added(special).items()],
            "normalizer": {"type": "Sequence", "normalizers": []},
            "pre_tokenizer": pre_tokenizer_json(pattern_named(pattern)),
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
                "ignore_merges": False,
                "vocab": {token: number for number, token in enumerate(tokens)},
                "merges": [f"{tokens[left]} {tokens[right]}" for left, right, _ in vocabulary.merges.tolist()],
            },
        }
    )


def _config(special: SpecialTokens) -> dict[str, Any]:
    texts = {token.id: token.text for token in special.tokens}
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": texts[special.bos],
        "eos_token": texts[special.eos],
        "pad_token": texts[special.pad],
        "unk_token": None,
        "add_bos_token": False,
        "add_eos_token": False,
        "clean_up_tokenization_spaces": False,
        "model_max_length": 131072,
        "added_tokens_decoder": {str(number): token for number, token in _added(special).items()},
    }


def _tiktoken(vocabulary: Vocabulary) -> bytes:
    ordinary = vocabulary.tokens[vocabulary.specials :].to_pylist()
    return b"".join(
        b"%s %d\n" % (base64.b64encode(token), rank) for rank, token in enumerate(ordinary, vocabulary.specials)
    )


def write_tokenizer(
    folder: str, vocabulary: Vocabulary, layout: str, pattern: str, training: dict[str, Any]
) -> TokenizerFiles:
    """Writes a tokenizer folder (path or URL).

    Args:
        folder: where; made if it is not there.
        vocabulary: trained for `layout_named(layout).model_size(…)` ids, with the layout's first tokens in front.
        layout: name of the layout of special tokens.
        pattern: name of the pretoken pattern that the counts were made with.
        training: settings, digest of the counts, fingerprint of the corpus: what can be said as JSON.
    """
    import tokenizers

    chosen = layout_named(layout)
    first = [text.encode() for text in chosen.first]
    if vocabulary.tokens[: vocabulary.specials].to_pylist() != first:
        raise ValueError(f"the vocabulary was not trained with the first special tokens of the layout '{layout}'")
    special = chosen.tokens(len(vocabulary))
    main = tokenizer_json(vocabulary, special, pattern)
    fingerprint = xxhash.xxh3_128_hexdigest(main)
    record = {
        "format": FORMAT,
        "fingerprint": fingerprint,
        "pattern": pattern,
        "special_tokens": {"layout": layout, "roles": special.roles},
        "vocab_size": special.vocab_size,
        "merges": len(vocabulary.merges),
        "model_rows": special.model_rows,
        "unicode": f"the classes of tokenizers {tokenizers.__version__}",
        "training": training,
    }
    commit_bytes(join(folder, TOKENIZER), main)
    commit_bytes(join(folder, CONFIG), _readable(_config(special)))
    commit_bytes(join(folder, TIKTOKEN), _tiktoken(vocabulary))
    commit_bytes(join(folder, TRAINING), _readable(record))
    return TokenizerFiles(vocabulary, special, pattern, fingerprint, record)


def _vocabulary(model: Any, first: tuple[str, ...], where: str) -> Vocabulary:
    byte_of = {character: byte for byte, character in enumerate(byte_characters())}
    ids: dict[str, int] = model["vocab"]
    spelled = sorted(ids, key=ids.__getitem__)
    if [ids[token] for token in spelled] != list(range(len(spelled))) or tuple(spelled[: len(first)]) != first:
        raise UserError("the vocabulary's ids are not those of its layout", where=where)
    ordinary = [bytes([byte_of[character] for character in token]) for token in spelled[len(first) :]]
    pairs = [tuple(merge.split(" ")) if isinstance(merge, str) else tuple(merge) for merge in model["merges"]]
    merges = np.array([(ids[a], ids[b], ids[a + b]) for a, b in pairs], np.int32).reshape(-1, 3)
    tokens = pa.array([*(text.encode() for text in first), *ordinary], pa.large_binary())
    vocabulary = Vocabulary(tokens, merges, len(first))
    in_alphabet_order = tokens.take(pa.array(vocabulary.byte_ids())).to_pylist()
    if in_alphabet_order != [bytes([byte]) for byte in range(256)]:
        raise UserError("the 256 bytes are not where the byte-level alphabet has them", where=where)
    return vocabulary


def read_tokenizer(folder: str) -> TokenizerFiles:
    """Reads a folder that `write_tokenizer` wrote. Raises UserError when it is not one, or was changed since."""
    for name in (TOKENIZER, TRAINING):
        if not exists(join(folder, name)):
            raise UserError(f"not a tokenizer folder: it has no {name}", where=folder)
    where = join(folder, TOKENIZER)
    main = read_bytes(where)
    try:
        record = json.loads(read_bytes(join(folder, TRAINING)))
        if record.get("format") != FORMAT:
            raise UserError(f"unknown format {record.get('format')!r} of tokenizer folder", where=folder)
        fingerprint = xxhash.xxh3_128_hexdigest(main)
        if fingerprint != record["fingerprint"]:
            raise UserError(f"not the file that {TRAINING} speaks of", where=where, mend="write the tokenizer again")
        content = json.loads(main)
        layout = layout_named(record["special_tokens"]["layout"])
        pattern = pattern_of_json(content["pre_tokenizer"], where)
        vocabulary = _vocabulary(content["model"], layout.first, where)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"not a tokenizer file of ours ({type(error).__name__}: {error})", where=folder) from error
    return TokenizerFiles(vocabulary, layout.tokens(len(vocabulary)), pattern.name, fingerprint, record)
