"""Where numba keeps a compiled kernel, and when it may use it again: as long as no source that it is made of changed.

By itself numba checks the kernel's own file, by its time, and not the files that it calls into. This locator answers
with the digest of all of them (`sources.py`) instead, and leaves the line number out of the name of the cache's files.
So a changed comment compiles nothing again, and a changed function compiles again what calls it, wherever that is.

numba takes the class by the environment variable NUMBA_CACHE_LOCATOR_CLASSES (`pipelines/kernels.py` sets it).
"""

from functools import cache
from pathlib import Path
from typing import Any

from numba.core import config
from numba.core.caching import UserProvidedCacheLocator

from corpusmill.dataproc.kernels.sources import Sources


@cache
def _sources(folder: str) -> Sources:
    return Sources(Path(folder))


class SourceCacheLocator(UserProvidedCacheLocator):  # type: ignore[misc]
    """A place in NUMBA_CACHE_DIR, with a stamp of all sources that a kernel is made of."""

    def get_source_stamp(self) -> Any:
        return _sources(config.CACHE_DIR).digest(self._py_file)

    def get_disambiguator(self) -> str:
        return "kernel"
