"""Whether a folder of ours is ours alone: what is loaded from the kernel cache runs as code of this user.

numba keeps the index of a kernel's cache as a pickle, so whoever can write there can have this user run anything. A
cache that somebody else owns, or could write to, is refused before numba looks at it; the run ends in one line, since
going on without the cache would compile for a minute in every process, and say nothing of why.
"""

import os
import stat
from pathlib import Path

from corpusmill.dataproc.errors import UserError

PRIVATE = 0o700
OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
HINT = "remove it, or set CORPUSMILL_CACHE to a folder of your own"


def require_private(folder: Path, *, shared: bool = False) -> None:
    """Raises UserError for a folder that exists and that others own or can write to.

    Args:
        folder: what to look at; one that does not exist, or cannot be looked at, is nobody's way in.
        shared: it holds more than what is ours: root may own it, and others may write to it where its sticky bit
            keeps them from replacing what is ours (as in `/tmp`).
    """
    try:
        status = folder.stat()
    except OSError:
        return
    if status.st_uid != os.geteuid() and not (shared and status.st_uid == 0):
        raise UserError("the kernel cache belongs to another user, who could run code as you", str(folder), HINT)
    if status.st_mode & OTHERS_WRITE and not (shared and status.st_mode & stat.S_ISVTX):
        what = (
            f"others can write to the kernel cache (mode {stat.S_IMODE(status.st_mode):o}), and could run code as you"
        )
        raise UserError(what, str(folder), HINT)


def make_private(folder: Path) -> None:
    """Makes a folder, and those above it that are missing, for this user alone. Raises OSError."""
    for parent in [*reversed(folder.parents), folder]:
        if not parent.is_dir():
            parent.mkdir(mode=PRIVATE, exist_ok=True)
