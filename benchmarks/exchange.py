"""Proves every export by reading it back with the library that it is for, and every import by comparing documents.

    python3 -m venv /tmp/peers
    /tmp/peers/bin/pip install torch mosaicml-streaming megatron-core 'datasets<5'
    python benchmarks/exchange.py SHARDS --tokenizer TOKENIZER --output /tmp/exchange --peers /tmp/peers/bin/python

For each format and unit the shards are exported, and the library (megatron-core's IndexedDataset, mosaicml-streaming's
LocalDataset and StreamingDataset, datasets' load_dataset, numpy.memmap) gives every item back in an interpreter of its
own, where the tokens are compared one by one: sequences in their order, documents as a multiset. What is expected is
put together here from the shards, by a plain loop and not by the exporter's code. The exported documents are then
imported, and the documents in the new shards compared with the old ones.

Prints a line for each: MB of tokens a second (4 bytes each, one worker, start-up left out) and bytes a token on disk.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np

FORMATS = ("megatron", "mds", "huggingface", "flat")
SIDES = ("", "validation")


def read_megatron(folder: Path, side: str, unit: str, eos: int) -> Iterator[np.ndarray]:
    from megatron.core.datasets.indexed_dataset import IndexedDataset

    for index in sorted((folder / side).glob("*.idx"), key=lambda path: path.stem):
        dataset = IndexedDataset(str(index.with_suffix("")))
        # A copy: its views are not valid once the dataset is gone.
        yield from (dataset[number].copy() for number in range(len(dataset)))


def read_mds(folder: Path, side: str, unit: str, eos: int) -> Iterator[np.ndarray]:
    from streaming import LocalDataset

    dataset = LocalDataset(str(folder), split=side or None)
    yield from (_without_padding(dataset[number], "tokens") for number in range(len(dataset)))


def read_mds_streaming(folder: Path, side: str, unit: str, eos: int) -> Iterator[np.ndarray]:
    from streaming import StreamingDataset

    options = {"shuffle": False, "batch_size": 1, "num_canonical_nodes": 1, "validate_hash": "xxh128"}
    dataset = StreamingDataset(local=str(folder), split=side or None, **options)
    yield from (_without_padding(sample, "tokens") for sample in dataset)


def read_huggingface(folder: Path, side: str, unit: str, eos: int) -> Iterator[np.ndarray]:
    from datasets import load_dataset

    cache = folder.with_name(f"{folder.name}-cache")
    dataset = load_dataset(str(folder), split=side or "train", cache_dir=str(cache)).with_format("numpy")
    yield from (_without_padding(row, "input_ids") for row in dataset)


def read_flat(folder: Path, side: str, unit: str, eos: int) -> Iterator[np.ndarray]:
    for path in sorted((folder / side).glob("*.bin"), key=lambda path: path.stem):
        metadata = json.loads(path.with_suffix(".json").read_text())
        tokens = np.memmap(path, dtype=metadata["dtype"], mode="r")
        cuts = np.flatnonzero(tokens == eos)[:-1] + 1 if unit == "document" else []
        yield from np.split(tokens, cuts)


READERS = {
    "megatron": [("IndexedDataset", read_megatron)],
    "mds": [("LocalDataset", read_mds), ("StreamingDataset", read_mds_streaming)],
    "huggingface": [("load_dataset", read_huggingface)],
    "flat": [("numpy.memmap", read_flat)],
}


def _without_padding(row: dict, column: str) -> np.ndarray:
    tokens = row[column]
    return tokens[: int(np.sum(row["segment_lengths"]))] if "segment_lengths" in row else tokens


def digest(tokens: np.ndarray) -> bytes:
    return hashlib.blake2b(np.ascontiguousarray(tokens, "<i4").tobytes(), digest_size=16).digest()


def compare(arguments: argparse.Namespace) -> None:
    """In the peers' interpreter: reads an export and compares; prints a line of JSON for each reader."""
    folder = Path(arguments.compare)
    expected = dict(np.load(arguments.expected))
    for name, reader in READERS[arguments.format]:
        started, read = time.monotonic(), 0
        for side in SIDES:
            if f"{side}tokens" not in expected:
                continue
            items = [np.asarray(item) for item in reader(folder, side, arguments.unit, int(expected["eos"]))]
            read += sum(len(item) for item in items)
            if arguments.unit == "sequence":
                assert np.array_equal(np.concatenate(items), expected[f"{side}tokens"]), f"tokens differ in {side}"
                if arguments.format != "flat":
                    lengths = expected[f"{side}lengths"]
                    assert np.array_equal([len(item) for item in items], lengths), f"lengths differ in {side}"
            else:
                digests = np.frombuffer(b"".join(sorted(digest(item) for item in items)), np.uint8)
                assert np.array_equal(digests, expected[f"{side}digests"]), f"documents differ in {side}"
        print(json.dumps({"reader": name, "seconds": time.monotonic() - started, "tokens": read}))


def expected_of(shards: Path) -> dict[str, np.ndarray]:
    """Tokens and lengths of all sequences, and sorted digests of all documents, by a plain loop over the shards."""
    from corpusmill.dataproc.sequences.shards import batch_tokens, list_shards, open_shard

    expected: dict[str, np.ndarray] = {}
    for side in SIDES:
        documents = defaultdict(list)
        tokens, lengths = [], []
        for path in list_shards(str(shards / side)):
            header, table = open_shard(path)
            expected["eos"] = np.array(header.special.eos)
            for batch in table.to_batches():
                for row, segments in zip(batch_tokens(header, batch), batch["segments"].to_pylist(), strict=True):
                    place = 0
                    for segment in segments:
                        piece = row[place : place + segment["length"]]
                        documents[segment["document"]].append((segment["start"], piece))
                        place += segment["length"]
                    tokens.append(row[:place])
                    lengths.append(place)
        if tokens:
            whole = [np.concatenate([p for _, p in sorted(d, key=lambda x: x[0])]) for d in documents.values()]
            expected[f"{side}tokens"] = np.concatenate(tokens)
            expected[f"{side}lengths"] = np.array(lengths)
            expected[f"{side}digests"] = np.frombuffer(b"".join(sorted(map(digest, whole))), np.uint8)
    return expected


def corpusmill(*line: str) -> None:
    done = subprocess.run([sys.executable, "-m", "corpusmill", *line, "--workers", "1"], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"corpusmill {' '.join(line)}: {done.stderr}")


def task_seconds(folder: Path) -> float:
    return sum(json.loads(path.read_text()).get("seconds", 0) for path in folder.glob("_state/*/*.json"))


def data_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and "_state" not in path.parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shards", nargs="?", help="a folder of token shards")
    parser.add_argument("--tokenizer", help="the tokenizer folder of the shards")
    parser.add_argument("--output", help="folder to make (removed first)")
    parser.add_argument("--peers", default=sys.executable, help="a Python that has the libraries")
    parser.add_argument("--formats", default=",".join(FORMATS), help="which of them")
    for name in ("--compare", "--expected", "--format", "--unit"):
        parser.add_argument(name, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.compare:
        compare(arguments)
        return
    shards, out = Path(arguments.shards), Path(arguments.output)
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    expected = expected_of(shards)
    np.savez(out / "expected.npz", **expected)
    tokens = sum(len(expected[f"{side}tokens"]) for side in SIDES if f"{side}tokens" in expected)
    megabytes = 4 * tokens / 1e6
    print(f"{tokens:,} tokens, {megabytes:.0f} MB at 4 bytes each")
    print(f"{'format':<12} {'unit':<9} {'what':<24} {'MB/s':>8} {'bytes a token':>14}")

    def line(kind: str, unit: str, what: str, seconds: float, size: int | None = None) -> None:
        space = f"{size / tokens:>14.2f}" if size is not None else ""
        print(f"{kind:<12} {unit:<9} {what:<24} {megabytes / seconds:>8.0f} {space}".rstrip(), flush=True)

    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"}
    for kind in arguments.formats.split(","):
        for unit in ("sequence", "document"):
            folder = out / f"{kind}-{unit}"
            corpusmill("export", str(shards), "--to", kind, "--unit", unit, "--output", str(folder))
            line(kind, unit, "export", task_seconds(folder), data_bytes(folder))
            args = ["--compare", str(folder), "--expected", str(out / "expected.npz"), "--format", kind, "--unit", unit]
            done = subprocess.run(
                [arguments.peers, __file__, *args], capture_output=True, text=True, cwd=out, env=environment
            )
            if done.returncode:
                raise SystemExit(f"{kind} {unit}: the library gives something else\n{done.stderr}")
            for read in (json.loads(text) for text in done.stdout.splitlines() if text.startswith("{")):
                assert read["tokens"] == tokens
                line(kind, unit, f"same by {read['reader']}", read["seconds"])
        back = out / f"{kind}-back"
        options = ["--format", kind, "--tokenizer", arguments.tokenizer, "--sequence-length", "4096"]
        corpusmill("import", str(out / f"{kind}-document"), *options, "--output", str(back))
        line(kind, "document", "import", task_seconds(back), data_bytes(back))
        again = expected_of(back)
        for side in SIDES:
            assert np.array_equal(again.get(f"{side}digests"), expected.get(f"{side}digests")), f"{kind}: not the same"
        print(f"{kind:<12} {'document':<9} same after import")


if __name__ == "__main__":
    main()
