"""Python's imports lead where Python's own import system leads."""

import ast
import importlib.machinery
import shutil
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from corpusmill.dataproc.repositories.graph import Imports
from corpusmill.dataproc.repositories.imports.python import scan


def edges(files: dict[str, str]) -> dict[str, tuple[list[str], list[str]]]:
    """(all, deferred) dependencies of each file."""
    imports = Imports()
    for path, text in files.items():
        imports.add(path, "python", text)
    paths = sorted(files)
    needs, deferred = imports.edges(paths, files.__getitem__)
    return {
        path: ([paths[other] for other in needs[at]], [paths[other] for other in deferred[at]])
        for at, path in enumerate(paths)
    }


def needed(files: dict[str, str], path: str) -> list[str]:
    return edges(files)[path][0]


def test_the_forms_of_an_import() -> None:
    text = """import a, b.c as d; import e
from f import g, h as i
from j import (k,  # a comment with a )
    l as m,
)
from . import n
from .. import o
from ...p.q import r
from s import *
import t.\\
u
from v \\
    import w, \\
    x
if x: import y
def z():
    import late
    from . import later
"""
    firm = [(module, name) for module, name, deferred in scan(text) if not deferred]
    assert firm == [
        ("a", ""), ("b.c", ""), ("e", ""), ("f", "g"), ("f", "h"), ("j", "k"), ("j", "l"), (".", "n"), ("..", "o"),
        ("...p.q", "r"), ("s", ""), ("t.u", ""), ("v", "w"), ("v", "x"),
    ]  # fmt: skip
    assert [(module, name) for module, name, deferred in scan(text) if deferred] == [("late", ""), (".", "later")]


def test_what_stands_in_strings_and_comments_is_no_import() -> None:
    text = (
        '"""Use it so:\n\nimport fake\nfrom fake import other\n"""\n# import fake\nx = "\\\nimport fake"\nimport real\n'
    )
    text += "y = '''\nimport fake\n'''\nimport \\\nlast\nz = f(\"\"\"\nimport fake\"\"\")\nimport end\n"
    assert [module for module, _, _ in scan(text)] == ["real", "last", "end"]


def test_a_name_taken_from_a_package_is_its_module_where_there_is_one() -> None:
    files = {"p/__init__.py": "", "p/a.py": "", "p/b.py": "from p import a, c\n", "q.py": "import p.a.c\nimport os\n"}
    assert needed(files, "p/b.py") == ["p/__init__.py", "p/a.py"]
    assert needed(files, "q.py") == ["p/a.py"]


def test_relative_imports_go_up() -> None:
    files = {
        "p/__init__.py": "",
        "p/a.py": "",
        "p/q/__init__.py": "",
        "p/q/b.py": "from .. import a\nfrom ..a import x\n",
    }
    assert needed(files, "p/q/b.py") == ["p/a.py"]
    assert needed({"a.py": "", "b.py": "from .... import a\n"}, "b.py") == []


def test_source_layouts_and_scripts() -> None:
    files = {
        "src/p/__init__.py": "", "src/p/a.py": "import p.b\n", "src/p/b.py": "",
        "tests/test_a.py": "from p.a import x\n",
        "tools/run.py": "import helper\n", "tools/helper.py": "", "helper.py": "",
    }  # fmt: skip
    needs = edges(files)
    assert needs["src/p/a.py"][0] == ["src/p/b.py"]
    assert needs["tests/test_a.py"][0] == ["src/p/a.py"]
    assert needs["tools/run.py"][0] == ["tools/helper.py"]


def test_a_module_beside_an_absolute_import_inside_of_a_package_is_not_meant() -> None:
    assert needed({"p/__init__.py": "", "p/json.py": "", "p/a.py": "import json\n"}, "p/a.py") == []


def test_a_package_goes_before_a_module_of_its_name_and_stubs_come_last() -> None:
    files = {"a.py": "", "a/__init__.py": "", "b.pyi": "", "b.py": "", "c.py": "import a, b\n"}
    assert needed(files, "c.py") == ["a/__init__.py", "b.py"]


def test_an_indented_import_is_deferred_unless_it_is_also_made_at_once() -> None:
    files = {"a.py": "", "b.py": "def f():\n    import a\n", "c.py": "def f():\n    import a\nimport a\n"}
    assert edges(files)["b.py"] == (["a.py"], ["a.py"])
    assert edges(files)["c.py"] == (["a.py"], [])


def test_the_folders_of_a_large_tree_need_no_package_files() -> None:
    files = {"x/y/a.py": "", "x/b.py": "from x.y.a import c\nimport y.a\n"}
    assert needed(files, "x/b.py") == ["x/y/a.py"]


def imported_by_python(root: Path, path: Path) -> Iterator[Path]:
    """The oracle: `ast` says what is imported, `importlib`'s finder where it is."""
    package = path.parent
    names = path.relative_to(root).parent.parts
    top = package
    while top != root and (top / "__init__.py").exists():
        top = top.parent
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            asked = [(alias.name, "") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if node.level:
                inside = names[: len(names) - node.level + 1]
                if len(names) < node.level - 1:
                    continue
                module = ".".join([*inside, module] if module else inside)
            asked = [(module, alias.name if alias.name != "*" else "") for alias in node.names]
        else:
            continue
        relative = isinstance(node, ast.ImportFrom) and node.level
        for module, name in asked:
            base = root if relative else top
            while True:
                actual = find(base, [*module.split("."), name] if name else module.split(".")) if module else None
                if actual or relative or base == root:
                    break
                base = base.parent
            if actual:
                yield actual


def find(base: Path, steps: list[str]) -> Path | None:
    best, where = None, [str(base)]
    for at, step in enumerate(steps):
        spec = importlib.machinery.PathFinder.find_spec(step, where)
        if spec is None:
            break
        if spec.origin:
            best = Path(spec.origin)
        elif at == len(steps) - 1:
            best = best if at else None
        where = list(spec.submodule_search_locations or ())
        if not where:
            break
    return best if best and best.suffix == ".py" else None


PACKAGES = (
    "asyncio",
    "concurrent",
    "email",
    "encodings",
    "html",
    "http",
    "importlib",
    "json",
    "logging",
    "unittest",
    "xml",
)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A part of Python's own library, as a repository."""
    root = tmp_path_factory.mktemp("library")
    own = Path(sysconfig.get_paths()["stdlib"])
    for name in PACKAGES:
        shutil.copytree(own / name, root / name, ignore=shutil.ignore_patterns("__pycache__", "test*"))
    for path in sorted(own.glob("*.py"))[:120]:
        shutil.copy(path, root)
    return root


def test_edges_are_those_of_ast_and_importlib_on_pythons_own_library(library: Path) -> None:
    files = {str(path.relative_to(library)): path.read_text() for path in library.rglob("*.py")}
    edges_found = edges(files)
    expected = {
        path: sorted(
            {str(imported.relative_to(library)) for imported in imported_by_python(library, library / path)} - {path}
        )
        for path in files
    }
    assert sum(map(len, expected.values())) > 500
    assert {path: needs for path, (needs, _) in edges_found.items()} == expected
