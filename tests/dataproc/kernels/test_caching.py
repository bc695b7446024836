"""Compiled kernels are used again as long as nothing that they are made of has changed, and not a moment longer."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from corpusmill.dataproc.kernels.sources import Sources, memory_name
from corpusmill.pipelines import kernels
from tests.pipelines.road import environment

CALLED = """
\"\"\"A module that a kernel calls into.\"\"\"
import numba

FACTOR = 3

@numba.njit(cache=True, nogil=True)
def scaled(value):
    return value * FACTOR
"""
CALLER = """
import numba
from made.called import scaled

@numba.njit(cache=True, nogil=True)
def twice(value):
    return scaled(value) * 2
"""
RUN = "from made.caller import twice\nprint(twice(7), sum(twice.stats.cache_hits.values()))"


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package of two kernels, one of which calls the other."""
    made = tmp_path / "made"
    made.mkdir()
    for name, text in (("__init__", ""), ("called", CALLED), ("caller", CALLER)):
        (made / f"{name}.py").write_text(text)
    return made


def run(package: Path) -> tuple[int, int]:
    """(the kernel's result, how often it came out of the cache), in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", RUN],
        capture_output=True,
        text=True,
        env=environment(
            PYTHONPATH=os.pathsep.join([str(package.parent), environment()["PYTHONPATH"]]),
            NUMBA_CACHE_DIR=str(package.parent / "cache"),
            NUMBA_CACHE_LOCATOR_CLASSES=",".join(kernels.LOCATORS),
        ),
    )
    assert not done.returncode, done.stderr
    result, hits = done.stdout.split()
    return int(result), int(hits)


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_a_second_process_compiles_nothing(package: Path) -> None:
    assert run(package) == (42, 0)
    assert run(package) == (42, 1)


def test_comments_docstrings_and_moved_lines_compile_nothing_again(package: Path) -> None:
    run(package)
    edit(package / "called.py", "FACTOR = 3", "# a word on it\n\nFACTOR = 3  # and another")
    edit(package / "called.py", "A module that", "The module which")
    edit(package / "caller.py", "import numba", "# first of all\nimport numba")
    assert run(package) == (42, 1)


@pytest.mark.parametrize(
    ("old", "new", "result"),
    [("FACTOR = 3", "FACTOR = 5", 70), ("return value * FACTOR", "return value + FACTOR", 20)],
)
def test_a_change_in_another_module_compiles_the_caller_again(package: Path, old: str, new: str, result: int) -> None:
    run(package)
    edit(package / "called.py", old, new)
    assert run(package) == (result, 0)
    assert run(package) == (result, 1)


def test_a_module_stands_for_all_that_it_imports(tmp_path: Path) -> None:
    folder = Path(kernels.__file__).parents[1] / "dataproc"
    sources = Sources(tmp_path)
    closure = sources._closure(folder / "measures/statistics.py")
    names = {str(path).rsplit("/dataproc/", 1)[-1] for path in closure}
    assert {"measures/statistics.py", "text/scan.py", "text/words.py", "text/bitmaps.py"} <= names
    assert not any(name.startswith("readers/") for name in names)


def test_imports_for_type_checkers_do_not_count(tmp_path: Path) -> None:
    folder = Path(kernels.__file__).parents[1] / "dataproc"
    closure = Sources(tmp_path)._closure(folder / "kernels/hashing.py")
    assert {path.name for path in closure} == {
        "__init__.py",
        "hashing.py",
        "buffers.py",
        "compiling.py",
        "errors.py",
        "secret_values.py",
        "urls.py",
    }
    (tmp_path / "a.py").write_text(
        "if TYPE_CHECKING:\n    import corpusmill.dataproc.errors\nelse:\n    import corpusmill.dataproc.urls\n"
    )
    names = {path.name for path in Sources(tmp_path)._closure(tmp_path / "a.py")}
    assert "urls.py" in names and "errors.py" not in names


def test_digests_are_remembered_by_size_and_time(package: Path, tmp_path: Path) -> None:
    path = str(package / "caller.py")
    first = Sources(tmp_path / "memory").digest(path)
    again = Sources(tmp_path / "memory")
    assert again.digest(path) == first
    assert again._known.keys() == {str(package / f"{name}.py") for name in ("__init__", "called", "caller")}
    edit(package / "called.py", "value * FACTOR", "value - FACTOR")
    assert Sources(tmp_path / "memory").digest(path) != first
    (tmp_path / "memory" / memory_name()).write_bytes(b"{ damaged")
    assert Sources(tmp_path / "memory").digest(str(package / "called.py"))


def test_a_warm_ups_marker_follows_its_sources(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    markers = {kernels._done_marker(warmup) for warmup in kernels.warmups()}
    assert len(markers) == len(kernels.warmups()) > 10 and not any(marker.exists() for marker in markers)
