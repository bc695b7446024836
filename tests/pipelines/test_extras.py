"""A missing optional library is one line that names the extra, when it is needed and not before."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.pipelines.road import environment

# Python runs `sitecustomize` at the start of every process; None in sys.modules makes an import fail.
BLOCK = "import sys\nsys.modules[{name!r}] = None\n"


def run_without(names: str, folder: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Runs a command where the modules of these names, with blanks between them, are not to be had."""
    site = folder / "site"
    site.mkdir(exist_ok=True)
    (site / "sitecustomize.py").write_text("".join(BLOCK.format(name=name) for name in names.split()))
    paths = f"{site}:{environment()['PYTHONPATH']}"
    line = [sys.executable, "-m", "corpusmill", *map(str, arguments)]
    return subprocess.run(line, capture_output=True, text=True, env=environment(PYTHONPATH=paths), cwd=folder)


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text("The words of this text are few, and that is all that there is to it.\n" * 30)
    return path


def test_ray(tmp_path: Path, text: Path) -> None:
    done = run_without("ray", tmp_path, "ingest", text, "--output", tmp_path / "out", "--engine", "ray")
    assert done.returncode == 2
    assert done.stderr.strip().endswith("pip install 'corpusmill[ray]'")
    assert "Traceback" not in done.stderr


def test_fasttext(tmp_path: Path, text: Path) -> None:
    documents = tmp_path / "documents"
    assert run_without("nothing", tmp_path, "ingest", text, "--output", documents, "--workers", "1").returncode == 0
    (tmp_path / "model.bin").write_bytes(b"no model")
    options = ["--output", tmp_path / "out", "--workers", "1", "--language-model", tmp_path / "model.bin"]
    done = run_without("fasttext", tmp_path, "filter", documents, *options)
    assert done.returncode == 2
    assert "pip install 'corpusmill[fasttext]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_core_commands_do_without_any_extra(tmp_path: Path, text: Path) -> None:
    done = run_without("torch", tmp_path, "ingest", text, "--output", tmp_path / "out", "--workers", "1")
    assert done.returncode == 0, done.stderr


def test_dedup_does_without_datasketch_and_scipy(tmp_path: Path, text: Path) -> None:
    """SciPy is larger than every dependency of the core except numba and pyarrow, and is not one of them."""
    missing, documents = "datasketch scipy", tmp_path / "documents"
    assert run_without(missing, tmp_path, "ingest", text, "--output", documents, "--workers", "1").returncode == 0
    done = run_without(missing, tmp_path, "dedup", documents, "--output", tmp_path / "unique", "--workers", "1")
    assert done.returncode == 0, done.stderr
