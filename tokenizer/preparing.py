"""What tokenizers from elsewhere do to a text before it is cut: normal form C, and a space in front.

A pattern says so (`Pattern.nfc`, `Pattern.prefix_space`); those trained here do neither. Ids then stand for the
prepared text, which is also what decoding gives back.

Cost: texts in ASCII are in normal form C already and are not touched; others are normalised by Arrow, whole arrays at
a time. Memory: a copy of the texts that are changed.
"""

import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.dataproc.kernels.buffers import Texts, text_buffers
from corpusmill.tokenizer.patterns import Pattern


def prepared(texts: Texts, pattern: Pattern) -> Texts:
    """The texts as they are before they are cut: large_string (N,), or what was given where nothing is to be done.

    Bytes that are not UTF-8 count as U+FFFD where a text with them is normalised.
    """
    if not pattern.nfc and not pattern.prefix_space:
        return texts
    strings = _strings(texts)
    if pattern.nfc and not pc.all(pc.string_is_ascii(strings)).as_py():
        strings = pc.utf8_normalize(strings, "NFC")
    if pattern.prefix_space:
        bare = pc.and_(pc.invert(pc.starts_with(strings, " ")), pc.greater(pc.binary_length(strings), 0))
        nothing, space = pa.scalar("", pa.large_string()), pa.scalar(" ", pa.large_string())
        strings = pc.binary_join_element_wise(pc.if_else(bare, space, nothing), strings, nothing)
    return strings


def _strings(texts: Texts) -> pa.LargeStringArray:
    offsets, data = text_buffers(texts)
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(data)]
    strings = pa.Array.from_buffers(pa.large_string(), len(offsets) - 1, buffers)
    try:
        strings.validate(full=True)
    except pa.ArrowInvalid:
        raw = strings.cast(pa.large_binary(), safe=False).to_pylist()
        return pa.array([text.decode("utf-8", "replace") for text in raw], pa.large_string())
    return strings
