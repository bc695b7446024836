"""What a document is: one row with these columns, in a dataset of Parquet parts.

`id` is unique and stays with the document from the raw file to a training step; where the input has none it is
`<source>/<path>#<record>`. Inside a stage a document is addressed by 64 bits, part number above row number, valid
against the digests of the dataset's manifest.
"""

import numpy as np
import pyarrow as pa

SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("text", pa.large_string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("language", pa.string()),
        pa.field("url", pa.string()),
        pa.field("meta", pa.string()),
    ]
)
"""Columns that every dataset of documents has, in this order. Stages add columns and keep those they don't know."""

QUARANTINE_SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("place", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("text", pa.large_string()),
        pa.field("records", pa.int64(), nullable=False),
    ]
)
"""A record that could not be processed: its id (or file), the place in the file, why, its text if it has one, and how
many records the row stands for: 1, or what is known of a stretch of a file, or 0 where only a column was lost."""

LEDGER_SCHEMA = pa.schema(
    [("id", pa.string()), ("rule", pa.string()), ("value", pa.float64()), ("threshold", pa.float64())]
)
"""A row for each rule that a document broke: its id, the rule, the document's value, the threshold that it passed."""

REWRITES_SCHEMA = pa.schema(
    [("id", pa.string()), ("rule", pa.string()), ("bytes_before", pa.int64()), ("bytes_after", pa.int64())]
)
"""A row for each rule that rewrote a document that is kept: the bytes of its text before and after."""

ROW_BITS = 32


def address(part: int, rows: np.ndarray) -> np.ndarray:
    """64-bit addresses (uint64) of rows of a part: part number in the upper 32 bits, row in the lower."""
    return (np.uint64(part) << np.uint64(ROW_BITS)) | rows.astype(np.uint64)


def split_address(addresses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(part, row) of addresses, both int64."""
    values = addresses.astype(np.uint64)
    return (values >> np.uint64(ROW_BITS)).astype(np.int64), (values & np.uint64(0xFFFFFFFF)).astype(np.int64)
