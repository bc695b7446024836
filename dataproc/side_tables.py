"""Side tables: what stands beside the documents of a dataset, where no reader takes it for documents.

`rejected`, `ledger`, `statistics`, … of `part-00000.parquet` are in `_rejected/part-00000.parquet.side` and so on. The
underscore hides them from pandas, pyarrow and Spark, which read a folder but skip such names; the ending hides them
from `**/*.parquet`, by which DuckDB and Polars find files in every folder. They are Parquet files nevertheless:
`pandas.read_parquet("clean/_rejected")` reads them, and the dataset's card names them for `datasets.load_dataset`.
Folders of corpusmill 0.1.0 have `rejected/part-00000.parquet`; they are read as well.
"""

from collections.abc import Iterable, Mapping
from typing import Any

ENDING = ".parquet.side"
_OLDER_ENDING = ".parquet"


def side_folder(table: str) -> str:
    """The folder of a side table, below its dataset's."""
    return f"_{table}"


def side_name(table: str, stem: str) -> str:
    """The path of a part's side table, below its dataset's folder."""
    return f"{side_folder(table)}/{stem}{ENDING}"


def table_of(path: str) -> str | None:
    """The side table that a path below a dataset's folder belongs to, in either layout; None for other files."""
    folder, _, name = path.rpartition("/")
    if not folder or "/" in folder or not name.endswith((ENDING, _OLDER_ENDING)):
        return None
    return folder.removeprefix("_")


def stem_of(path: str) -> str:
    """The stem by which a part and its side tables go together: `part-00000`."""
    name = path.rsplit("/", 1)[-1]
    return name.removesuffix(ENDING).removesuffix(_OLDER_ENDING)


def side_files(manifest: Mapping[str, Any], table: str) -> dict[str, str]:
    """{stem: path below the folder} of a side table's files, in the manifest's order."""
    return {stem_of(path): path for path in _paths(manifest.get("files", ())) if table_of(path) == table}


def _paths(entries: Iterable[Mapping[str, Any]]) -> Iterable[str]:
    return (entry["path"] for entry in entries)
