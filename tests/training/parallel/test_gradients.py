"""Every parameter's gradient in layouts of two and four ranks against one process, by the functions of the benchmark.

With MTP, balance loss, document mask, several micro-batches of unequal token counts, and a batch that does not divide
evenly. `python benchmarks/layouts.py` does the same for all layouts.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from benchmarks.layouts import BAR, LAYOUTS, gradients, settings_for, write_shards
from corpusmill.training.parallel.ranks import join_ranks
from tests.training.two_processes import run_ranks


def on_ranks(shards: str, output: str, names: list[str]) -> dict[str, Any]:
    """One rank, which goes through several layouts."""
    with join_ranks("cpu"):
        return {
            name: gradients(asdict(settings_for(shards, f"{output}/{name}", LAYOUTS[name], recompute="pp" in name)))
            for name in names
        }


@pytest.mark.slow
@pytest.mark.parametrize("names", [["pp2 dualpipev", "pp2 1f1b"], ["ep2 pp2"]], ids=["two ranks", "four ranks"])
def test_gradients_are_those_of_one_process(tmp_path: Path, names: list[str]):
    shards = str(write_shards(tmp_path / "shards"))
    ranks = LAYOUTS[names[0]]["ranks"]
    arguments = (shards, str(tmp_path / "runs"), names)
    seen = run_ranks(ranks, "tests.training.parallel.test_gradients:on_ranks", *arguments, timeout=220)
    for name, layout in seen[0].items():
        assert layout["worst"] < BAR, (name, layout)
        assert layout["losses"] < BAR and layout["norm"] < BAR, (name, layout)
        assert layout["loads"], name
        assert layout["parameters"] == 147
