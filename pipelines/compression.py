"""How well a tokenizer compresses: bytes per token by source, kind and language, with a round trip of every text."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dataproc.datasets import read_batches
from pipelines.datasets import list_parts
from tokenizer import Tokenizer

COLUMNS = ("source", "kind", "language")
Totals = dict[tuple[str, str], np.ndarray]


def measure_compression(tokenizer: Tokenizer, paths: Sequence[str]) -> tuple[Totals, int]:
    """({(column, value): [documents, bytes, tokens]}, texts that did not come back), a batch in memory at a time."""
    totals: Totals = defaultdict(lambda: np.zeros(3, np.int64))
    lost = 0
    for path in paths:
        for batch in read_batches(path, ["text", *COLUMNS]):
            text = batch.column("text")
            ids = tokenizer.encode(text)
            lost += _lost(tokenizer, text, ids)
            table = pa.table(
                {
                    **{column: batch.column(column).fill_null("unknown") for column in COLUMNS},
                    "bytes": pc.binary_length(text),
                    "tokens": pc.list_value_length(ids),
                }
            )
            for column in COLUMNS:
                grouped = table.group_by(column).aggregate([("bytes", "count"), ("bytes", "sum"), ("tokens", "sum")])
                for row in grouped.to_pylist():
                    counted = [row["bytes_count"], row["bytes_sum"], row["tokens_sum"]]
                    totals[column, row[column]] += np.array(counted, np.int64)
    return dict(totals), lost


def _lost(tokenizer: Tokenizer, text: pa.Array, ids: pa.Array) -> int:
    """Texts whose ids do not decode to their bytes; the batch as a whole is compared first."""
    if tokenizer.decode(ids.flatten().to_numpy()) == b"".join(each.encode() for each in text.to_pylist()):
        return 0
    pairs = zip(text.to_pylist(), ids.to_pylist(), strict=True)
    return sum(tokenizer.decode(np.array(numbers, np.int32)) != each.encode() for each, numbers in pairs)


def print_compression(folder: str, datasets: Sequence[str]) -> bool:
    """Prints the table; whether every text came back."""
    from rich.console import Console
    from rich.table import Table

    tokenizer = Tokenizer.load(folder)
    totals, lost = measure_compression(tokenizer, [part.path for part in list_parts(datasets, str)])
    table = Table(title=f"{folder}: {tokenizer.vocab_size:,} ids")
    for column in ("of", "", "documents", "bytes", "tokens", "bytes per token"):
        table.add_column(column, justify="left" if column in ("of", "") else "right")
    for (column, value), (documents, size, tokens) in sorted(totals.items()):
        per_token = f"{size / tokens:.3f}" if tokens else ""
        table.add_row(column, value, f"{documents:,}", f"{size:,}", f"{tokens:,}", per_token)
    console = Console(highlight=False)
    console.print(table)
    console.print("Every text came back from its ids." if not lost else f"{lost:,} texts did NOT come back.")
    return not lost
