"""The kernels of `dataproc.measures.code_text`: characters in comments, and characters of HTML that a reader sees.

Both walk a document once, byte by byte, and count characters by their first bytes. Invalid UTF-8 does no harm.
"""

from corpusmill.dataproc.kernels.compiling import kernel, kernel_part
from corpusmill.dataproc.measures.code_text.syntax import BLOCK_MARKS, LINE_MARKS

_NEWLINE, _BACKSLASH, _QUOTE = ord("\n"), ord("\\"), ord("'")
_LESS, _GREATER, _SLASH, _AND, _SEMICOLON = ord("<"), ord(">"), ord("/"), ord("&"), ord(";")
LONGEST_CHARACTER = 12
"""Bytes within which a single character in quotes must end, escapes included."""
LONGEST_ENTITY = 12


@kernel
def count_comments(data, offsets, rows, tables, out):
    """Fills out[document] with characters in comments, marks included, newlines behind line comments not.

    Args:
        data, offsets: UTF-8 buffers of N documents.
        rows: int64 (N,), each document's row in `tables` (`dataproc.measures.code_text.syntax.Tables`).
        out: int64 (N,).
    """
    for document in range(len(rows)):
        out[document] = _comments(data, offsets[document], offsets[document + 1], rows[document], tables)


@kernel_part
def _comments(data, start, stop, row, tables):
    marks, sizes, quotes, begins = tables.marks[row], tables.sizes[row], tables.quotes[row], tables.begins[row]
    nested, apart, escapes, docstrings = tables.flags[row]
    total = 0
    first = True  # only white space so far in this line
    position = start
    while position < stop:
        byte = data[position]
        if not begins[byte]:
            if byte == _NEWLINE:
                first = True
            elif byte > 32:
                first = False
            position += 1
            continue
        end = -1
        for mark in range(LINE_MARKS, LINE_MARKS + BLOCK_MARKS):
            if end < 0 and _is_here(data, position, stop, marks[mark], sizes[mark]):
                end = _block_end(data, position, stop, marks, sizes, mark, nested)
        for mark in range(LINE_MARKS):
            alone = not apart or position == start or data[position - 1] <= 32
            if end < 0 and alone and _is_here(data, position, stop, marks[mark], sizes[mark]):
                end = _line_end(data, position, stop)
        if end >= 0:
            total += _characters(data, position, end)
            first = False
            position = end
            continue
        kind = quotes[byte]
        if kind == 0:
            position += 1
        elif kind == 3:
            position = _character_end(data, position, stop)
        elif docstrings and position + 2 < stop and data[position + 1] == byte and data[position + 2] == byte:
            end = _triple_end(data, position, stop)
            if first:
                total += _characters(data, position, end)
            position = end
        else:
            position = _string_end(data, position, stop, kind == 1, escapes)
        first = False
    return total


@kernel_part
def _is_here(data, position, stop, mark, size):
    if size == 0 or position + size > stop:
        return False
    place = 0
    while place < size and data[position + place] == mark[place]:
        place += 1
    return place == size


@kernel_part
def _line_end(data, position, stop):
    while position < stop and data[position] != _NEWLINE:
        position += 1
    return position


@kernel_part
def _block_end(data, position, stop, marks, sizes, mark, nested):
    """Behind the end of the block that begins here; the document's end if it has none."""
    closing = mark + BLOCK_MARKS
    position += sizes[mark]
    depth = 1
    while position < stop:
        if _is_here(data, position, stop, marks[closing], sizes[closing]):
            depth -= 1
            position += sizes[closing]
            if depth == 0:
                return position
        elif nested and _is_here(data, position, stop, marks[mark], sizes[mark]):
            depth += 1
            position += sizes[mark]
        else:
            position += 1
    return stop


@kernel_part
def _string_end(data, position, stop, within_line, escapes):
    quote = data[position]
    position += 1
    while position < stop:
        byte = data[position]
        if byte == quote:
            return position + 1
        if byte == _NEWLINE and within_line:
            return position
        position += 2 if escapes and byte == _BACKSLASH else 1
    return stop


@kernel_part
def _triple_end(data, position, stop):
    quote = data[position]
    position += 3
    while position < stop:
        if data[position] == _BACKSLASH:
            position += 2
        elif data[position] == quote and position + 2 < stop and data[position + 1] == quote:
            if data[position + 2] == quote:
                return position + 3
            position += 1
        else:
            position += 1
    return stop


@kernel_part
def _character_end(data, position, stop):
    """Behind a single character in quotes; behind the quote alone where it encloses none."""
    place = position + 1
    if place < stop and data[place] == _BACKSLASH:
        place += 2
        while place < min(stop, position + LONGEST_CHARACTER) and data[place] != _QUOTE:
            place += 1
    elif place < stop:
        place += 1
        while place < stop and data[place] & 0xC0 == 0x80:
            place += 1
    return place + 1 if place < stop and data[place] == _QUOTE else position + 1


@kernel_part
def _characters(data, start, stop):
    total = 0
    for position in range(start, stop):
        total += data[position] & 0xC0 != 0x80
    return total


@kernel
def count_visible(data, offsets, rows, out):
    """Fills out[row] for the documents numbered `rows`: characters of HTML outside tags, comments, scripts and styles.

    A run of white space counts as one character, and as none at the beginning and end; an entity counts as one.
    """
    for row in rows:
        out[row] = _visible(data, offsets[row], offsets[row + 1])


@kernel_part
def _visible(data, start, stop):
    total = 0
    space = False  # white space since the last character seen
    position = start
    while position < stop:
        byte = data[position]
        if byte == _LESS:
            end = _tag_end(data, position, stop)
            if end > position:
                position = end
                continue
        if byte <= 32:
            space = True
        elif byte & 0xC0 != 0x80:
            total += 1 + (space and total > 0)
            space = False
            if byte == _AND:
                position = _entity_end(data, position, stop) - 1
        position += 1
    return total


@kernel_part
def _tag_end(data, position, stop):
    """Behind the tag, comment, script or style that begins here; `position` where a '<' is only a sign."""
    if position + 1 >= stop:
        return position
    follows = data[position + 1]
    if follows == ord("!") and position + 3 < stop and data[position + 2] == 45 and data[position + 3] == 45:
        place = position + 4
        while place + 2 < stop:
            if data[place] == 45 and data[place + 1] == 45 and data[place + 2] == _GREATER:
                return place + 3
            place += 1
        return stop
    letter = follows | 0x20
    if not (ord("a") <= letter <= ord("z") or follows == _SLASH or follows == ord("!") or follows == ord("?")):
        return position
    end = _close(data, position, stop)
    if _names(data, position + 1, stop, b"script"):
        return _element_end(data, end, stop, b"script")
    if _names(data, position + 1, stop, b"style"):
        return _element_end(data, end, stop, b"style")
    return end


@kernel_part
def _close(data, position, stop):
    """Behind the '>' of a tag, quoted values of attributes skipped."""
    quote = 0
    while position < stop:
        byte = data[position]
        if quote:
            if byte == quote:
                quote = 0
        elif byte == _GREATER:
            return position + 1
        elif (byte == ord('"') or byte == _QUOTE) and data[position - 1] == ord("="):
            quote = byte
        position += 1
    return stop


@kernel_part
def _element_end(data, position, stop, name):
    """Behind the closing tag of a script or style."""
    while position + 1 < stop:
        if data[position] == _LESS and data[position + 1] == _SLASH and _names(data, position + 2, stop, name):
            return _close(data, position, stop)
        position += 1
    return stop


@kernel_part
def _names(data, position, stop, name):
    """Whether a tag's name, in any case, stands here."""
    if position + len(name) >= stop:
        return False
    for place in range(len(name)):
        if data[position + place] | 0x20 != name[place]:
            return False
    behind = data[position + len(name)]
    return behind <= 32 or behind in (_GREATER, _SLASH)


@kernel_part
def _entity_end(data, position, stop):
    """Behind the entity that begins here, or behind its '&' where it is only a sign."""
    for place in range(position + 1, min(stop, position + LONGEST_ENTITY)):
        byte = data[place]
        if byte == _SEMICOLON:
            return place + 1 if place > position + 1 else position + 1
        letter = byte | 0x20
        if not (ord("a") <= letter <= ord("z") or ord("0") <= byte <= ord("9") or byte == ord("#")):
            break
    return position + 1
