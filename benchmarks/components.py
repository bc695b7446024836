"""Connected components of a hard graph, both ways: in core by union-find, out of core by stars; seconds and memory.

    python benchmarks/components.py [--edges 100000000] [--giant] [--workers 2] [--memory 512] [--output FOLDER]

With `--giant` the graph is one component, of a tenth as many nodes: a chain through all of them, and edges drawn at
random. Without it, of the edges, half are ten long chains (what makes label propagation slow), a tenth is one star
(what makes a reducer large), and the rest are drawn at random over as many nodes, which gives one giant component of
about 80 % of them and many small ones. Node numbers are permuted over all addresses, so neither a chain nor the star
has any order. Edges lie in files of up to 4 million; consecutive edges of a chain lie in different files, so no block
of input holds a piece of one. A contestant is a process of its own: peak resident memory is the process's (in core), or
that of the largest of the workers and the driver, each by itself (out of core), and workers above the bound would be
ended by the engine.

The labels of both are held against each other by digests of all addresses and of all labels in rising order. Disk: 16
bytes an edge, and out of core at its peak about 55 more. Generating takes 12 bytes a node of memory.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

CHAINS = 10
FILE_EDGES = 4_000_000
ROWS_A_PART = 50_000


def generate_giant(folder: Path, edges: int, seed: int) -> None:
    """Writes the files of one component: a chain through a tenth as many nodes as there are edges, and random edges."""
    # the benchmark's own draw, as below
    draw = np.random.default_rng(seed)
    nodes = draw.permutation(np.arange(edges // 10, dtype=np.uint32))
    files = -(-edges // FILE_EDGES)
    for number in range(files):
        link = np.arange(number, len(nodes) - 1, files)
        ends = draw.integers(0, len(nodes), (2, len(range(number, edges - len(nodes) + 1, files))))
        left, right = (np.concatenate(pair) for pair in ((link, ends[0]), (link + 1, ends[1])))
        order = draw.permutation(len(left))
        write_edges(folder, number, nodes[left[order]], nodes[right[order]])


def write_edges(folder: Path, number: int, left: np.ndarray, right: np.ndarray) -> None:
    """One file of the graph."""
    columns = {name: address_of(nodes.astype(np.uint64)) for name, nodes in (("left", left), ("right", right))}
    table = pa.table(columns)
    with pa.ipc.new_file(str(folder / f"edges-{number:04d}.arrow"), table.schema) as writer:
        writer.write_table(table, max_chunksize=1 << 18)


def generate(folder: Path, edges: int, seed: int) -> None:
    """Writes the graph's files."""
    # the benchmark's own draw: nothing that the product makes depends on it
    draw = np.random.default_rng(seed)
    star, chain = edges // 10, edges // 2
    rest = edges - star - chain
    nodes = draw.permutation(np.arange(chain + CHAINS + star + 1 + rest, dtype=np.uint32))
    chain_starts = np.linspace(0, chain + CHAINS, CHAINS + 1).astype(np.int64)
    files = -(-edges // FILE_EDGES)
    for number in range(files):
        link = np.arange(number, chain + CHAINS - 1, files)
        link = link[~np.isin(link + 1, chain_starts)]  # the last node of a chain is not joined to the next chain
        leaf = np.arange(number, star, files) + chain + CHAINS + 1
        random_ends = draw.integers(chain + CHAINS + star + 1, len(nodes), (2, len(range(number, rest, files))))
        left = nodes[np.concatenate([link, np.full(len(leaf), chain + CHAINS), random_ends[0]])]
        right = nodes[np.concatenate([link + 1, leaf, random_ends[1]])]
        order = draw.permutation(len(left))
        write_edges(folder, number, left[order], right[order])


def address_of(nodes: np.ndarray) -> np.ndarray:
    """Addresses as documents have them: part above row."""
    rows = np.uint64(ROWS_A_PART)
    return (nodes // rows << np.uint64(32)) + nodes % rows


class Digests:
    """Digests of all addresses and all labels, taken piece by piece."""

    def __init__(self) -> None:
        import xxhash

        self._states = xxhash.xxh3_128(), xxhash.xxh3_128()
        self.nodes = self.components = 0

    def add(self, addresses: np.ndarray, labels: np.ndarray) -> None:
        for start in range(0, len(addresses), 1 << 20):
            a, b = addresses[start : start + (1 << 20)], labels[start : start + (1 << 20)]
            self._states[0].update(np.ascontiguousarray(a))
            self._states[1].update(np.ascontiguousarray(b))
            self.components += int((a == b).sum())
        self.nodes += len(addresses)

    def summary(self) -> dict[str, Any]:
        digest = " ".join(state.hexdigest() for state in self._states)
        return {"nodes": self.nodes, "components": self.components, "digest": digest}


def edge_paths(folder: Path) -> list[str]:
    return sorted(map(str, folder.glob("edges-*.arrow")))


def peak_bytes() -> int:
    """The most that this process, or any one of its children, ever held."""
    peaks = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return max(peaks) << 10


def cpu_seconds() -> float:
    """Of this process and of its children that have ended: what a machine that others use does not change."""
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in spent)


def compile_steps() -> None:
    """Compiles every kernel of both ways, so that neither pays for it."""
    from corpusmill.dataproc.dedup.components import components
    from corpusmill.dataproc.dedup.routed import by_hash
    from corpusmill.dataproc.dedup.stars import SmallestNeighbours

    nodes = np.arange(3, dtype=np.uint64)
    components(nodes, nodes[::-1].copy())
    SmallestNeighbours([(nodes, nodes)], slots=2).smallest(nodes)  # grows, too
    by_hash(2)(nodes)


def in_core(folder: Path) -> dict[str, Any]:
    from corpusmill.dataproc.dedup.components import components_of_files

    compile_steps()
    started, cpu = time.perf_counter(), cpu_seconds()
    addresses, labels = components_of_files(edge_paths(folder))
    seconds, cpu = time.perf_counter() - started, cpu_seconds() - cpu
    peak = peak_bytes()
    digests = Digests()
    digests.add(addresses, labels)
    return {"seconds": seconds, "cpu": cpu, "peak": peak, "rounds": "", **digests.summary()}


def out_of_core(folder: Path, edges: int, workers: int, memory_bytes: int) -> dict[str, Any]:
    from corpusmill.pipelines.engine.executor import make_executor
    from corpusmill.pipelines.engine.stage import Session, Stage, StageRun, StageSettings, Summary, run_stage
    from corpusmill.pipelines.stages.dedup.stars import ComponentFiles, run_stars

    result: dict[str, Any] = {}
    compile_steps()
    before = cpu_seconds()

    class Stars(Stage):
        name = "stars"
        Settings = StageSettings
        over_documents = False

        def inputs(self) -> dict[str, Any]:
            return {}

        def phases(self) -> list:
            return []

        def run(self, run: StageRun) -> Summary:
            started = time.perf_counter()
            done: ComponentFiles = run_stars(run, edge_paths(folder), edges=edges, memory_bytes=memory_bytes)
            result["seconds"] = time.perf_counter() - started
            print(f"edges before and after each round: {done.edges}, files: {len(done.files)}", file=sys.stderr)
            digests = Digests()
            for entry in done.files:
                with pa.memory_map(entry["path"]) as file:
                    table = pa.ipc.open_file(file).read_all()
                    digests.add(*(table[name].to_numpy() for name in ("address", "label")))
            result.update(rounds=done.rounds, **digests.summary())
            return Summary(counts={})

    make = partial(make_executor, "local", workers=workers, memory_per_worker=memory_bytes)
    with Session(make_executor=make) as session:
        session.executor(kernels=("road", "spans"))
        run_stage(Stars(StageSettings()), str(folder / "out"), session)
    return result | {"peak": peak_bytes(), "cpu": cpu_seconds() - before}  # children count once they have ended


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--edges", type=int, default=100_000_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--memory", type=int, default=512, help="of a worker out of core, MiB")
    parser.add_argument("--output", type=Path, help="a folder for the graph, which is kept; else a temporary one")
    parser.add_argument("--giant", action="store_true", help="one component")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--step", choices=["generate", "core", "stars"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.step == "generate":
        make = generate_giant if arguments.giant else generate
        make(arguments.output, arguments.edges, arguments.seed)
    elif arguments.step == "core":
        print(json.dumps(in_core(arguments.output)))
    elif arguments.step == "stars":
        print(json.dumps(out_of_core(arguments.output, arguments.edges, arguments.workers, arguments.memory << 20)))
    elif arguments.output:
        arguments.output.mkdir(parents=True, exist_ok=True)
        compare(arguments, arguments.output)
    else:
        with tempfile.TemporaryDirectory() as folder:
            compare(arguments, Path(folder))


def compare(arguments: argparse.Namespace, folder: Path) -> None:
    """Runs each step in a process of its own; prints the table."""

    def step(name: str) -> str:
        line = [sys.executable, __file__, "--step", name, "--output", str(folder)]
        for option in ("edges", "workers", "memory", "seed"):
            line += [f"--{option}", str(getattr(arguments, option))]
        line += ["--giant"] * arguments.giant
        return subprocess.run(line, stdout=subprocess.PIPE, text=True, check=True).stdout

    if not edge_paths(folder):
        step("generate")
    print(f"{arguments.edges:,} edges in {len(edge_paths(folder))} files", flush=True)
    results = {name: json.loads(step(name).splitlines()[-1]) for name in ("core", "stars")}
    names = {"core": "in core, one process", "stars": f"out of core, {arguments.workers} workers"}
    heads = ("seconds", "us/edge", "CPU us/edge", "peak MiB", "rounds", "nodes", "components")
    widths = (8, 8, 12, 9, 6, 12, 11)
    print(f"{'':<24} " + " ".join(f"{head:>{width}}" for head, width in zip(heads, widths, strict=True)))
    for name, result in results.items():
        rate = result["seconds"] / arguments.edges * 1e6
        print(
            f"{names[name]:<24} {result['seconds']:>8.1f} {rate:>8.2f} "
            f"{result['cpu'] / arguments.edges * 1e6:>12.2f} {result['peak'] / 2**20:>9,.0f} "
            f"{result['rounds']:>6} {result['nodes']:>12,} {result['components']:>11,}"
        )
    same = results["core"]["digest"] == results["stars"]["digest"]
    print(f"labels are {'identical' if same else 'DIFFERENT'}")
    if not same:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
