"""A smaller vocabulary out of a larger one: its first ids and the merges that make them.

Every smaller vocabulary is a prefix of a trained one, so this gives what training for that size would have given, from
the folder alone. Ids below the new size stay what they are, those of special tokens too; special tokens from there on
move up in their order.
"""

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.storage import absolute
from corpusmill.tokenizer.formats.files import TokenizerFiles, read_tokenizer, write_files
from corpusmill.tokenizer.special import SpecialToken, SpecialTokens


def shrink_tokenizer(folder: str, vocab_size: int, output: str) -> TokenizerFiles:
    """Writes a tokenizer of fewer ids to another folder.

    Args:
        folder: a tokenizer folder, path or URL.
        vocab_size: as it would be asked for in training: the layout says whether special tokens behind are counted.
        output: the new folder, path or URL.

    Raises UserError when there are not so many ids, or too few for the bytes and special tokens.
    """
    if absolute(folder) == absolute(output):
        raise UserError("the output is the tokenizer itself", where=output, hint="choose another folder")
    files = read_tokenizer(folder)
    size = files.layout.model_size(vocab_size)
    vocabulary = files.vocabulary.prefix(size)
    training = {"shrunk": {"from": files.fingerprint, "vocab_size": vocab_size}, "of": files.training["training"]}
    special = _moved_up(files.special, size, files.layout.rows_multiple)
    return write_files(output, vocabulary, special, files.layout, files.pattern, training)


def _moved_up(special: SpecialTokens, size: int, rows_multiple: int) -> SpecialTokens:
    """The special tokens of a tokenizer whose model is cut to so many ids."""
    kept = [token for token in special.tokens if token.id < size]
    behind = [token for token in special.tokens if token.id >= size]
    moved = [SpecialToken(number, token.text, token.special) for number, token in enumerate(behind, size)]
    ids = {token.text: token.id for token in (*kept, *moved)}
    texts = {number: text for text, number in special.ids.items()}
    vocab_size = size + len(moved)
    rows = -(-vocab_size // rows_multiple) * rows_multiple
    roles = {role: ids[texts[number]] for role, number in special.roles.items()}
    return SpecialTokens((*kept, *moved), roles, vocab_size, rows)
