"""Paths that mean the same on every node: on a cluster, a relative one is another folder on each.

`ray job submit --working-dir` copies the submitter's folder into a package cache on each node and runs the job in it.
A relative output would be written into that copy, which Ray removes after the job, and a relative input would be looked
for in the copies of other nodes. So on a cluster every path is written from the root, or is a URL, and none lies in
that cache; an output in it is refused for the local engine, too.

Asked of each path as it is resolved, before the first stage begins; nothing is read.
"""

import os
import re
from collections.abc import Callable

from corpusmill.dataproc import storage
from corpusmill.dataproc.commoncrawl import is_crawl
from corpusmill.dataproc.errors import UserError

_PACKAGES = re.compile(r"/runtime_resources/(?:working_dir|py_modules)_files/")
HINT = "use a path from the root on storage that every node sees, or a URL"


def is_in_package(path: str) -> bool:
    """Whether a local path lies in Ray's copy of a job's working directory."""
    return not storage.is_url(path) and _PACKAGES.search(os.path.realpath(path)) is not None


def require_lasting(path: str) -> None:
    """Raises UserError for an output in Ray's copy of a job's working directory."""
    if is_in_package(path):
        what = "this lies in Ray's copy of the job's working directory, which is removed after the job"
        raise UserError(what, where=path, hint=HINT)


def require_shared(path: str) -> str:
    """The path. Raises UserError for one that other nodes of a cluster would not find."""
    if is_crawl(path):
        return path
    if is_in_package(path):
        what = "this lies in Ray's copy of the job's working directory, which each node has of its own"
        raise UserError(what, where=path, hint=HINT)
    if not storage.is_url(path) and not path.startswith("/"):
        raise UserError("on a cluster, a relative path is another folder on each node", where=path, hint=HINT)
    return path


def shared_only(resolve: Callable[[str], str]) -> Callable[[str], str]:
    """A stage's `resolve` that refuses what `require_shared` does."""
    return lambda written: require_shared(resolve(written))
