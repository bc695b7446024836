"""The command line as a user meets it: help that answers at once, examples, one-line errors, exit codes."""

import gzip
import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from corpusmill.pipelines.cli.inspect import COMMANDS as INSPECT_COMMANDS
from corpusmill.pipelines.cli.listing import listing
from corpusmill.pipelines.cli.main import ABOUT, COMMANDS, command_lines

CLI = [sys.executable, "-m", "corpusmill"]


def corpusmill(*arguments: str, **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*CLI, *map(str, arguments)], capture_output=True, text=True, **{"timeout": 120} | options)


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    path = tmp_path / "text.jsonl"
    lines = [json.dumps({"text": f"Document number {number} says little.", "id": f"d{number}"}) for number in range(20)]
    path.write_text("\n".join(lines))
    return path


def test_the_list_of_commands_imports_nothing_heavy() -> None:
    code = "import sys; sys.argv = ['corpusmill', '--help']\ntry:\n import pipelines.cli.main as m; m.main()\n"
    code += (
        "except SystemExit: pass\nheavy = {'pyarrow', 'numpy', 'numba', 'torch', 'ray', 'pydantic', 'fsspec', 'yaml'}"
    )
    code += "\nassert not heavy & set(sys.modules), heavy & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert all(name in done.stdout for name in COMMANDS)


@pytest.mark.parametrize("columns", [40, 60, 80, 130])
def test_the_list_of_commands_is_what_typer_prints(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    code = "from corpusmill.pipelines.cli.main import app; app(prog_name='corpusmill')"
    done = subprocess.run([sys.executable, "-c", code, "--help"], capture_output=True, text=True, check=True)
    assert listing(ABOUT, command_lines()) + "\n" == done.stdout


def test_the_list_of_commands_needs_neither_typer_nor_metadata() -> None:
    code = "import sys; sys.argv = ['corpusmill', '--help']\nimport corpusmill.pipelines.cli.main as m; m.main()\n"
    code += (
        "late = {'typer', 'rich', 'importlib.metadata', 'pathlib', 'shutil'} & set(sys.modules)\nassert not late, late"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_an_overview_needs_no_kernels(tmp_path: Path) -> None:
    """Compiled code is half a second of imports: only the commands that use it wait for it."""
    pq.write_table(pa.table({"text": ["one", "two"]}), tmp_path / "part.parquet")
    code = f"import sys; sys.argv = ['corpusmill', 'inspect', {str(tmp_path)!r}]\n"
    code += "try:\n import pipelines.cli.main as m; m.main()\nexcept SystemExit: pass\n"
    code += "heavy = {'numba', 'torch', 'ray', 'duckdb', 'scipy'} & set(sys.modules)\nassert not heavy, heavy"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "2 rows" in done.stdout


@pytest.mark.parametrize("name", INSPECT_COMMANDS)
def test_the_line_of_a_command_is_how_its_help_begins(name: str) -> None:
    module, line = INSPECT_COMMANDS[name]
    function = getattr(importlib.import_module(f"corpusmill.pipelines.cli.{module}"), f"{name}_command")
    assert re.match(re.escape(line.removesuffix(".")) + r"[.:;, ]", " ".join((function.__doc__ or "").split()))


@pytest.mark.parametrize("command", [*COMMANDS, "tokenizer train", "tokenizer encode", "tokenizer decode"])
def test_every_command_has_help_with_an_example(command: str) -> None:
    done = corpusmill(*command.split(), "--help")
    assert done.returncode == 0, done.stderr
    assert "Example: " in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["ingest", "nowhere.txt", "--output", "out"], "corpusmill: nowhere.txt: no file matches"),
        (["filter", "nowhere", "--output", "out"], "corpusmill: nowhere: no such folder"),
        (
            ["ingest", "x", "--output", "out", "--part-bytes", "7bits"],
            "corpusmill: --part-bytes: '7bits' is not a size",
        ),
        (["dedup", "x", "--output", "out", "--threshold", "2"], "corpusmill: --threshold: Input should be less than 1"),
        (["run", "nowhere.yaml"], "corpusmill: nowhere.yaml: no such file"),
        (["ingest", "x", "--output", "out", "--engine", "spark"], "corpusmill: --engine: no engine 'spark'"),
        (["ingest", "x", "--output", "out", "--memory-per-worker", "much"], "corpusmill: --memory-per-worker: 'much'"),
        (["train", "x", "--output", "out", "--preset", "enormous"], "corpusmill:"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_users_mistake_is_one_line_and_exit_code_2(arguments: list[str], said: str, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "src")}
    (tmp_path / "x").write_text("text")
    done = corpusmill(*arguments, cwd=tmp_path, env=environment)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr


def test_usage_errors_have_exit_code_2() -> None:
    assert corpusmill("ingest").returncode == 2
    assert corpusmill("no-such-command").returncode == 2


def test_a_run_is_done_once_and_quarantine_has_its_exit_code(documents: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    first = corpusmill("ingest", documents, "--output", output, "--workers", "1")
    assert first.returncode == 0, first.stderr
    again = corpusmill("ingest", documents, "--output", output, "--workers", "1")
    assert again.returncode == 0
    assert "nothing was run" in again.stdout
    documents.write_text(documents.read_text() + "\nnot json\n")
    changed = corpusmill("ingest", documents, "--output", output, "--workers", "1")
    assert changed.returncode == 2
    assert f"{documents} changed since" in changed.stderr, "inputs that changed are refused by name"
    bad = corpusmill("ingest", documents, "--output", output, "--workers", "1", "--overwrite")
    assert bad.returncode == 3
    assert "ingest: quarantined 1 of 21 records (4.76%, over the limit of 1%); see" in bad.stderr
    for flags, said in ((["--allow-quarantine"], "no limit"), (["--max-quarantine", "40%"], "within the limit of 40%")):
        allowed = corpusmill("ingest", documents, "--output", output, "--workers", "1", *flags)
        assert allowed.returncode == 0
        assert f"quarantined 1 of 21 records (4.76%, {said})" in allowed.stderr


def test_a_dry_run_prints_the_plan_and_makes_nothing(documents: Path, tmp_path: Path) -> None:
    done = corpusmill("ingest", documents, "--output", tmp_path / "out", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "read 1" in done.stdout
    assert not (tmp_path / "out").exists()


def test_doctor_tells_the_machine() -> None:
    done = corpusmill("doctor")
    assert done.returncode == 0, done.stdout
    for word in ("cores", "memory", "disk", "gpu", "kernel cache", "ray", "torch"):
        assert word in done.stdout


def test_doctor_says_that_no_ray_answers() -> None:
    done = corpusmill("doctor", "--address", "127.0.0.1:1")
    assert done.returncode == 1
    assert "BAD      ray cluster" in done.stdout


@pytest.mark.parametrize("command", ["filter", "pack", "inspect why", "tokenizer decode"])
def test_an_example_in_the_help_can_be_copied_at_any_width(command: str) -> None:
    done = corpusmill(*command.split(), "--help", env={**os.environ, "COLUMNS": "60"})
    example = next(line for line in done.stdout.splitlines() if "Example: " in line)
    assert example.rstrip().endswith(("code", "--fim-rate 0.1", "'python-stdlib/this.py#0'", "decode tokenizer"))


def test_text_that_the_encoding_of_the_output_has_not_got_is_spelled_out(tmp_path: Path) -> None:
    (tmp_path / "text.jsonl").write_text(json.dumps({"text": "snow ☃"}))
    corpusmill("ingest", tmp_path / "text.jsonl", "--output", tmp_path / "out", "--workers", "1")
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = corpusmill("inspect", "show", tmp_path / "out", env=environment)
    assert done.returncode == 0, done.stderr
    assert r"snow \u2603" in done.stdout


@pytest.mark.parametrize("ending", ["gz", "zst"])
def test_a_dry_run_counts_compressed_lines_as_what_they_unpack_to(ending: str, documents: Path) -> None:
    lines = documents.read_bytes() * 500
    packed = documents.with_name(f"packed.jsonl.{ending}")
    packed.write_bytes(gzip.compress(lines) if ending == "gz" else zstandard.compress(lines))
    done = corpusmill("ingest", packed, "--output", documents.with_name("out"), "--dry-run")
    assert f"{len(lines) / 1e6:.1f} MB" in done.stdout


def test_doctor_says_that_the_kernel_cache_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    environment = {**os.environ, "CORPUSMILL_CACHE": str(tmp_path / "file" / "cache")}
    environment.pop("NUMBA_CACHE_DIR", None)
    done = corpusmill("doctor", env=environment)
    assert done.returncode == 1
    assert "set CORPUSMILL_CACHE to another folder" in done.stdout


def test_a_process_ends_by_its_exit_code_with_all_output_written(tmp_path: Path) -> None:
    body = """
import sys, threading, time
from corpusmill.pipelines.cli import main
def fails():
    print("x" * 100_000)
    threading.Thread(target=time.sleep, args=(60,)).start()  # native teardown, or Python's wait for threads, would hang
    raise SystemExit(int(sys.argv[1]))
main.main = fails
main.run_process()
"""
    for code in (0, 3):
        done = subprocess.run([sys.executable, "-c", body, str(code)], capture_output=True, text=True, timeout=30)
        assert (done.returncode, len(done.stdout)) == (code, 100_001)
