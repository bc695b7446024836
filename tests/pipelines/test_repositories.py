"""`corpusmill ingest … --format repository`: folders and archives of code to documents in the order of dependency."""

import json
import subprocess
import sys
from pathlib import Path

import orjson
import pyarrow.parquet as pq
import pytest

from tests.dataproc.repositories.trees_on_disk import tar_bytes, write_tree

PROJECT = {
    ".git/HEAD": "ref: refs/heads/main\n", ".gitignore": "build/\n", "src/p/__init__.py": "",
    "src/p/core.py": "CORE = 1\n",
    "src/p/use.py": "from p.core import CORE\nprint(CORE)\n", "build/x.py": "x = 1\n", "node_modules/m/i.js": "x",
    "lib/a.h": "int a;\n", "lib/a.c": '#include "a.h"\n', "README.md": "# P\r\n",
}  # fmt: skip


def ingest(path: Path, output: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-m",
        "corpusmill",
        "ingest",
        str(path),
        "--output",
        str(output),
        "--format",
        "repository",
    ]
    return subprocess.run([*command, *flags], capture_output=True, text=True, timeout=120)


def read(output: Path, kind: str = "parts") -> list[dict]:
    manifest = json.loads((output / "_manifest.json").read_bytes())
    return [row for entry in manifest[kind] for row in pq.read_table(output / entry["path"]).to_pylist()]


@pytest.fixture
def repositories(tmp_path: Path) -> Path:
    write_tree(tmp_path / "repos/one", PROJECT)
    (tmp_path / "repos/two.tar").write_bytes(
        tar_bytes({"b.py": "import a\n", "a.py": "A = 1\n", "c.py": b"\xff\n"}, "two-1.0/")
    )
    return tmp_path / "repos"


def test_folders_and_archives_of_repositories_become_documents(repositories: Path, tmp_path: Path) -> None:
    done = ingest(repositories, tmp_path / "out", "--kind", "code", "--source", "hub")
    assert done.returncode == 3, done.stderr  # c.py of the archive is quarantined
    assert [(row["id"], row["language"], orjson.loads(row["meta"])["paths"]) for row in read(tmp_path / "out")] == [
        ("hub/one#README.md", "markdown", ["README.md"]),
        ("hub/one#lib/a.h", "c", ["lib/a.h", "lib/a.c"]),
        ("hub/one#src/p/core.py", "python", ["src/p/core.py", "src/p/use.py"]),
        ("hub/two.tar#a.py", "python", ["a.py", "b.py"]),
    ]
    assert [row["text"] for row in read(tmp_path / "out")][:2] == [
        "<!-- README.md -->\n# P\n", '// lib/a.h\nint a;\n// lib/a.c\n#include "a.h"\n',
    ]  # fmt: skip
    assert "files left out: vendored" in done.stdout + done.stderr
    manifest = json.loads((tmp_path / "out/_manifest.json").read_bytes())
    assert manifest["counts"] == {"documents_in": 5, "kept": 4, "quarantined": 1}
    texts = [
        "# P\n",
        "import a\n",
        "A = 1\n",
        *(PROJECT[path] for path in PROJECT if path.startswith(("src/", "lib/"))),
    ]
    facts = {name: value for name, value in manifest["facts"]["repositories"].items() if value}
    assert facts == {
        "bytes": sum(map(len, texts)),
        "dependencies": 3, "documents": 4, "empty": 1, "files": 7, "ignored": 1, "quarantined": 1, "repositories": 2,
        "unknown_language": 1, "vendored": 1,
    }  # fmt: skip
    summaries = pq.read_table(tmp_path / "out/_repositories/part-00000.parquet.side").to_pylist()
    assert [(row["repository"], row["files"], row["vendored"]) for row in summaries] == [("one", 5, 1), ("two", 2, 0)]
    quarantined = pq.read_table(tmp_path / "out/_quarantine/part-00000.parquet.side").to_pylist()
    assert [(row["id"], row["reason"]) for row in quarantined] == [("hub/two.tar#c.py", "not UTF-8 (byte 0)")]


def test_settings_of_repositories_are_flags(repositories: Path, tmp_path: Path) -> None:
    flags = [
        "--repository-depth",
        "0",
        "--repository-documents",
        "repository",
        "--exclude",
        "lib,*.md",
        "--unicode-form",
        "NFC",
    ]
    write_tree(repositories / "one", {"src/p/core.py": "CORE = 'e\u0301'\n"})
    done = ingest(repositories / "one", tmp_path / "out", *flags)
    assert done.returncode == 0, done.stderr
    [row] = read(tmp_path / "out")
    assert row["text"] == "# src/p/core.py\nCORE = 'é'\n# src/p/use.py\nfrom p.core import CORE\nprint(CORE)\n"
    meta = orjson.loads(row["meta"])
    assert meta["repository"] == "one" and meta["file_starts"] == [0, row["text"].encode().index(b"# src/p/use.py")]
    assert meta["left_out"] == {"empty": 1, "excluded": 3, "ignored": 1, "unknown language": 1, "vendored": 1}


def test_a_repository_is_one_tasks_work_and_workers_leave_no_trace(tmp_path: Path) -> None:
    for number in range(5):
        files = {f"m{at}.py": f"import m{at + 1}\n" + f"x{number} = {at}\n" * 3000 for at in range(4)}
        write_tree(tmp_path / f"repos/r{number}", files)
    flags = ["--part-bytes", "65536", "--repository-document-bytes", "64000"]
    for workers in ("1", "2"):
        assert ingest(tmp_path / "repos", tmp_path / f"out{workers}", *flags, "--workers", workers).returncode == 0
    one, two = (json.loads((tmp_path / f"out{workers}/_manifest.json").read_bytes()) for workers in "12")
    assert one == two
    assert len([file for file in one["files"] if file["path"].startswith("_repositories/")]) == 5
    for part in one["parts"] + one["files"]:
        assert (tmp_path / "out1" / part["path"]).read_bytes() == (tmp_path / "out2" / part["path"]).read_bytes()


def test_mistakes_are_one_line(tmp_path: Path) -> None:
    done = ingest(tmp_path / "nowhere", tmp_path / "out")
    assert done.returncode == 2 and "neither a folder nor an archive" in done.stderr
    assert "Traceback" not in done.stderr
