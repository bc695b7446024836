"""Which paths a tree's `.gitignore` files leave out, by git's own rules (gitignore(5), wildmatch.c).

All patterns of one file become one regular expression, the last pattern first, so that the first alternative that
matches is the pattern that decides: one call for each path and each `.gitignore` above it, about 1 us. Folders are
asked before what is in them and an ignored one isn't entered, so each pattern is matched against a path itself, never
against what is below it. (The library `pathspec` matches descendants too, and so takes the common pair `*`, `!*/` for
a pattern that ignores every folder, which git doesn't.)

A repository's `.git/info/exclude` comes before all of them, and so decides last. A user's own list of ignored files is
not part of a repository, and is not looked at. Nor is the index: a file that was added to git though a pattern ignores
it is left out here.
"""

import re
from itertools import pairwise

NAME = ".gitignore"
EXCLUDE_FOLDER, EXCLUDE_NAME = ".git/info/", "exclude"
NEVER = "(?!)"
MAXIMUM_DOUBLE_STARS = 8
"""A pattern with more of `**/` matches nothing: nobody writes one, and it could take all day."""
_FOLDERS, _ANYTHING = "(?:[^/]*/)*", ".*?"
_BYTE_ORDER_MARK = "\ufeff".encode().decode("latin-1")
_STAR = "[^/]*"
_NAMED = "(?<!/)"
"""Stands before the slash of a folder: `a/*` is for what is in `a`, and not for `a/` with an empty star."""

_CLASSES = {
    "alnum": "0-9A-Za-z", "alpha": "A-Za-z", "blank": " \\t", "cntrl": "\\x00-\\x1f\\x7f", "digit": "0-9",
    "graph": "!-~", "lower": "a-z", "print": " -~", "punct": "!-/:-@\\[-`{-~", "space": "\\s", "upper": "A-Z",
    "xdigit": "0-9A-Fa-f",
}  # fmt: skip
WILDCARD = re.compile(r"[*?\[\\]")
_ITEM = re.compile(r"\[:(\w+):\]|\\(.)|(.)", re.DOTALL)


class IgnoreFile:
    """The patterns of one `.gitignore`; `folder` is where it lies, "" or a path that ends with a slash."""

    def __init__(self, folder: str, text: str) -> None:
        self._skipped = len(_as_bytes(folder))
        patterns = [translated for line in _lines(_as_bytes(text)) if (translated := _translate(line))]
        patterns.reverse()
        self._keeps = [keeps for keeps, _ in patterns]
        alternatives = "|".join(f"({pattern})" for _, pattern in patterns)
        self._regex = re.compile(alternatives or NEVER, re.DOTALL | re.ASCII)

    def decides(self, path: str) -> bool | None:
        """Whether a path (of a folder: with a slash at its end) is ignored; None when no pattern says."""
        matched = self._regex.fullmatch(_as_bytes(path), self._skipped)
        return None if matched is None else not self._keeps[(matched.lastindex or 1) - 1]


def is_ignored(path: str, files: list[IgnoreFile]) -> bool:
    """Whether a path is ignored by the `.gitignore` files above it, given from the top down: the deepest decides."""
    for file in reversed(files):
        decision = file.decides(path)
        if decision is not None:
            return decision
    return False


def _as_bytes(text: str) -> str:
    """A text with a character for each of its bytes: git's `?` and `[é]` are for one byte."""
    return text if text.isascii() else text.encode("utf-8", "surrogateescape").decode("latin-1")


def _lines(text: str) -> list[str]:
    return f"{text.removeprefix(_BYTE_ORDER_MARK)}\n".replace("\r\n", "\n").split("\n")


def _translate(line: str) -> tuple[bool, str] | None:
    """(whether it brings back, the regular expression) of a line, or None for one that is no pattern."""
    if line.startswith("#"):
        return None
    line = _without_trailing_spaces(line)
    keeps = line.startswith("!")
    line = line[keeps:]
    folder_only = line.endswith("/")
    if folder_only:
        line = line[:-1]
    if not line:
        return None
    if "/" in line:
        pattern = _wildmatch(line.removeprefix("/"), crosses=True)
    else:
        pattern = "(?:.*/)?" + _wildmatch(line, crosses=False)
    return keeps, f"{pattern}{_NAMED}" + ("/" if folder_only else "/?")


def _without_trailing_spaces(line: str) -> str:
    """A line without the spaces at its end; the first of them stays where a backslash quotes it."""
    bare = line.rstrip(" ")
    quoted = (len(bare) - len(bare.rstrip("\\"))) % 2 == 1
    return line[: len(bare) + quoted]


def _wildmatch(glob: str, *, crosses: bool) -> str:
    """A glob as a regular expression without groups that capture; no wildcard but `**` matches a slash.

    Args:
        crosses: whether `**` does, where it stands between slashes. (As git compares what comes before the first
            wildcard by itself, `ab**/` does, too.)
    """
    out: list[str] = []
    plain = WILDCARD.search(glob)
    at = 0
    while at < len(glob):
        letter = glob[at]
        at += 1
        if letter == "*":
            stars = at - 1
            while at < len(glob) and glob[at] == "*":
                at += 1
            begins = crosses and at - stars > 1 and (stars == (plain and plain.start()) or glob[stars - 1] == "/")
            if begins and glob[at : at + 1] == "/":
                out.append(_FOLDERS)
                at += 1
            elif begins and (at == len(glob) or glob[at : at + 2] == "\\/"):
                out.append(_ANYTHING)
            else:
                out.append(_STAR)
        elif letter == "?":
            out.append("[^/]")
        elif letter == "[":
            translated, at = _bracket(glob, at)
            out.append(translated)
        elif letter == "\\":
            if at == len(glob):
                return NEVER
            out.append(re.escape(glob[at]))
            at += 1
        else:
            out.append(re.escape(letter))
    return _joined(out) if out.count(_FOLDERS) + out.count(_ANYTHING) <= MAXIMUM_DOUBLE_STARS else NEVER


def _joined(parts: list[str]) -> str:
    """Parts of an expression as one, in which only the last star of a step backtracks.

    Between two stars of one step the first place at which what is between them fits is as good as any, so only the last
    star of a step tries others: a name costs its length times the pattern's, however many stars there are.
    """
    out: list[str] = []
    step: list[str] = []
    for part in [*parts, ""]:
        if part not in ("", "/", _FOLDERS):
            step.append(part)
            continue
        stars = [at for at, piece in enumerate(step) if piece == _STAR]
        for at, until in pairwise(stars):
            step[at : at + 1] = ["(?>[^/]*?"]
            step[until - 1] += ")"
        out += [*step, part]
        step = []
    return "".join(out)


def _bracket(glob: str, at: int) -> tuple[str, int]:
    """A character class whose inside begins at `at`, and where the glob goes on; one without an end matches nothing."""
    negated = glob[at : at + 1] in ("!", "^")
    at += negated
    first, items = at, ""
    low: str | None = None
    while True:
        if at >= len(glob):
            return NEVER, len(glob)
        if glob[at] == "]" and at > first:
            break
        matched = _ITEM.match(glob, at)
        if matched is None or (glob[at] == "\\" and matched[2] is None):
            return NEVER, len(glob)
        name, quoted, plain = matched.groups()
        at = matched.end()
        if name:
            if name not in _CLASSES:
                return NEVER, len(glob)
            items, low = items + _CLASSES[name], None
        elif plain == "-" and low is not None and at < len(glob) and glob[at] != "]":
            matched = _ITEM.match(glob, at)
            if matched is None or matched[1]:
                return NEVER, len(glob)
            high = matched[2] or matched[3]
            at = matched.end()
            if low <= high:
                items += f"{re.escape(low)}-{re.escape(high)}"
            low = None
        else:
            low = quoted or plain
            items += re.escape(low)
    if negated:
        return f"(?:(?!/)[^{items}])" if items else "[^/]", at + 1
    return (f"(?:(?!/)[{items}])" if items else NEVER), at + 1
