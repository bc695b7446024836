"""What a folder of token shards holds beside its shards, under names that readers of the folder skip.

    _validation/           shards of the documents that were held back
    _vocabulary.parquet    the bytes of every id (`id`, `bytes`, `special`), so that shards explain themselves

`pyarrow.dataset` and `datasets.load_dataset` on the folder thus never train on what was held back. corpusmill 0.1.0
wrote these names without the underscore; such folders are read as well.
"""

from corpusmill.dataproc.storage import exists, join

VALIDATION = "_validation"
VOCABULARY = "_vocabulary.parquet"


def _older(name: str) -> str:
    return name.removeprefix("_")


def is_held_back(path: str) -> bool:
    """Whether a shard is one of the held-back ones, by its path below the folder."""
    return path.rpartition("/")[0] in (VALIDATION, _older(VALIDATION))


def held_back_folder(folder: str) -> str:
    """The folder of the held-back shards, whether or not there are any."""
    older = join(folder, _older(VALIDATION))
    return older if exists(older) else join(folder, VALIDATION)


def vocabulary_path(folder: str) -> str:
    """The file with the bytes of every id."""
    older = join(folder, _older(VOCABULARY))
    return older if exists(older) else join(folder, VOCABULARY)


def set_folder(folder: str) -> str:
    """The folder of the set that the shards of a folder belong to: that above, for held-back ones."""
    above, _, name = folder.rstrip("/").rpartition("/")
    return above if above and name in (VALIDATION, _older(VALIDATION)) else folder
