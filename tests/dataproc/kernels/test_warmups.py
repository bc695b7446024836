"""No kernel is forgotten: stages name the warm-ups of all that their work reaches, and warm-ups call every kernel.

Kernels are found in the sources, by their decorators, and what reaches them by the import statements.
"""

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from corpusmill.dataproc.kernels.sources import Sources, _files_of
from corpusmill.dataproc.measures.providers import PROVIDERS, warmups_of
from corpusmill.pipelines import kernels
from corpusmill.pipelines.registry import STAGES, stage_type
from corpusmill.pipelines.settings import validate
from tests.pipelines.road import environment

OURS = Path(kernels.__file__).absolute().parents[1]
ON_FIRST_USE = {
    "corpusmill.tokenizer.formats.splits",  # foreign tokenizers
    "corpusmill.tokenizer.learning.no_merge",  # `tokenizer train --no-merge`
    "corpusmill.tokenizer.offsets",  # `tokenizer encode --offsets`
    "corpusmill.tokenizer.report",  # `tokenizer report`
    "corpusmill.tokenizer.trusted",  # `tokenizer encode --trusted`
    "corpusmill.tokenizer.walkers.cl100k",  # patterns that few train with
    "corpusmill.tokenizer.walkers.gpt2",
    "corpusmill.tokenizer.walkers.o200k",
}
"""Modules whose kernels no stage calls with its default settings."""

MOST = {
    "ingest": {"inputs": ["d"], "extractor": "corpusmill"},
    "filter": {"datasets": ["d"], "language_model": "embedded"},
    "dedup": {"datasets": ["d"], "against": "index"},
    "mixture": {"datasets": ["d"], "tokenizer": "t", "source_weights": {"*": 1}},
}
"""Settings by which a stage calls most kernels, where they make a difference; those of measures are looked at apart."""

NOT_CALLED = {
    "ingest": "language",  # of a repository's files, by their names
    "merge": "",  # its room is the index's; it reads and writes segments
    "import": "tokenizer",  # for its vocabulary; the text was encoded by somebody else
}
"""What a stage's work imports and does not call: all kernels whose modules have this in their names."""


def marks_of(node: ast.AST) -> set[str]:
    """The plain decorators of a function."""
    return {mark.id for mark in getattr(node, "decorator_list", ()) if isinstance(mark, ast.Name)}


@cache
def kernels_in(path: Path) -> frozenset[str]:
    """Names of the functions of a file that are compiled so that Python may call them."""
    tree = ast.parse(path.read_bytes())
    return frozenset(node.name for node in tree.body if marks_of(node) & {"kernel", "kernel_in_place"})


@cache
def names_in_python(path: Path) -> frozenset[str]:
    """Names and `module.name`s that a file's Python says, its kernels and import statements apart."""
    seen, waiting = set[str](), [ast.parse(path.read_bytes())]
    while waiting:
        node = waiting.pop()
        match node:
            case ast.Name(id=name) | ast.Attribute(value=ast.Name(id="self"), attr=name):
                seen.add(name)
            case ast.Attribute(value=ast.Name(id=module), attr=name):
                seen.add(f"{module}.{name}")
        waiting += [
            inner for inner in ast.iter_child_nodes(node) if not any("kernel" in mark for mark in marks_of(inner))
        ]
    return frozenset(seen)


def module_of(path: Path) -> str:
    return ".".join(("corpusmill", *path.relative_to(OURS).with_suffix("").parts))


def path_of(module: str) -> Path:
    return OURS.joinpath(*module.split(".")[1:]).with_suffix(".py")


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Sources:
    return Sources(tmp_path_factory.mktemp("sources"))


def with_kernels(sources: Sources, *starts: Path) -> set[str]:
    """Modules with kernels that files import, by way of others too, the driver's listing of datasets apart."""
    seen, waiting = set(starts), list(starts)
    while waiting:
        here = waiting.pop()
        files = {file for name in sources._read(here).imports for file in _files_of(name, here)} - seen
        seen |= files
        waiting += [file for file in files if file != OURS / "pipelines/datasets.py"]
    return {module_of(path) for path in seen if kernels_in(path)}


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_names_the_warm_ups_of_all_that_its_work_reaches(name: str, sources: Sources) -> None:
    kind = stage_type(name)
    homes = [base.__module__ for base in kind.__mro__ if base.__module__.startswith("corpusmill.pipelines.stages.")]
    rooms = {path_of(home).parent for home in homes}  # of its bases as well, whose tasks it may run
    work = [path for room in rooms for path in [*room.glob("work.py"), *room.glob("work/**/*.py")]]
    assert work
    named = kind(validate(kind.Settings, MOST[name])).kernels if name in MOST else kind.kernels
    reached = with_kernels(sources, *work) - ON_FIRST_USE
    if name in NOT_CALLED:
        reached = {module for module in reached if NOT_CALLED[name] not in module}
    assert reached <= with_kernels(sources, *map(path_of, named))


@pytest.mark.parametrize("name", PROVIDERS)
def test_a_measure_names_the_warm_ups_of_all_that_it_reaches(name: str, sources: Sources) -> None:
    target = path_of(PROVIDERS[name].target.partition(":")[0])
    target = target if target.exists() else target.with_suffix("") / "__init__.py"
    reached = with_kernels(sources, target)
    named = warmups_of([name, "statistics"])
    by_name = [path_of(provider.target.partition(":")[0]) for provider in PROVIDERS.values() if provider.rewrites]
    assert reached <= with_kernels(sources, *map(path_of, named), *(by_name if PROVIDERS[name].rewrites else ()))


CALL = """
import importlib, sys
modules, warmups = (part.split(",") for part in sys.argv[1:])
for name in warmups:
    importlib.import_module(name).compile_kernels()
for module in modules:
    name, _, kernel = module.partition(":")
    print(module, len(getattr(importlib.import_module(name), kernel).signatures))
"""


def called_from_python(sources: Sources) -> list[str]:
    """The kernels (module:name) that some Python of ours names, where it is defined or imported."""
    files = sorted(path for part in kernels.PARTS for path in (OURS / part).rglob("*.py"))
    asked = []
    for path in files:
        around = [path, *(file for file in files if module_of(path) in sources._read(file).imports)]
        named = frozenset[str]().union(*map(names_in_python, around))
        asked += [
            f"{module_of(path)}:{kernel}"
            for kernel in sorted(kernels_in(path))
            if {kernel, f"{path.stem}.{kernel}"} & named
        ]
    return [name for name in asked if name.partition(":")[0] not in ON_FIRST_USE]


def test_private_kernels_that_only_kernels_call_have_no_wrapper(sources: Sources) -> None:
    """A third of the time that it takes to compile one (`dataproc/kernels/compiling.py`)."""
    called = set(called_from_python(sources))
    files = (path for part in kernels.PARTS for path in (OURS / part).rglob("*.py"))
    private = {f"{module_of(path)}:{name}" for path in files for name in kernels_in(path) if name.startswith("_")}
    assert {name for name in private - called if name.partition(":")[0] not in ON_FIRST_USE} == set()


def test_warm_ups_call_every_kernel_with_one_kind_of_arguments(sources: Sources) -> None:
    asked = called_from_python(sources)
    command = [sys.executable, "-c", CALL, ",".join(asked), ",".join(kernels.warmups())]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=900)
    assert not done.returncode, done.stderr
    numbers = dict(line.split() for line in done.stdout.splitlines())
    assert len(numbers) == len(asked) > 100
    assert {name: number for name, number in numbers.items() if number != "1"} == {}
