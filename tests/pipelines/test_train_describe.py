"""`corpusmill train --describe`: what it prints, how fast it may be, and that `train` is what it was."""

import subprocess
import sys

import pytest

from corpusmill.pipelines.cli.describe_model import describe_model
from corpusmill.training.model.config import PRESETS, preset
from corpusmill.training.model.memory import MemoryLayout, memory
from tests.pipelines.test_cli import corpusmill


def _rows(text: str) -> dict[str, list[str]]:
    """Cells of a plain table's rows by the first."""
    cells = [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in text.splitlines()]
    return {first: rest for first, *rest in filter(None, cells)}


def test_v3_has_the_published_numbers() -> None:
    done = corpusmill("train", "--describe", "v3-671b")
    assert done.returncode == 0, done.stderr
    rows = _rows(done.stdout)
    assert rows["main model"] == ["671.026 B", "36.626 B"]
    assert rows["causal: half of the attention matrix"] == ["250.5 G", "260.6 G"]
    assert rows["whole attention matrix"] == ["281.2 G", "291.9 G"]
    assert "\x1b" not in done.stdout


def test_the_layout_decides_the_memory() -> None:
    flags = ["--sequence-length", 2048, "--micro-batch", 3, "--ranks", 8, "--zero", 1, "--recompute", "--no-average"]
    done = corpusmill("train", "--describe=h200-small", *flags, "--model", "n_layers=4,rope_factor=2.5")
    assert done.returncode == 0, done.stderr
    layout = MemoryLayout(ranks=8, zero=1, sequence_length=2048, micro_batch=3, recompute=True, average=None)
    memory_used = memory(preset("h200-small", {"n_layers": 4, "rope_factor": 2.5}), layout)
    rows = _rows(done.stdout)
    assert rows["total"] == [f"{memory_used.total / 2**30:.2f} GiB"]
    assert rows["master weights"][1] == "0.5 B per parameter"
    assert "in CPU memory: average" not in rows


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_described_in_a_terminal_as_well(name: str, capsys, monkeypatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "120")
    describe_model(name, PRESETS[name], MemoryLayout(sequence_length=64))
    printed = capsys.readouterr().out
    assert all(word in printed for word in ("main model", "FLOPs per token", "total", "workspace"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["huge"], "unknown model preset 'huge'"),
        (["tiny", "--sequence-length", "2"], "too short"),
        (["tiny", "--model", "dim=wide"], "'wide' is not a number"),
        (["tiny", "--model", "dim"], "'dim' is not NAME=VALUE"),
        (["tiny", "--model", "dim=33"], "multiples of 8"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_is_one_line(arguments: list[str], said: str) -> None:
    done = corpusmill("train", "--describe", *arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_describing_imports_no_torch() -> None:
    code = "import sys; sys.argv = ['corpusmill', 'train', '--describe', 'v3-671b']\n"
    code += "import corpusmill.pipelines.cli.main as m\n"
    code += "try:\n m.main()\nexcept SystemExit as end: assert not end.code\nassert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_training_still_asks_for_shards_and_an_output() -> None:
    assert corpusmill("train").returncode == 2
    assert corpusmill("train", "shards").returncode == 2
    listed = corpusmill("train", "--help").stdout
    assert all(flag in listed for flag in ("--describe", "--preset", "--output", "--dry-run", "SHARDS"))
    assert "--ranks" in corpusmill("train", "--describe", "tiny", "--help").stdout
