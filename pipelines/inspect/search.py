"""Search indexes by their folders: what the command line asks them, and a page in a browser may.

An index is a finished stage's folder; its manifest names the segments. Several are asked one after the other, and each
answers for itself.
"""

from dataclasses import dataclass

from corpusmill.dataproc import storage
from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.search.index import THREADS, SearchIndex
from corpusmill.pipelines.engine import state
from corpusmill.pipelines.registry import makes
from corpusmill.pipelines.stages.search.about import SEARCH


@dataclass(frozen=True)
class NamedIndex:
    """An index and the folder that it was opened by."""

    folder: str
    index: SearchIndex


def open_indexes(folders: list[str], threads: int = THREADS) -> list[NamedIndex]:
    """Search indexes by their folders or URLs, asked by so many threads. Raises UserError for a folder of anything
    else."""
    return [NamedIndex(folder, _open(folder, threads)) for folder in folders]


def _open(folder: str, threads: int) -> SearchIndex:
    manifest = state.require_manifest(folder)
    if makes(manifest["stage"]) != SEARCH.makes:
        what = f"no search index here: '{manifest['stage']}' made this folder"
        raise UserError(what, where=folder, hint="make one with 'corpusmill search build'")
    try:
        paths = [storage.join(folder, entry["path"]) for entry in manifest["files"]]
    except (KeyError, TypeError) as error:
        where = storage.join(folder, state.MANIFEST)
        raise UserError(f"no list of segments in it ({error})", where, "rebuild the index") from error
    return SearchIndex(paths, threads)
