"""The card of a dataset: what a folder holds and how it was made, for people and for `datasets.load_dataset`.

    _README.md          for people; with its front matter it is a dataset card of the Hugging Face Hub
    .huggingface.yaml   the same front matter by itself, which `load_dataset(folder)` reads

The card is not called `README.md`: pandas, pyarrow and Polars read every file of a folder that does not begin with `_`
or `.`, and would take it for a damaged part. Both files follow from the manifests alone and are written before the
folder's own, which does not list them: they can be made again at any time.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from corpusmill.dataproc.sequences.shard_folder import VALIDATION, is_held_back
from corpusmill.dataproc.side_tables import ENDING, side_folder, table_of
from corpusmill.pipelines.engine.lineage import ancestors
from corpusmill.pipelines.yaml_text import dump_yaml

CARD, CONFIGS = "_README.md", ".huggingface.yaml"
MOST_ROWS = 20
"""Rows of a table before the rest is only counted."""

ABOUT = {
    "rejected": "documents that were not kept, with the rules that they broke",
    "ledger": "a row for each rule that a document broke: its value and the threshold",
    "statistics": "what was measured of every document that came in",
    "rewrites": "which rules changed the text of kept documents",
    "duplicates": "removed documents, each with the one that was kept for it",
    "dropped": "documents that the mixture left out",
    "spans": "repeated stretches of text, and where each stood first",
    "hits": "places in documents where an item of an evaluation set stands",
    "items": "the items of evaluation sets, and how many documents hold them",
    "quarantine": "records that could not be processed, and why",
    "repositories": "what became of each repository",
}
"""What is in the side tables of our stages."""


def cards(folder: str, manifest: Mapping[str, Any]) -> dict[str, bytes]:
    """{name: content} of the card's files; none for a folder of neither Parquet parts nor token shards."""
    parts = manifest["parts"]
    if parts and all(part["path"].endswith(".arrow") for part in parts):
        matter = {"configs": _shard_configs(manifest)}
    elif parts and all(part["path"].endswith(".parquet") for part in parts):
        matter = {"configs": _table_configs(manifest)}
    else:
        return {}
    configs = dump_yaml(matter)
    text = f"---\n{configs}---\n\n{_text(folder, manifest)}"
    return {CARD: text.encode("utf-8", "backslashreplace"), CONFIGS: configs.encode()}


def _tables(manifest: Mapping[str, Any]) -> dict[str, int]:
    """Rows of each side table that has any: `load_dataset` refuses one without."""
    rows: Counter[str] = Counter()
    for entry in manifest["files"]:
        if (table := table_of(entry["path"])) and entry["path"].endswith(ENDING):
            rows[table] += entry.get("rows", 0)
    return {table: count for table, count in sorted(rows.items()) if count}


def _table_configs(manifest: Mapping[str, Any]) -> list[dict[str, Any]]:
    default = {"config_name": "default", "default": True, "data_files": "part-*.parquet"}
    beside = [{"config_name": table, "data_files": f"{side_folder(table)}/*{ENDING}"} for table in _tables(manifest)]
    return [default, *beside]


def _shard_configs(manifest: Mapping[str, Any]) -> list[dict[str, Any]]:
    files = [{"split": "train", "path": "shard-*.arrow"}]
    if any(is_held_back(entry["path"]) for entry in manifest["files"]):
        files.append({"split": "validation", "path": f"{VALIDATION}/shard-*.arrow"})
    return [{"config_name": "default", "default": True, "data_files": files}]


def _text(folder: str, manifest: Mapping[str, Any]) -> str:
    parts = manifest["parts"]
    rows, size = (sum(part.get(key, 0) for part in parts) for key in ("rows", "bytes"))
    shards = parts[0]["path"].endswith(".arrow")
    tokens = sum(part.get("tokens", 0) for part in parts)
    unit = f"sequences, {tokens:,} tokens" if shards else "documents" if "sources" in parts[0] else "rows"
    what = "Token shards" if shards else "Documents" if "sources" in parts[0] else "Rows"
    blocks = [  # without the folder's name: the same work gives the same bytes wherever it is done
        f"# {what} made by corpusmill {manifest['stage']}",
        f"{rows:,} {unit}, {len(parts):,} files, {size:,} bytes on disk. Made by corpusmill {manifest['corpusmill']}.",
        "## How to read it\n\n" + (_READ_SHARDS if shards else _READ_PARTS),
    ]
    for key, heading in (("sources", "Sources"), ("languages", "Languages"), ("licenses", "Licences")):
        counted: Counter[str] = Counter()
        for part in parts:
            counted.update(part.get(key, {}))
        if counted:
            ordered = sorted(counted.items(), key=lambda item: (-item[1], item[0]))
            blocks.append(f"## {heading}\n\n" + _table(("name", "documents"), ordered))
    if tables := _tables(manifest):
        lines = [(f"`{side_folder(table)}/`", f"{count:,}", ABOUT.get(table, "")) for table, count in tables.items()]
        blocks.append("## Side tables\n\n" + _table(("folder", "rows", "what it holds"), lines))
    blocks.append("## How it was made\n\n" + _made(folder, manifest))
    return "\n\n".join(blocks) + "\n"


_READ_PARTS = """\
```python
pandas.read_parquet(folder)                   # the documents; also pyarrow.dataset.dataset(folder)
polars.read_parquet(f"{folder}/*.parquet")    # also DuckDB: SELECT * FROM 'folder/**/*.parquet'
datasets.load_dataset(folder)                 # a side table: load_dataset(folder, "rejected")
pandas.read_parquet(f"{folder}/_rejected")    # where there is one
```"""

_READ_SHARDS = """\
```python
corpusmill.ShardLoader(folder, …)             # batches for training, resumable
datasets.load_dataset(folder)                 # rows of tokens and segments, split "train" (and "validation")
pyarrow.dataset.dataset(folder, format="ipc")
```

`corpusmill inspect sample FOLDER` shows sequences as text."""


def _made(folder: str, manifest: Mapping[str, Any]) -> str:
    counts = [(name.replace("_", " "), f"{count:,}") for name, count in manifest["counts"].items()]
    settings = dump_yaml(dict(manifest["settings"]), sort_keys=True)
    lines = []
    for depth, name, made in ancestors(folder, manifest):
        by = f", made by `{made['stage']}`" if made else ""
        lines.append(f"{'  ' * (depth - 1)}- {_cell(name)}{by}")
    more = len(lines) - 5 * MOST_ROWS
    if more > 0:
        lines = [*lines[: 5 * MOST_ROWS], f"- … and {more:,} more"]
    fence = _fence(settings)
    return "\n\n".join(
        [
            _table(("count", "documents"), counts),
            f"Settings of `{manifest['stage']}`, seed {manifest['seed']}:\n\n{fence}yaml\n{settings}{fence}",
            "It was made of:\n\n" + "\n".join(lines),
        ]
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    shown = [tuple(_cell(value) for value in row) for row in rows[:MOST_ROWS]]
    if len(rows) > MOST_ROWS:
        shown.append((f"… and {len(rows) - MOST_ROWS:,} more", *[""] * (len(head) - 1)))
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *shown))


def _cell(value: Any) -> str:
    """A value on one line, without what Markdown or HTML would make of it; numbers with commas."""
    if isinstance(value, int):
        return f"{value:,}"
    text = "".join(char if char.isprintable() else f"\\u{ord(char):04x}" for char in str(value))
    return text.replace("&", "&amp;").replace("<", "&lt;").replace("|", "\\|")


def _fence(text: str) -> str:
    """Backticks that do not occur in the text."""
    fence = "```"
    while fence in text:
        fence += "`"
    return fence
