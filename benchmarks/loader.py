"""Measures the shard loader beside a raw numpy memmap, mosaicml-streaming, litdata and Megatron's indexed dataset.

    python benchmarks/loader.py /tmp/road/shards --work /tmp/loader --peers-python /tmp/peers/bin/python

The peers are no dependencies of ours: `--peers-python` is the Python of a virtual environment with numpy, torch,
mosaicml-streaming, litdata and megatron-core. Without it only ours and the memmap run. Every contestant holds the
same sequences, written by its own writer from one array of tokens, and hands out shuffled int64 torch batches of
`--batch` sequences. Each measurement is a fresh process of this script (`--contestant NAME`), and contestants
alternate, so that what else the machine does falls on all of them.

    tokens/s      whole passes after a first one, at least `--seconds` of them: the page cache is warm
    first batch   from a fresh process, with the imports (from the process's start) and without
    resume        the same with the state of half a pass loaded; "exact" says that the batch is the one that followed
    same rows     a pass delivers every sequence once: sums of row hashes agree

"ours+segments" also asks each batch for the segment of each token, which the others do not know. The memmap and
Megatron's dataset are read by a stored permutation of rows. "mds" and "litdata" go through their loaders with no worker
processes; "mds-index" asks for rows by number, which spares its loader.

Then the global order is asked for its place 1,000,000,000 of a synthetic plan of 14.8T tokens, in a fresh process with
its kernels loaded, made from the groups of a shard set (`--no-plan` leaves it out).
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib import import_module
from importlib.machinery import ModuleSpec
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any

SEED = 1
PLAN_SEQUENCES = 3_600_000_000
PLAN_PLACE = 1_000_000_000
PLAN_SHARDS = 110_000
PLAN_TOKENS = (10_000 * 10**9, 4_300 * 10**9, 500 * 10**9)
PLAN_WEIGHTS = ((15, 10, 5, 10), (20, 8, 8, 4), (25, 10, 15, 5))
BAR_MEMMAP, BAR_STREAMING, BAR_RESUME_MS = 0.9, 5.0, 50.0


class ByNumber:
    """Rows by their number, in the order of a stored permutation; a place in it is the state."""

    batch: int
    count: int

    def rows(self, numbers: Any) -> Any:
        """int64 [B, L]."""
        raise NotImplementedError

    def epoch(self, number: int, first: int = 0) -> Iterator[Any]:
        import numpy as np

        order = np.random.default_rng([SEED, number]).permutation(self.count)
        for start in range(first, self.count - self.batch + 1, self.batch):
            yield self.rows(order[start : start + self.batch])

    def state(self, taken: int) -> dict[str, Any]:
        return {"first": taken * self.batch}

    def resume(self, state: dict[str, Any]) -> Iterator[Any]:
        return self.epoch(0, state["first"])


class ByLoader:
    """Batches from a library's own data loader."""

    loader: Any

    def epoch(self, number: int) -> Iterator[Any]:
        return iter(self.loader)

    def state(self, taken: int) -> dict[str, Any]:
        return self.loader.state_dict()

    def resume(self, state: dict[str, Any]) -> Iterator[Any]:
        self.loader.load_state_dict(state)
        return iter(self.loader)


class Ours:
    """Our shards, which are there already; they are read where they lie."""

    imports = ("corpusmill.training.loader.shard_loader",)

    def __init__(self, folder: Path, batch: int) -> None:
        from corpusmill.training.loader.shard_loader import ShardLoader

        self.loader = ShardLoader((folder / "shards").read_text(), batch, 0, 1, SEED)
        self.batches_an_epoch = len(self.loader.shards) // batch

    def epoch(self, number: int) -> Iterator[Any]:
        for batch in islice(self.loader, self.batches_an_epoch):
            yield batch.tokens

    def state(self, taken: int) -> dict[str, Any]:
        return self.loader.state()

    def resume(self, state: dict[str, Any]) -> Iterator[Any]:
        self.loader.load_state(state)
        return self.epoch(0)


class OursWithSegments(Ours):
    """Our shards, with the number of each token's segment."""

    def epoch(self, number: int) -> Iterator[Any]:
        for batch in islice(self.loader, self.batches_an_epoch):
            assert batch.segments.shape == batch.tokens.shape
            yield batch.tokens


class Memmap(ByNumber):
    """int32 rows in one file; the least that a loader can do."""

    imports = ("numpy", "torch")

    def __init__(self, folder: Path, batch: int) -> None:
        import numpy as np

        # the map as a plain array: the class `memmap` costs a tenth of the speed
        self.tokens = np.asarray(np.load(folder / "rows.npy", mmap_mode="r"))
        self.batch, self.count = batch, len(self.tokens)

    def rows(self, numbers: Any) -> Any:
        import numpy as np
        import torch

        return torch.from_numpy(self.tokens[numbers].astype(np.int64))


class Megatron(ByNumber):
    """Megatron-core's .bin and .idx, one sequence an item."""

    imports = ("megatron.core.datasets.indexed_dataset",)

    def __init__(self, folder: Path, batch: int) -> None:
        from megatron.core.datasets.indexed_dataset import IndexedDataset

        self.dataset = IndexedDataset(str(folder / "megatron"))
        self.batch, self.count = batch, len(self.dataset)

    @staticmethod
    def write(rows: Any, folder: Path) -> None:
        import torch
        from megatron.core.datasets.indexed_dataset import IndexedDatasetBuilder

        builder = IndexedDatasetBuilder(str(folder / "megatron.bin"))
        for row in rows:
            builder.add_item(torch.from_numpy(row.copy()))
            builder.end_document()
        builder.finalize(str(folder / "megatron.idx"))

    def rows(self, numbers: Any) -> Any:
        import numpy as np
        import torch

        return torch.from_numpy(np.stack([self.dataset[number] for number in numbers]).astype(np.int64))


def stack_mds(samples: list[dict[str, Any]]) -> Any:
    import numpy as np
    import torch

    return torch.from_numpy(np.stack([sample["tokens"] for sample in samples]).astype(np.int64))


def open_mds(folder: Path, batch: int) -> Any:
    from streaming import StreamingDataset
    from streaming.base.util import clean_stale_shared_memory

    clean_stale_shared_memory()
    place = str(folder / "mds")
    return StreamingDataset(local=place, shuffle=True, shuffle_seed=SEED, batch_size=batch, num_canonical_nodes=1)


class Mds(ByLoader):
    """mosaicml-streaming: MDS shards through its data loader."""

    imports = ("streaming", "streaming.base.dataloader")

    def __init__(self, folder: Path, batch: int) -> None:
        from streaming.base.dataloader import StreamingDataLoader

        options = {"batch_size": batch, "num_workers": 0, "drop_last": True, "collate_fn": stack_mds}
        self.loader = StreamingDataLoader(open_mds(folder, batch), **options)

    @staticmethod
    def write(rows: Any, folder: Path) -> None:
        from streaming import MDSWriter

        shutil.rmtree(folder / "mds", ignore_errors=True)
        with MDSWriter(out=str(folder / "mds"), columns={"tokens": f"ndarray:int32:{rows.shape[1]}"}) as writer:
            for row in rows:
                writer.write({"tokens": row})


class MdsIndex(ByNumber):
    """mosaicml-streaming: the same shards, rows by number."""

    imports = Mds.imports

    def __init__(self, folder: Path, batch: int) -> None:
        self.dataset = open_mds(folder, batch)
        self.batch, self.count = batch, len(self.dataset)

    def rows(self, numbers: Any) -> Any:
        return stack_mds([self.dataset[number] for number in numbers.tolist()])


def stack_litdata(samples: list[Any]) -> Any:
    import torch

    return torch.stack(samples).long()


class Litdata(ByLoader):
    """litdata: token chunks through its data loader."""

    imports = ("litdata", "litdata.streaming.item_loader")

    def __init__(self, folder: Path, batch: int) -> None:
        from litdata import StreamingDataLoader, StreamingDataset
        from litdata.streaming.item_loader import TokensLoader

        items = TokensLoader(int((folder / "length").read_text()))
        dataset = StreamingDataset(str(folder / "litdata"), item_loader=items, shuffle=True, seed=SEED)
        options = {"batch_size": batch, "num_workers": 0, "drop_last": True, "collate_fn": stack_litdata}
        self.loader = StreamingDataLoader(dataset, **options)

    @staticmethod
    def write(rows: Any, folder: Path) -> None:
        import numpy as np
        import torch
        from litdata import optimize
        from litdata.streaming.item_loader import TokensLoader

        def block(first: int) -> Iterator[Any]:
            for row in rows[first : first + 256]:
                yield torch.from_numpy(np.array(row))

        shutil.rmtree(folder / "litdata", ignore_errors=True)
        optimize(
            block,
            list(range(0, len(rows), 256)),
            str(folder / "litdata"),
            chunk_bytes="64MB",
            item_loader=TokensLoader(rows.shape[1]),
            num_workers=1,
            start_method="fork",  # `block` is defined here
            verbose=False,
        )


CONTESTANTS: dict[str, type[Any]] = {
    "ours": Ours,
    "ours+segments": OursWithSegments,
    "memmap": Memmap,
    "megatron": Megatron,
    "mds": Mds,
    "mds-index": MdsIndex,
    "litdata": Litdata,
}
OUR_PYTHON = ("ours", "ours+segments", "memmap")


def row_hash(batch: Any) -> int:
    """The sum, modulo 2^64, of a hash of each row: the same for the same rows in any order."""
    import numpy as np

    tokens = batch.numpy().astype(np.uint64)
    weights = np.random.default_rng(0).integers(1, 2**63, tokens.shape[1], dtype=np.uint64) * np.uint64(2) + np.uint64(
        1
    )
    hashes = (tokens * weights).sum(axis=1, dtype=np.uint64)
    hashes = (hashes ^ (hashes >> np.uint64(29))) * np.uint64(0x9E3779B97F4A7C15)
    return int((hashes ^ (hashes >> np.uint64(32))).sum(dtype=np.uint64))


def without_torchvision() -> None:
    """PyPI's torchvision does not import beside a CPU build of torch; streaming wants it for images only."""
    try:
        import_module("torchvision.datasets")
    except (ImportError, RuntimeError):
        for name in ("", ".datasets", ".transforms", ".transforms.functional"):
            module: Any = ModuleType("torchvision" + name)
            module.__spec__, module.__path__ = ModuleSpec(module.__name__, None), []
            module.VisionDataset, module.to_tensor = object, None
            sys.modules[module.__name__] = module


def perform(name: str, action: str, folder: Path, batch: int, started: float, seconds: float) -> dict[str, Any]:
    """One measurement, in this process. `started` is when the process was, on the monotonic clock."""
    kind = CONTESTANTS[name]
    state_file = folder / f"state-{name}.json"
    if "streaming" in kind.imports:
        without_torchvision()
    for module in kind.imports:
        import_module(module)
    if action == "write":
        import numpy as np

        kind.write(np.load(folder / "rows.npy", mmap_mode="r"), folder)
        return {}
    imported = time.monotonic()
    if action in ("first", "resume"):
        reader = kind(folder, batch)
        if action == "first":
            tokens = next(reader.epoch(0))
        else:
            tokens = next(reader.resume(json.loads(state_file.read_text())))
        done = time.monotonic()
        return {"alone": done - imported, "whole": done - started, "hash": row_hash(tokens)}
    reader = kind(folder, batch)
    if action == "check":
        total = rows = 0
        for tokens in reader.epoch(0):
            total, rows = (total + row_hash(tokens)) % 2**64, rows + len(tokens)
        return {"hash": total, "rows": rows}
    if action == "save":
        half = int((folder / "batches").read_text()) // 2
        batches = reader.epoch(0)
        for _ in range(half):
            next(batches)
        state_file.write_text(json.dumps(reader.state(half)))
        return {"hash": row_hash(next(batches))}
    for _ in reader.epoch(0):
        pass
    tokens_read, epoch, begun = 0, 1, time.perf_counter()
    while (passed := time.perf_counter() - begun) < seconds or not tokens_read:
        tokens_read += sum(tokens.numel() for tokens in reader.epoch(epoch))
        epoch += 1
    return {"rate": tokens_read / passed}


def resume_far(repeats: int) -> dict[str, list[float]]:
    """Milliseconds from nothing to the first rows at `PLAN_PLACE`, by where the order comes from."""
    from corpusmill.dataproc.sequences.shards import ShardEntry
    from corpusmill.training.order import sequence_order as order
    from corpusmill.training.order.plan import Phase, Plan
    from corpusmill.training.order.sequence_order import SequenceOrder

    groups = [f"{name}:{bucket}" for name in ("web", "code", "book", "math", "docs") for bucket in ("0-4096", "4097-")]
    rows = PLAN_SEQUENCES // PLAN_SHARDS
    # windows write a shard of each group in turn, so that no two neighbours are of one group
    entries = [
        ShardEntry(f"shard-{number:06d}.arrow", rows, groups[number % len(groups)], 0, "", 0)
        for number in range(PLAN_SHARDS)
    ]
    together = sorted(entries, key=lambda entry: entry.group)

    def plan(turn: int) -> Plan:
        names = ("web", "code", "book", "math", "docs")
        mixtures = [dict(zip(names, (60 + turn, *rest), strict=True)) for rest in PLAN_WEIGHTS]
        return Plan(tuple(Phase(mix, tokens) for mix, tokens in zip(mixtures, PLAN_TOKENS, strict=True)))

    times: dict[str, list[float]] = {}
    for turn in range(repeats + 1):
        for name, shards in (("grouped together", together), ("groups in turn", entries)):
            text = SequenceOrder.of_entries(shards, 4096, turn, plan(turn)).to_json()
            ways = {
                f"plan.json, {name}": lambda text=text: SequenceOrder.from_json(text),
                f"{PLAN_SHARDS:,} shards, {name}": lambda shards=shards, turn=turn: SequenceOrder.of_entries(
                    shards, 4096, turn, plan(turn)
                ),
            }
            for label, way in ways.items():
                order._schedule.cache_clear()  # a fresh process has made no schedule yet
                started = time.perf_counter()
                way().rows(PLAN_PLACE, 8)
                if turn:  # the first one loads the kernels
                    times.setdefault(label, []).append((time.perf_counter() - started) * 1e3)
    return times


def measure(arguments: argparse.Namespace, name: str, action: str, batch: int) -> dict[str, Any]:
    """`perform` in a fresh process of the contestant's own Python."""
    python = sys.executable if name in OUR_PYTHON else arguments.peers_python
    line = [python, __file__, arguments.shards, "--work", arguments.work, "--batch", str(batch)]
    line += ["--contestant", name, "--action", action, "--seconds", str(arguments.seconds)]
    line += ["--repeats", str(arguments.repeats), "--started", repr(time.monotonic())]
    root = str(Path(__file__).resolve().parent.parent / "src")
    done = subprocess.run(line, capture_output=True, text=True, timeout=300, env={**os.environ, "PYTHONPATH": root})
    if done.returncode:
        raise SystemExit(f"{name} {action} ended with {done.returncode}\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def prepare(shards: str, folder: Path, batch: int) -> tuple[int, int]:
    """The one array of tokens that all peers write their files from; gives its shape."""
    import numpy as np

    from corpusmill.training.loader.shard_loader import ShardSet

    source = ShardSet(shards)
    shape = (len(source), source.sequence_length)
    folder.mkdir(parents=True, exist_ok=True)
    rows = np.lib.format.open_memmap(folder / "rows.npy", "w+", np.int32, shape)
    for first in range(0, shape[0], 1024):
        chosen = np.arange(first, min(first + 1024, shape[0]))
        rows[chosen] = source.read(chosen).tokens.numpy()
    rows.flush()
    (folder / "shards").write_text(str(Path(shards).resolve()))
    (folder / "batches").write_text(str(shape[0] // batch))
    (folder / "length").write_text(str(shape[1]))
    return shape


def race(arguments: argparse.Namespace) -> None:
    """All contestants, alternating; prints the table and how it stands with the bars."""
    sequences, length = prepare(arguments.shards, Path(arguments.work), arguments.batch)
    print(f"{sequences:,} sequences of {length:,} tokens, batches of {arguments.batch}, {arguments.repeats} repeats")
    names = [name for name in CONTESTANTS if name in OUR_PYTHON or arguments.peers_python]
    for name in names:
        if hasattr(CONTESTANTS[name], "write"):
            measure(arguments, name, "write", arguments.batch)
    results: dict[str, dict[str, list[Any]]] = {name: {} for name in names}
    # a batch that divides the rows, so that a pass has no rest
    divisor = max(size for size in range(1, arguments.batch + 1) if sequences % size == 0)
    for name in names:
        results[name]["check"] = [measure(arguments, name, "check", divisor)]
        results[name]["save"] = [measure(arguments, name, "save", arguments.batch)]
    for _ in range(arguments.repeats):
        for action in ("rate", "first", "resume"):
            for name in names:
                results[name].setdefault(action, []).append(measure(arguments, name, action, arguments.batch))

    def median(name: str, action: str, key: str) -> float:
        return statistics.median(result[key] for result in results[name][action])

    print(f"{'':<14} {'Mtokens/s':>10} {'of memmap':>10} {'first batch ms':>15} {'with imports':>13} ", end="")
    print(f"{'resume ms':>10} {'with imports':>13} {'exact':>6} {'same rows':>10}")
    for name in names:
        ratios = [
            ours["rate"] / raw["rate"]
            for ours, raw in zip(results[name]["rate"], results["memmap"]["rate"], strict=True)
        ]
        exact = {result["hash"] for result in results[name]["resume"]} == {results[name]["save"][0]["hash"]}
        same = results[name]["check"] == results["memmap"]["check"]
        print(
            f"{name:<14} {median(name, 'rate', 'rate') / 1e6:>10,.1f} {statistics.median(ratios):>10.3f} "
            f"{median(name, 'first', 'alone') * 1e3:>15,.1f} {median(name, 'first', 'whole') * 1e3:>13,.0f} "
            f"{median(name, 'resume', 'alone') * 1e3:>10,.1f} {median(name, 'resume', 'whole') * 1e3:>13,.0f} "
            f"{'yes' if exact else 'no':>6} {'yes' if same else 'no':>10}",
            flush=True,
        )
    standings = {
        ("memmap",): BAR_MEMMAP,
        ("megatron",): None,
        ("mds", "mds-index"): BAR_STREAMING,
        ("litdata",): BAR_STREAMING,
    }
    for peers, bar in standings.items():
        if not set(peers) <= set(results):
            continue
        fastest = [max(results[name]["rate"][turn]["rate"] for name in peers) for turn in range(arguments.repeats)]
        ratios = [ours["rate"] / peer for ours, peer in zip(results["ours"]["rate"], fastest, strict=True)]
        print(
            f"ours / {' or '.join(peers)}: {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
            + (f", bar {bar}" if bar else "")
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shards", help="a shard set")
    parser.add_argument("--work", required=True, help="folder for the contestants' files")
    parser.add_argument("--peers-python", help="a Python with the peers")
    parser.add_argument("--batch", type=int, default=8, help="sequences of a batch")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of one measurement of speed, at least")
    parser.add_argument("--no-plan", action="store_true", help="leave out the synthetic plan")
    parser.add_argument("--contestant", choices=CONTESTANTS, help=argparse.SUPPRESS)
    parser.add_argument("--action", help=argparse.SUPPRESS)
    parser.add_argument("--started", type=float, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.action == "plan":
        print(json.dumps(resume_far(arguments.repeats)))
        return
    if arguments.contestant:
        result = perform(
            arguments.contestant,
            arguments.action,
            Path(arguments.work),
            arguments.batch,
            arguments.started,
            arguments.seconds,
        )
        print(json.dumps(result), flush=True)
        os._exit(0)  # what the peers do at their end is not measured
    race(arguments)
    if not arguments.no_plan:
        print(f"\nrows at place {PLAN_PLACE:,} of {PLAN_SEQUENCES:,}, ms (bar {BAR_RESUME_MS:.0f})")
        for name, values in measure(arguments, "ours", "plan", arguments.batch).items():
            print(f"{name:<34} {statistics.median(values):8.1f} ({min(values):.1f} to {max(values):.1f})")


if __name__ == "__main__":
    main()
