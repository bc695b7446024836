"""Tokenizers from elsewhere, whatever form they have: which reader a file or folder needs."""

from collections.abc import Mapping

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.storage import exists, join, list_names
from corpusmill.tokenizer.formats.files import TOKENIZER, TokenizerFiles
from corpusmill.tokenizer.formats.foreign import import_json, read_bounded
from corpusmill.tokenizer.formats.foreign_tiktoken import import_ranks
from corpusmill.tokenizer.patterns import PATTERNS, Pattern


def tokenizer_file(path: str) -> str:
    """The tokenizer's own file: the path, or of a folder its `tokenizer.json`, else its one file of ranks."""
    names = list_names(path)
    if exists(path) and not names:
        return path
    ranks = [name for name in names if name.endswith(".tiktoken")] or [n for n in names if n == "tokenizer.model"]
    if TOKENIZER in names or len(ranks) == 1:
        return join(path, TOKENIZER if TOKENIZER in names else ranks[0])
    raise UserError("no such tokenizer", where=path, hint=f"name a tokenizer file, or a folder with {TOKENIZER}")


def is_json(content: bytes) -> bool:
    """Whether a tokenizer file is a `tokenizer.json`, rather than lines of ranks."""
    return content.lstrip()[:1] == b"{"


def import_tokenizer(
    path: str,
    pattern: str | Pattern | None = None,
    special: Mapping[str, int] | None = None,
    roles: Mapping[str, str] | None = None,
    *,
    drop_normalizer: bool = False,
) -> TokenizerFiles:
    """Reads any byte-level `tokenizer.json` or file of tiktoken's ranks; ids equal the original's on every text.

    Args:
        path: a file, or a folder that holds one; path or URL.
        pattern, special: for a file of ranks, which does not hold them: how text is cut, and id by spelling.
        roles: spelling by role, for roles that cannot be guessed or should differ.
        drop_normalizer: as for `import_json`.

    Raises:
        UserError: it cannot be read as a byte-level BPE tokenizer; says why.
    """
    file = tokenizer_file(path)
    if is_json(read_bounded(file)):
        if pattern is not None or special:
            raise UserError("a tokenizer.json contains its own pattern and special tokens", where=file)
        return import_json(file, roles, drop_normalizer)
    if pattern is None:
        known = ", ".join(sorted(PATTERNS))
        raise UserError("a file of ranks does not say how text is split", where=file, hint=f"name its pattern: {known}")
    return import_ranks(file, pattern, special, roles)
