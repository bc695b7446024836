"""Where things that can be made again are kept between runs: compiled kernels and Unicode tables, for each user.

`CORPUSMILL_CACHE` names another folder. Everything in it may be deleted at any time.
"""

import os
from pathlib import Path


def user_cache_folder() -> Path:
    """The per-user cache folder; made when it is first written to."""
    if named := os.environ.get("CORPUSMILL_CACHE"):
        return Path(named)
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "corpusmill"
