"""corpusmill: raw text to a trained model's first tokens.

The four packages lie at the root of the repository; this folder links to them, so that everything that is installed,
in a wheel or in place, is one package, `corpusmill`, and nothing else stands at the top of site-packages. Links, rather
than an import hook or a `__path__` made at run time, because every tool follows them: pip and hatchling (a wheel holds
plain folders), mypy and editors, pytest, and worker processes that import by name. It lies in `src/` because an
editable installation puts the folder above it on `sys.path`: there, `training` and `tokenizer` must not be found.

The names of everyday use are imported on demand: `import corpusmill` itself takes milliseconds.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from corpusmill.dataproc.dedup.banding import choose_bands
    from corpusmill.dataproc.dedup.minhash import MinHashSettings, signatures
    from corpusmill.dataproc.errors import UserError
    from corpusmill.dataproc.measures.statistics import measure
    from corpusmill.dataproc.rules import decide, resolve_rules
    from corpusmill.dataproc.sequences.packing import pack
    from corpusmill.dataproc.sequences.shards import open_shard
    from corpusmill.tokenizer.encoder import Tokenizer
    from corpusmill.training.loader.model_inputs import ModelInputs
    from corpusmill.training.loader.shard_loader import ShardLoader

    __version__: str

__all__ = [
    "MinHashSettings",
    "ModelInputs",
    "ShardLoader",
    "Tokenizer",
    "UserError",
    "__version__",
    "choose_bands",
    "decide",
    "measure",
    "open_shard",
    "pack",
    "resolve_rules",
    "signatures",
]

_HOMES = {
    "MinHashSettings": "dataproc.dedup.minhash",
    "ModelInputs": "training.loader.model_inputs",
    "ShardLoader": "training.loader.shard_loader",
    "Tokenizer": "tokenizer.encoder",
    "UserError": "dataproc.errors",
    "choose_bands": "dataproc.dedup.banding",
    "decide": "dataproc.rules",
    "measure": "dataproc.measures.statistics",
    "open_shard": "dataproc.sequences.shards",
    "pack": "dataproc.sequences.packing",
    "resolve_rules": "dataproc.rules",
    "signatures": "dataproc.dedup.minhash",
}


if not TYPE_CHECKING:  # which would take any name for one of ours

    def __getattr__(name: str) -> Any:
        if name == "__version__":
            from importlib.metadata import version

            return version("corpusmill")
        if name in _HOMES:
            return getattr(import_module(f"corpusmill.{_HOMES[name]}"), name)
        raise AttributeError(f"module 'corpusmill' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
