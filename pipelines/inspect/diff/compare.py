"""What two paths are, and what is compared of them. Raises UserError for two of different kinds."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from corpusmill.dataproc.errors import UserError
from corpusmill.pipelines.engine import state
from corpusmill.pipelines.inspect.diff.datasets import DatasetDiff, dataset_diff
from corpusmill.pipelines.inspect.diff.runs import RunDiff, run_diff
from corpusmill.pipelines.inspect.diff.shards import ShardsDiff, shards_diff
from corpusmill.pipelines.inspect.diff.tokenizers import TokenizerDiff, is_tokenizer, read_any, tokenizer_diff
from corpusmill.pipelines.inspect.diff.values import ManifestDiff, described, manifest_diff, read_manifest_file
from corpusmill.pipelines.inspect.places import Place, recognise

_KINDS = {
    "run": "run", "shards": "shards", "shard": "shards", "tokenizer": "tokenizer", "dataset": "dataset",
    "parquet files": "dataset", "parquet file": "dataset",
}  # fmt: skip
"""What is compared as what; all else by its manifest or plan alone."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two paths.

    Attributes:
        what: run, dataset, shards, tokenizer or manifest.
        paths: as given.
        manifests: what their manifests say, of datasets and tokenizers that have any, and of manifests.
        detail: what else there is to say of them.
    """

    what: str
    paths: tuple[str, str]
    manifests: ManifestDiff | None = None
    detail: DatasetDiff | ShardsDiff | TokenizerDiff | RunDiff | None = None

    @property
    def differs(self) -> bool:
        """Whether they hold different things. Datasets that other settings made alike do not differ."""
        return self.detail.differs if self.detail else bool(self.manifests and self.manifests.differs)


def compare(
    first: str,
    second: str,
    examples: int = 3,
    *,
    texts: Mapping[str, str] | None = None,
    pattern: str | None = None,
    advance: Callable[[int, int], None] = lambda size, rows: None,
) -> Comparison:
    """Compares two runs, datasets, shard sets, tokenizers, or manifests.

    Args:
        examples: documents to show of each fate.
        texts: for tokenizers, to be cut by each, by their names.
        pattern: how files of tiktoken's ranks cut text.
        advance: is given the bytes and documents that were read since it was last called.
    """
    paths = first, second
    if all(path.endswith(state.MANIFEST) for path in paths):
        return Comparison(what="manifest", paths=paths, manifests=manifest_diff(*map(read_manifest_file, paths)))
    if all(map(is_tokenizer, paths)):
        files = [read_any(path, pattern) for path in paths]
        made = [state.read_manifest(path) for path in paths]
        manifests = manifest_diff(made[0], made[1]) if made[0] and made[1] else None
        detail = tokenizer_diff(files[0], files[1], texts)
        return Comparison(what="tokenizer", paths=paths, manifests=manifests, detail=detail)
    one, other = recognise(first), recognise(second)
    kinds = [_KINDS.get(place.what, "manifest") for place in (one, other)]
    if kinds[0] != kinds[1] and "manifest" not in kinds:
        what = f"a {_named(one)} cannot be compared with a {_named(other)}"
        raise UserError(what, where=second, hint="give two of the same kind")
    if "manifest" in kinds:
        if not (described(one) and described(other)):
            raise UserError("there is no manifest to compare", where=second if described(one) else first)
        return Comparison(what="manifest", paths=paths, manifests=manifest_diff(described(one), described(other)))
    return _compared(kinds[0], one, other, examples, advance)


def _compared(kind: str, one: Place, other: Place, examples: int, advance: Callable[[int, int], None]) -> Comparison:
    paths = one.path, other.path
    if kind == "run":
        return Comparison(what="run", paths=paths, detail=run_diff(one, other))
    if kind == "shards":
        return Comparison(what="shards", paths=paths, detail=shards_diff(one, other, examples, advance))
    manifests = manifest_diff(one.manifest, other.manifest) if one.manifest and other.manifest else None
    detail = dataset_diff(one, other, examples, advance)
    return Comparison(what="dataset", paths=paths, manifests=manifests, detail=detail)


def _named(place: Place) -> str:
    return {"shards": "shard set", "parquet files": "folder of Parquet files"}.get(place.what, place.what)
