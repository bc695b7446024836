"""How fast code repositories are read, and how well their imports are found and respected.

    python benchmarks/repositories.py CORPUS [--many FILES]

CORPUS is the folder of `code.jsonl.zst` and `thealgorithms.jsonl.zst`, whose documents are files of whole repositories:
they are written out by path below a temporary folder and read as repositories, one core, figures in CPU seconds. For
Python the edges are compared with what `ast` and `importlib` say, for C and C++ with a naive search for the names of
includes. `--many` reads a made repository of so many files of 3 KB with ten imports each, and tells the peak of memory.
"""

import argparse
import importlib.util
import io
import json
import resource
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

import zstandard

from corpusmill.dataproc.language import language_of_path
from corpusmill.dataproc.readers.pieces import Fields, Piece
from corpusmill.dataproc.readers.repository import read_repositories
from corpusmill.dataproc.repositories.finding import find_repositories
from corpusmill.dataproc.repositories.order import order_files
from corpusmill.dataproc.repositories.reading import RepositorySettings, read_repository
from corpusmill.dataproc.repositories.trees import FolderTree

GROUPS = ("code", "thealgorithms")
ORACLES = ("test_python_imports", "test_imports")
TESTS = Path(__file__).parents[1] / "tests/dataproc/repositories"


def write_out(corpus: Path, root: Path) -> None:
    for group in GROUPS:
        with (corpus / f"{group}.jsonl.zst").open("rb") as packed:
            stream = zstandard.ZstdDecompressor(max_window_size=1 << 31).stream_reader(packed)
            for line in io.TextIOWrapper(stream, encoding="utf-8", newline="\n"):
                record = json.loads(line)
                path = record["meta"]["path"]
                source = record["id"][: -len(path) - 1].replace("/", "__")
                target = root / source / path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(record["text"].encode())


def oracles() -> list[ModuleType]:
    """The tests that hold the oracles."""
    modules = []
    for name in ORACLES:
        spec = importlib.util.spec_from_file_location(name, TESTS / f"{name}.py")
        assert spec and spec.loader
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        modules.append(module)
    return modules


def read(path: str, name: str) -> tuple[dict[str, Any], float]:
    """The summary of a repository, and the CPU seconds that reading it took, documents included."""
    summaries: list[dict[str, Any]] = []
    begun = time.process_time()
    piece = Piece(path=path, name=name, format="repository", bytes=0)
    for _ in read_repositories(
        piece, Fields(source="bench", kind="code"), lambda *_: None, RepositorySettings(), summaries.append
    ):
        pass
    return summaries[0], time.process_time() - begun


def measure_order(path: str) -> tuple[Counter[str], Counter[str]]:
    """(edges by language, counts of edges: all, at once, respected)."""
    with read_repository(
        FolderTree(path, 1 << 20), RepositorySettings(), lambda text: text, lambda *_: None
    ) as repository:
        subgraphs = order_files(repository.needs, repository.deferred)
        place = {file: at for at, file in enumerate(file for subgraph in subgraphs for file in subgraph)}
        by_language: Counter[str] = Counter()
        counts: Counter[str] = Counter(largest=max(map(len, subgraphs), default=0))
        for file, needed in enumerate(repository.needs):
            by_language[repository.languages[file]] += len(needed)
            firm = set(needed) - set(repository.deferred[file])
            counts["edges"] += len(needed)
            counts["respected"] += sum(place[other] < place[file] for other in needed)
            counts["firm"] += len(firm)
            counts["firm_respected"] += sum(place[other] < place[file] for other in firm)
        return by_language, counts


def compare(root: Path, python: ModuleType, others: ModuleType) -> dict[str, Counter[str]]:
    """Edges that we and an oracle agree on, or one has alone: of Python by `ast`, of C by a naive search."""
    out: dict[str, Counter[str]] = {"python": Counter(), "c": Counter()}
    texts = {
        str(path.relative_to(root)): path.read_text(errors="replace") for path in root.rglob("*") if path.is_file()
    }
    files = {path: text for path, text in texts.items() if language_of_path(path) == "python"}
    for path, (needs, _) in python.edges(files).items():
        try:
            imported = {str(file.relative_to(root)) for file in python.imported_by_python(root, root / path)} - {path}
        except SyntaxError:
            continue
        out["python"].update(
            agree=len(imported & set(needs)), ours=len(set(needs) - imported), oracle=len(imported - set(needs))
        )
    files = {path: text for path, text in texts.items() if language_of_path(path) in ("c", "cpp", "cuda")}
    for path, (needs, _) in others.edges(files).items():
        imported = others.naive_includes(files, path)
        out["c"].update(
            agree=len(imported & set(needs)), ours=len(set(needs) - imported), oracle=len(imported - set(needs))
        )
    return out


def measure_many(root: Path, count: int) -> None:
    for number in range(count):
        imports = "".join(
            f"from p{other % 100}.m{other} import x\n" for other in range(number - 10, number) if other >= 0
        )
        path = root / f"p{number % 100}/m{number}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(imports + f"x = {number}  # some words that fill a line of code\n" * 60)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    summary, seconds = read(str(root), "many")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(
        f"{count:,} files, {summary['bytes'] / 1e6:.0f} MB, {summary['dependencies']:,} dependencies: {seconds:.1f} s,"
    )
    print(
        f"  {count / seconds:,.0f} files/s, {summary['bytes'] / seconds / 1e6:.0f} MB/s, +{(peak - before) >> 10} MiB"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--many", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if arguments.many:
            measure_many(Path(folder), arguments.many)
            return
        write_out(arguments.corpus, Path(folder))
        python, others = oracles()
        repositories = find_repositories(folder, 1)
        read(*repositories[0])  # imports and the first use of Arrow's kernels
        for path, name in repositories:
            summary, seconds = read(path, name)
            by_language, counts = measure_order(path)
            print(f"{name}: {summary['files']} files in {summary['documents']} documents, largest {counts['largest']}")
            print(f"  {summary['files'] / seconds:,.0f} files/s, {summary['bytes'] / seconds / 1e6:.1f} MB/s")
            print(f"  edges {dict(by_language)}; respected {counts['respected']} of {counts['edges']}", end="")
            print(f", of those not deferred {counts['firm_respected']} of {counts['firm']}")
            for language, compared in compare(Path(path), python, others).items():
                if any(compared.values()):
                    print(f"  {language} against the oracle: {dict(compared)}")


if __name__ == "__main__":
    sys.exit(main())
