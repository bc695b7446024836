"""The one exception type for a user's mistake: it prints as one line that says what is wrong, where, and the mend.

A bug is any other exception and keeps its traceback; the command line shows a `UserError` without one.
"""


class UserError(Exception):
    """A mistake that the user can mend.

    Args:
        what: what is wrong, a sentence without a full stop.
        where: the file, field, line or document concerned.
        mend: what to do about it.
    """

    def __init__(self, what: str, where: str = "", mend: str = "") -> None:
        super().__init__(what, where, mend)
        self.what = what
        self.where = where
        self.mend = mend

    def __str__(self) -> str:
        line = f"{self.where}: {self.what}" if self.where else self.what
        line = f"{line}; {self.mend}" if self.mend else line
        return " ".join(line.split())


def require_extra(module: str, extra: str) -> UserError:
    """The error for a missing optional library: names the extra that brings it."""
    return UserError(
        f"this needs the Python module '{module}', which is not installed", mend=f"pip install 'corpusmill[{extra}]'"
    )
