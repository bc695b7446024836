"""The prose of a text's beginning: what the language of a page is judged by.

A page of documentation may hold more code than sentences, and code, addresses and tags are in Latin letters whatever
the page is in. Left out are:

    fenced code      from a line that begins with ``` or ~~~ to the next one; the indented block below a line of
                     reStructuredText that ends in "::" or names a directive of code
    code in a line   `between marks of the same length`, where both stand in one line
    tags             <tag …>, </tag>, <!-- … -->; all of <code>, <pre>, <script> and <style> elements
    addresses        from "scheme://" or "www." to white space or a closing bracket
    tables           lines that begin with "|" or "+--", and rules of "---" or "==="

A text in which this leaves next to nothing (fewer than `LEAST` letters) is judged as it is.

Cost: one pass over the bytes up to the last character that is looked at, not measured by itself; no more than `LOOK_AT`
times as many characters as are wanted.
"""

# mypy: disable-error-code="assignment"
# (numba unifies int and np.int64, which mypy holds apart)

import numpy as np
import pyarrow as pa

from corpusmill.dataproc.kernels.buffers import read_only, text_buffers
from corpusmill.dataproc.kernels.compiling import kernel, kernel_step

LEAST = 20
LOOK_AT = 8
"""How many characters are gone over at most for each that is wanted."""

_NEWLINE, _SPACE, _TAB, _RETURN, _BACKTICK, _TILDE, _LESS, _GREATER = 10, 32, 9, 13, 96, 126, 60, 62
_RAW = (b"code", b"pre", b"script", b"style")
_RAW_NAMES = np.zeros((len(_RAW), 8), np.uint8)
for _number, _name in enumerate(_RAW):
    _RAW_NAMES[_number, : len(_name)] = np.frombuffer(_name, np.uint8)
_RAW_SIZES = np.array([len(name) for name in _RAW], np.int64)
_CODE_DIRECTIVES = (b".. code", b".. sourcecode", b".. parsed-literal", b".. doctest", b".. highlight", b".. math")
_DIRECTIVES = np.zeros((len(_CODE_DIRECTIVES), 18), np.uint8)
for _number, _name in enumerate(_CODE_DIRECTIVES):
    _DIRECTIVES[_number, : len(_name)] = np.frombuffer(_name, np.uint8)
_DIRECTIVE_SIZES = np.array([len(name) for name in _CODE_DIRECTIVES], np.int64)


@kernel_step
def _line_stop(data, position, stop):
    """The line feed that ends the line at `position`, or `stop`."""
    while position < stop and data[position] != _NEWLINE:
        position += 1
    return position


@kernel_step
def _run(data, position, stop, byte):
    """How many times a byte stands at `position`."""
    count = np.int64(0)
    while position + count < stop and data[position + count] == byte:
        count += 1
    return count


@kernel_step
def _is_letter(byte):
    return np.uint8(97) <= byte | 0x20 <= np.uint8(122)


@kernel_step
def _starts_with(data, position, stop, name, size):
    """Whether `size` bytes of a name in lower case stand at `position`."""
    if position + size > stop:
        return False
    for place in range(size):  # noqa: SIM110 - numba compiles no generator expression
        if data[position + place] | 0x20 != name[place] | 0x20:
            return False
    return True


@kernel_step
def _fence_stop(data, position, stop):
    """Where the code that is fenced from the line at `position` ends: after the closing line, or at the end."""
    mark = data[position]
    size = _run(data, position, stop, mark)
    place = _line_stop(data, position, stop)
    while place < stop:
        place += 1
        first = place
        while first < stop and (data[first] == _SPACE or data[first] == _TAB):
            first += 1
        place = _line_stop(data, first, stop)
        if _run(data, first, stop, mark) >= size:
            break
    return place


@kernel_step
def _block_stop(data, position, stop, indent):
    """Where the lines end that follow the line at `position` and are blank or indented by more than `indent`."""
    end = _line_stop(data, position, stop)
    while end < stop:
        first = end + 1
        while first < stop and (data[first] == _SPACE or data[first] == _TAB or data[first] == _RETURN):
            first += 1
        if first < stop and data[first] != _NEWLINE and first - end - 1 <= indent:
            break
        end = _line_stop(data, first, stop)
    return end


@kernel_step
def _special_line(data, start, stop):
    """Where a line at `start` that is code or a table ends, with the lines that belong to it; `start` if it is none."""
    first = start
    while first < stop and (data[first] == _SPACE or data[first] == _TAB):
        first += 1
    if first >= stop:
        return start
    byte = data[first]
    if byte in (_BACKTICK, _TILDE) and _run(data, first, stop, byte) >= 3:
        return _fence_stop(data, first, stop)
    if byte == 124 or (byte == 43 and first + 1 < stop and (data[first + 1] == 45 or data[first + 1] == 61)):
        return _line_stop(data, first, stop)
    if (byte == 45 or byte == 61) and _run(data, first, stop, byte) >= 3:
        return _line_stop(data, first, stop)
    if byte == 46:
        for directive in range(_DIRECTIVE_SIZES.shape[0]):
            if _starts_with(data, first, stop, _DIRECTIVES[directive], _DIRECTIVE_SIZES[directive]):
                return _block_stop(data, first, stop, first - start)
    return start


@kernel_step
def _tag_stop(data, position, stop):
    """Where a tag ends that begins at `position` with "<", with the text of elements that hold code; `position` if
    none does."""
    place = position + 1
    if place + 2 < stop and data[place] == 33 and data[place + 1] == 45 and data[place + 2] == 45:
        place += 3
        while place + 2 < stop:
            if data[place] == 45 and data[place + 1] == 45 and data[place + 2] == _GREATER:
                return place + 3
            place += 1
        return stop
    closing = place < stop and data[place] == 47
    place += np.int64(closing)
    if place >= stop or not (_is_letter(data[place]) or data[place] == 33 or data[place] == 63):
        return position
    name = place
    while place < stop and place < position + 2000 and data[place] != _GREATER:
        if data[place] == _LESS:
            return position
        place += 1
    if place >= stop or data[place] != _GREATER:
        return position
    for number in range(_RAW_SIZES.shape[0]):
        size = _RAW_SIZES[number]
        if closing or not _starts_with(data, name, stop, _RAW_NAMES[number], size) or _is_letter(data[name + size]):
            continue
        while place + 2 + size < stop:
            place += 1
            if (
                data[place] == _LESS
                and data[place + 1] == 47
                and _starts_with(data, place + 2, stop, _RAW_NAMES[number], size)
            ):
                while place < stop and data[place] != _GREATER:
                    place += 1
                break
        return min(place + 1, stop)
    return place + 1


@kernel_step
def _address_stop(data, position, stop):
    """Where an address ends."""
    while position < stop:
        byte = data[position]
        if byte <= _SPACE or byte >= 0x80 or byte == 41 or byte == 93 or byte == 34 or byte == _GREATER or byte == 96:
            break
        position += 1
    return position


@kernel_step
def _is_www(data, position, stop):
    return _run(data, position, stop, data[position]) == 3 and position + 3 < stop and data[position + 3] == 46


@kernel_step
def _code_stop(data, position, stop):
    """Where code in a line ends that begins at `position` with a backtick; `position` if it doesn't in that line."""
    size = _run(data, position, stop, np.uint8(_BACKTICK))
    place = position + size
    while place < stop and data[place] != _NEWLINE:
        if data[place] == _BACKTICK:
            here = _run(data, place, stop, np.uint8(_BACKTICK))
            place += here
            if here == size:
                return place
        else:
            place += 1
    return position


@kernel
def _copy_prose(offsets, data, characters, least, bounds, out):
    """Writes the first `characters` of each text's prose to `out`, with a space for what is left out."""
    written = np.int64(0)
    for row in range(offsets.shape[0] - 1):
        start, stop = offsets[row], offsets[row + 1]
        begin, count, letters = written, np.int64(0), np.int64(0)
        position, line = start, start
        while position < stop and count <= characters:
            byte = data[position]
            leaves = position
            if position == line:
                leaves = _special_line(data, position, stop)
            if leaves == position and byte == _LESS:
                leaves = _tag_stop(data, position, stop)
            elif leaves == position and byte == _BACKTICK:
                leaves = _code_stop(data, position, stop)
            elif leaves == position and byte == 58:
                if position + 2 < stop and data[position + 1] == 47 and data[position + 2] == 47 and position > start:
                    while written > begin and _is_letter(out[written - 1]):
                        written -= 1
                        count -= 1
                        letters -= 1
                    leaves = _address_stop(data, position, stop)
                elif position + 2 < stop and data[position + 1] == 58 and data[position + 2] == _NEWLINE:
                    indent = line
                    while data[indent] == _SPACE or data[indent] == _TAB:
                        indent += 1
                    leaves = _block_stop(data, position, stop, indent - line)
            elif leaves == position and byte == 119 and _is_www(data, position, stop):
                leaves = _address_stop(data, position, stop)
            if leaves > position:
                position = leaves
                byte = np.uint8(_SPACE)
            else:
                position += 1
                if byte == _NEWLINE:
                    line = position
            count += np.int64(byte & 0xC0 != 0x80)
            if count > characters:
                break
            letters += np.int64(byte >= 0xC0 or _is_letter(byte))
            out[written] = byte
            written += 1
        if letters < least:
            written, count = begin, np.int64(0)
            for place in range(start, stop):
                count += np.int64(data[place] & 0xC0 != 0x80)
                if count > characters:
                    break
                out[written] = data[place]
                written += 1
        bounds[row + 1] = written


def prose_of(texts: pa.Array, characters: int) -> pa.Array:
    """The first `characters` code points of the prose of each of N texts: large_string.

    Args:
        texts: large_string, which hold no more than is worth to be gone over.
        characters: that are wanted of each.
    """
    offsets, data = text_buffers(texts)
    bounds = np.zeros(len(texts) + 1, np.int64)
    out = np.empty(int(offsets[-1] - offsets[0]), np.uint8)
    _copy_prose(
        read_only(offsets, np.int64), read_only(data, np.uint8), np.int64(characters), np.int64(LEAST), bounds, out
    )
    buffers = [None, pa.py_buffer(bounds), pa.py_buffer(out[: bounds[-1]])]
    return pa.LargeStringArray.from_buffers(len(texts), *buffers[1:])
