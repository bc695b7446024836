"""Components out of core as phases of a stage: a union-find's labels in any partitions, and resumed after a kill."""

import random
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.dataproc.dedup.components import components
from corpusmill.dataproc.dedup.stars import Bounds
from corpusmill.pipelines.engine.executor import make_executor
from corpusmill.pipelines.engine.scheduler import StageFailed
from corpusmill.pipelines.engine.stage import Session, Stage, StageRun, StageSettings, Summary, run_stage
from corpusmill.pipelines.stages.dedup.stars import run_stars
from corpusmill.pipelines.stages.dedup.work import stars as tasks

MOST = 2**64 - 1
NODES = st.one_of(st.integers(0, 30), st.integers(MOST - 3, MOST), st.integers(0, MOST))
SMALL = Bounds(partition_nodes=6, chunk_rows=5, block_edges=4, core_edges=3)


class _Quiet:
    def start(self, stage, phase, total_bytes, done_bytes, at_work=None): ...
    def advance(self, *, count, documents): ...
    def stop(self): ...
    def say(self, line): ...


class _StarsStage(Stage):
    """Nothing but components; keeps the files' bytes before the engine removes them."""

    name = "stars"
    Settings = StageSettings
    over_documents = False
    kernels = ()

    def __init__(self, paths, edges, **options):
        super().__init__(StageSettings())
        self.call = partial(run_stars, edge_paths=paths, edges=edges, **options)
        self.done, self.data = None, {}

    def inputs(self):
        return {}

    def phases(self):
        return []

    def run(self, run: StageRun) -> Summary:
        self.done = self.call(run)
        self.data = {Path(entry["path"]).name: Path(entry["path"]).read_bytes() for entry in self.done.files}
        return Summary(counts={})


def write_edges(folder, edges, files=3):
    paths = []
    for number in range(files):
        left, right = (np.array([edge[i] for edge in edges[number::files]], np.uint64) for i in (0, 1))
        paths.append(str(folder / f"edges-{number}.arrow"))
        table = pa.table({"left": left, "right": right})
        with pa.ipc.new_file(paths[-1], table.schema) as writer:
            writer.write_table(table, max_chunksize=7)
    return paths


def run(folder, paths, edges, workers=1, **options):
    stage = _StarsStage(paths, len(edges), **options)
    with Session(make_executor=partial(make_executor, "local", workers=workers), progress=_Quiet()) as session:
        run_stage(stage, str(folder), session)
    return stage


def labels_of(stage):
    tables = [pa.ipc.open_file(data).read_all() for data in stage.data.values()]
    rows = [row for table in tables for row in zip(*(column.to_pylist() for column in table.columns), strict=True)]
    ends = [end for entry in stage.done.files if entry["rows"] for end in (entry["first"], entry["last"])]
    assert ends == sorted(ends)
    assert all(a < b for (a, _), (b, _) in pairwise(rows))
    return rows


def expected_of(edges):
    left, right = (np.array([edge[i] for edge in edges], np.uint64) for i in (0, 1))
    return list(zip(*(component.tolist() for component in components(left, right)), strict=True))


@settings(max_examples=25)
@given(st.lists(st.tuples(NODES, NODES), max_size=30), st.sampled_from([None, 1, 2, 5]), st.integers(1, 3))
def test_labels_are_those_of_the_union_find_in_any_partitions_and_files(tmp_path_factory, edges, partitions, files):
    folder = tmp_path_factory.mktemp("stars")
    stage = run(folder / "out", write_edges(folder, edges, files), edges, bounds=SMALL, partitions=partitions)
    assert labels_of(stage) == expected_of(edges)


def mixed_graph(size=400):
    draw = random.Random(0)
    chain = draw.sample(range(size), size)
    star = [(size + 50, size + leaf) for leaf in range(100)]
    clique = [(MOST - a, MOST - b) for a in range(12) for b in range(12)]
    edges = [*pairwise(chain), *star, *clique, *((a, a) for a in range(size + 200, size + 210))]
    draw.shuffle(edges)
    return edges


def test_chain_star_clique_and_loops_over_several_rounds_in_any_order_of_edges(tmp_path):
    edges = mixed_graph()
    labels = {}
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        stage = run(
            folder / "out",
            write_edges(folder, edges),
            edges,
            bounds=Bounds(partition_nodes=200, chunk_rows=64, block_edges=50, core_edges=10),
        )
        assert stage.done.rounds >= 4 and stage.done.edges == sorted(stage.done.edges, reverse=True)
        assert len(stage.data) > 2
        labels[name] = labels_of(stage)
        random.Random(1).shuffle(edges)
    assert labels["one"] == labels["two"] == expected_of(edges)


def test_bounds_from_memory_solve_a_small_graph_in_one_task(tmp_path):
    edges = mixed_graph(50)
    stage = run(tmp_path / "out", write_edges(tmp_path, edges), edges)
    assert stage.done.rounds == 0 and len(stage.data) == 1 and labels_of(stage) == expected_of(edges)


BOUNDS = Bounds(partition_nodes=300, chunk_rows=64, block_edges=50, core_edges=40)


@pytest.mark.parametrize("step", ["contract", "large_star", "small_star", "solve", "label_leaves", "write_range"])
def test_a_run_that_fails_in_any_step_goes_on_to_the_same_bytes(tmp_path, monkeypatch, step):
    edges = mixed_graph()
    paths = write_edges(tmp_path, edges)
    whole = run(tmp_path / "whole", paths, edges, bounds=BOUNDS)
    real, calls, failures = getattr(tasks, step), [], 0

    def faulty(task):
        calls.append(task.id)
        result = real(task)  # outputs are there, and the marker is not: what a kill at the worst time leaves
        if len(calls) % 3 == 1:
            raise RuntimeError("killed")
        return result

    monkeypatch.setattr(tasks, step, faulty)
    for _ in range(40):
        try:
            again = run(tmp_path / "again", paths, edges, bounds=BOUNDS)
            break
        except StageFailed:
            failures += 1
    assert failures and again.data == whole.data
    assert labels_of(again) == expected_of(edges)


@pytest.mark.slow
def test_same_bytes_by_one_worker_and_by_two(tmp_path):
    edges = mixed_graph()
    paths = write_edges(tmp_path, edges)
    one = run(tmp_path / "one", paths, edges, bounds=BOUNDS)
    two = run(tmp_path / "two", paths, edges, bounds=BOUNDS, workers=2)
    assert one.data == two.data
