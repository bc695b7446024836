"""The one exception type for a user's mistake: it prints as one line that says what is wrong, where, and the hint.

A bug is any other exception and keeps its traceback; the command line shows a `UserError` without one.
"""

from collections.abc import Sequence

from corpusmill.dataproc.urls import mask_text

MOST_LISTED = 8


class UserError(Exception):
    """A mistake that the user can mend.

    Args:
        what: what is wrong, a sentence without a full stop.
        where: the file, field, line or document concerned.
        hint: what to do about it.
    """

    def __init__(self, what: str, where: str = "", hint: str = "") -> None:
        super().__init__(what, where, hint)
        self.what = what
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        line = f"{self.where}: {self.what}" if self.where else self.what
        line = f"{line}; {self.hint}" if self.hint else line
        return " ".join(mask_text(line).split())


class Unreachable(UserError):
    """Storage that did not answer: one line for a person, and worth another attempt for an engine."""


class MissingLibrary(UserError):
    """A library that is not installed: no fault of any file."""


def is_caught(error: BaseException) -> bool:
    """Whether this is an error of the work at hand: any `Exception`, and the panic of a library written in Rust.

    pyo3 makes its PanicException a BaseException, one type for each library, and offers none of them for import.
    """
    return isinstance(error, Exception) or type(error).__name__ == "PanicException"


def is_utf8(text: str) -> bool:
    """Whether UTF-8 can write a text: it holds no lone surrogate, as a name of other bytes does."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def require_extra(module: str, extra: str) -> MissingLibrary:
    """The error for a missing optional library: names the extra that brings it."""
    return MissingLibrary(
        f"this needs the Python module '{module}', which is not installed", hint=f"pip install 'corpusmill[{extra}]'"
    )


def suggest(name: str, known: Sequence[str]) -> str:
    """The hint of an error about an unknown name: the nearest known one, or the first few of all."""
    import difflib  # only where a name is wrong

    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    listed = ", ".join(known[:MOST_LISTED]) + (", ..." if len(known) > MOST_LISTED else "")
    return f"did you mean '{close[0]}'?" if close else f"known are {listed}"
