"""Tables in Markdown."""

import re
from collections.abc import Iterable, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table, its cells as they are but for line breaks and bars."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines) + "\n"


def code(text: object) -> str:
    """Text as code; nothing for nothing."""
    spelled = str(text)
    fence = "``" if "`" in spelled else "`"
    return f"{fence}{spelled}{fence}" if spelled else ""


def plain(text: str) -> str:
    """Prose in which nothing is taken for HTML."""
    return re.sub(r"<(?=[\w/])", "&lt;", text)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
