"""Time and memory of `inspect diff` over two generated datasets, or two shard sets, none of whose files are the same.

    python benchmarks/diff.py datasets FOLDER --rows 10000000
    python benchmarks/diff.py shards FOLDER --sequences 1000000 --length 512

The second dataset lacks each hundredth document of the first, changes the text of the next one, and has as many that
are new, in another order of parts; the counts are compared with that. Datasets in FOLDER that are there already are
used again. The command runs in a process of its own; its peak is that of the process.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.dataproc import storage
from corpusmill.dataproc.datasets import PartWriter
from corpusmill.dataproc.documents import SCHEMA
from corpusmill.dataproc.sequences.shards import ShardHeader, SpecialIds, segment_column, shard_name, write_shard
from corpusmill.pipelines.engine import state

PART_ROWS = 500_000
SHARD_SEQUENCES = 16_384
SEGMENTS = 3
SOURCES = pa.array([f"source-{number}" for number in range(20)])
LANGUAGES = pa.array(["en", "de", "zh", None])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["datasets", "shards"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--sequences", type=int, default=1_000_000)
    parser.add_argument("--length", type=int, default=512)
    options = parser.parse_args()
    folders = [options.folder / name for name in ("first", "second")]
    for number, folder in enumerate(folders):
        if (folder / state.MANIFEST).exists():
            continue
        if options.what == "datasets":
            write_dataset(folder, options.rows, changed=bool(number))
        else:
            write_shards(folder, options.sequences, options.length, changed=bool(number))
    size = sum(path.stat().st_size for folder in folders for path in folder.iterdir())
    started = time.perf_counter()
    command = [sys.executable, "-m", "corpusmill", "inspect", "diff", *map(str, folders), "--json"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    values = json.loads(done.stdout)
    if options.what == "datasets":
        hundredth = len(range(0, options.rows, 100))
        fates = {"same": options.rows - 2 * hundredth, "changed": hundredth, "gone": hundredth, "new": hundredth}
        assert values["counts"] == fates, values["counts"]
        print(f"{options.rows:,} documents against as many: {values['counts']}")
    else:
        hundredth = len(range(0, options.sequences, 100))
        assert values["order"]["only_first"] == values["order"]["only_second"] == hundredth, values["order"]
        print(f"{options.sequences:,} sequences of {options.length} against as many: {values['order']}")
    print(f"{size / 1e6:,.0f} MB of files, {seconds:.1f} s, peak {peak:,.0f} MiB")


def write_dataset(folder: Path, rows: int, *, changed: bool) -> None:
    """Documents of about 150 bytes; the second dataset has its parts from the last to the first."""
    entries = []
    starts = list(range(0, rows, PART_ROWS))
    for part, start in enumerate(reversed(starts) if changed else starts):
        numbers = np.arange(start, min(start + PART_ROWS, rows))
        kind = numbers % 100
        named = np.where((kind == 0) & changed, numbers + rows, numbers)
        version = np.where((kind == 1) & changed, 1, 0)
        with PartWriter(str(folder), f"part-{part:05d}", SCHEMA, part_bytes=1 << 62) as writer:
            for at in range(0, len(numbers), 50_000):
                writer.write(documents(named[at : at + 50_000], version[at : at + 50_000]))
        entries += writer.parts
    write_manifest(folder, "ingest", entries, {"documents_in": rows, "kept": rows, "quarantined": 0})


def documents(numbers: np.ndarray, version: np.ndarray) -> pa.RecordBatch:
    """A batch, of numbers alone."""
    spelled = pa.array(numbers).cast(pa.string())
    words = [pa.array((numbers * factor) % 999_983).cast(pa.string()) for factor in (7, 31, 101, 997, 65_537, 99_991)]
    said = pc.binary_join_element_wise(
        "A document of numbers, version", pa.array(version).cast(pa.string()), *words, " "
    )
    columns = {
        "id": pc.binary_join_element_wise("generated/file.jsonl#", spelled, ""),
        "text": pc.binary_join_element_wise(said, said, "\n").cast(pa.large_string()),
        "source": SOURCES.take(pa.array(numbers % len(SOURCES))),
        "kind": pa.repeat(pa.scalar("web"), len(numbers)),
        "language": LANGUAGES.take(pa.array(numbers % len(LANGUAGES))),
        "url": pc.binary_join_element_wise("https://example.org/", spelled, ""),
        "meta": pa.nulls(len(numbers), pa.string()),
    }
    return pa.RecordBatch.from_arrays(
        [columns[name].cast(SCHEMA.field(name).type) for name in SCHEMA.names], schema=SCHEMA
    )


def write_shards(folder: Path, sequences: int, length: int, *, changed: bool) -> None:
    """Sequences of three segments; in the second set each hundredth is another one, and the last shard comes first."""
    header = ShardHeader("0" * 32, length, SpecialIds(eos=1, pad=2), 50_000, 50_176, seed=0)
    entries = []
    starts = list(range(0, sequences, SHARD_SEQUENCES))
    for shard, start in enumerate(reversed(starts) if changed else starts):
        numbers = np.arange(start, min(start + SHARD_SEQUENCES, sequences))
        named = np.where((numbers % 100 == 0) & changed, numbers + sequences, numbers)
        tokens = (named[:, None] * 7919 + np.arange(length) * 31) % 49_000 + 3
        tokens[:, 0], tokens[:, 1] = named // 40_000 + 3, named % 40_000 + 3  # no two are the same
        count = len(numbers)
        spelled = pa.array(np.repeat(named, SEGMENTS) * SEGMENTS + np.tile(np.arange(SEGMENTS), count)).cast(
            pa.string()
        )
        lengths = np.tile([length // 3, length // 3, length - 2 * (length // 3)], count).astype(np.int32)
        segments = segment_column(
            np.arange(count + 1) * SEGMENTS,
            pc.binary_join_element_wise("generated#", spelled, ""),
            SOURCES.take(pa.array(np.repeat(named, SEGMENTS) % len(SOURCES))),
            np.zeros(count * SEGMENTS, np.int64),
            lengths,
            np.zeros(count * SEGMENTS, bool),
        )
        name = shard_name(shard)
        size, digest = write_shard(str(folder / name), header, tokens.astype(np.int32), segments)
        entries.append({"path": name, "rows": count, "bytes": size, "digest": digest, "tokens": count * length})
    write_manifest(folder, "pack", entries, {"sequences": sequences})


def write_manifest(folder: Path, stage: str, parts: list[dict[str, object]], counts: dict[str, int]) -> None:
    about = {"schema": state.SCHEMA_VERSION, "corpusmill": "benchmark", "stage": stage, "stage_version": 1, "seed": 0}
    rest = {"settings": {}, "inputs": {}, "counts": counts, "parts": parts, "files": [], "facts": {}}
    storage.commit_bytes(str(folder / state.MANIFEST), state.to_json(about | rest))


if __name__ == "__main__":
    main()
