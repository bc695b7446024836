"""The formats by name. Each is a module with the same few names:

PADDED                                whether packed sequences keep their padding, which the format then marks
HAS_ITEMS                             whether files have items to be numbered; else the place of a token names it
Writer(folder, stem, header, unit)    a context manager: `write(items)`, then `entries` for the manifest
beside(entries, header, unit, folder) files that describe all others in a folder: {name: bytes}
pieces(path, piece_bytes, options)    what there is to read, in portions
read(piece, options)                  the items of a portion
"""

from types import ModuleType

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.exchange import flat, huggingface, mds, megatron

FORMATS: dict[str, ModuleType] = {"megatron": megatron, "mds": mds, "huggingface": huggingface, "flat": flat}


def format_named(name: str) -> ModuleType:
    """The module of a format. Raises UserError for an unknown name."""
    if name not in FORMATS:
        raise UserError(f"unknown format '{name}'", hint=f"the formats are {', '.join(FORMATS)}")
    return FORMATS[name]
