"""The documents name what is there: paths, tests, modules, links, stages, commands and their flags, lengths of files.

In backticks, a word that looks like a path or like a module of ours is taken for one. It is looked for from the root,
and for some pages also from the folder that they say their paths start from (`BASES`); `<name>` in a path stands for
any name. Code in fenced blocks is looked at only where a test says so.
"""

import json
import re
import shlex
import sys
import tomllib
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from typer.testing import CliRunner

import corpusmill
from corpusmill.pipelines import registry
from corpusmill.pipelines.cli.main import app
from corpusmill.tokenizer.counting.counts import count_pretokens
from corpusmill.tokenizer.formats.files import write_tokenizer
from corpusmill.tokenizer.learning.bpe import train_merges
from corpusmill.tokenizer.special import layout_named
from tests.pipelines.small_run import prose

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
GENERATED = {ROOT / "docs/reference" / f"{name}.md" for name in ("commands", "recipes", "schemas")}
"""Pages that the site's build makes (scripts/docs_site)."""
PACKAGES = ("dataproc", "tokenizer", "training", "pipelines")
FOLDERS = (*PACKAGES, "tests", "docs", "examples", "benchmarks", "scripts", "src")
BASES = {"training.md": "training", "survival.md": "tests/pipelines", "architecture.md": "pipelines/stages/*"}
FILE_ENDINGS = ("json", "tiktoken", "md", "py", "yaml")
"""What `tokenizer.json` ends in, which is no module of ours."""
UNWANTED = {"utils.py", "helpers.py", "common.py"}
"""Names of files that CONTRIBUTING.md forbids."""

FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
QUOTED = re.compile(r"`([^`]+)`")
A_PATH = re.compile(r"[\w./*<>-]+(::\w+)?")
A_MODULE = re.compile(rf"(corpusmill\.)?({'|'.join(PACKAGES)})(\.\w+)+")
A_LINK = re.compile(r"\]\(([^)\s]+)\)")


def words(page: Path) -> list[str]:
    """All words in backticks outside of fenced blocks, without punctuation at their ends."""
    return [
        word.strip(",;()'\"") for quoted in QUOTED.findall(FENCED.sub("", page.read_text())) for word in quoted.split()
    ]


def is_path(word: str) -> bool:
    name = word.partition("::")[0]
    if not A_PATH.fullmatch(word) or name.startswith(("/", "~")):
        return False
    return name.endswith(".py") or ("/" in name and name.split("/")[0] in FOLDERS)


def missing_path(word: str, base: str) -> bool:
    name, _, test = word.partition("::")
    pattern = re.sub(r"<\w+>", "*", name).rstrip("/")
    files = [file for path in {pattern, f"{base}/{pattern}"} for file in ROOT.glob(path.lstrip("/"))]
    return not any(not test or f"def {test}(" in file.read_text() for file in files)


def missing_module(word: str) -> bool:
    """Whether a dotted name leads to no file, or to a file that does not define the name after it."""
    path, names = ROOT, word.removeprefix("corpusmill.").split(".")
    while names and ((path / names[0]).is_dir() or (path / f"{names[0]}.py").exists()):
        path = path / names.pop(0)
    if not names:
        return False
    source = path.with_suffix(".py") if path.with_suffix(".py").exists() else path / "__init__.py"
    return not re.search(rf"^(class |def |from .* import .*)?\b{names[0]}\b", source.read_text(), re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_path_and_test_that_is_named_exists(page: Path) -> None:
    base = BASES.get(page.name, "")
    paths = {word for word in words(page) if is_path(word)} - UNWANTED
    assert sorted(path for path in paths if missing_path(path, base)) == []
    tests = "".join(file.read_text() for file in ROOT.glob("tests/**/test_*.py"))
    assert [word for word in words(page) if re.fullmatch(r"test_\w+", word) and f"def {word}(" not in tests] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_module_that_is_named_exists(page: Path) -> None:
    modules = [word for word in words(page) if A_MODULE.fullmatch(word) and not word.endswith(FILE_ENDINGS)]
    assert [word for word in modules if missing_module(word)] == []


def test_these_checks_notice_what_is_not_there() -> None:
    assert is_path("dataproc/storage.py") and not missing_path("dataproc/storage.py", "")
    assert is_path("pipelines/tasks/") and missing_path("pipelines/tasks/", "")
    assert missing_path("tests/test_docs.py::test_of_nothing", "")
    assert not missing_module("dataproc.documents.SCHEMA") and missing_module("dataproc.documents.NOTHING")
    assert not missing_module("corpusmill.dataproc.rules.decide") and missing_module("dataproc.files")


def anchors(page: Path) -> set[str]:
    """What a page's headings can be linked by."""
    headings = re.findall(r"^#+ (.+)$", FENCED.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_relative_links_lead_somewhere(page: Path) -> None:
    lost = []
    for link in A_LINK.findall(FENCED.sub("", page.read_text())):
        path, _, anchor = link.partition("#")
        if "://" in link:
            continue
        target = (page.parent / path).resolve() if path else page
        if target in GENERATED:
            continue  # whose places a strict build of the site looks for
        if not target.exists() or (anchor and anchor not in anchors(target)):
            lost.append(link)
    assert lost == []


def the_house() -> list[tuple[int, str, str]]:
    """(indentation, first word, the rest) of each line of the map in docs/architecture.md."""
    text = (ROOT / "docs/architecture.md").read_text()
    _, house = FENCED.findall(text[text.index("## The house") :])[0]
    lines = [line for line in house.splitlines() if line.strip()]
    return [(len(line) - len(line.lstrip()), *line.split(maxsplit=1)) for line in lines]  # type: ignore[misc]


def house_paths() -> list[str]:
    """Paths of all folders and files of the map: a folder's are indented below it."""
    above: list[tuple[int, str]] = []
    paths = []
    for indentation, name, rest in the_house():
        while above and above[-1][0] >= indentation:
            above.pop()
        folder = above[-1][1] if above else ""
        files = [name, *re.findall(r"\b\w+\.py\b", rest)] if name.endswith(".py") else [name]
        paths += [folder + file for file in files]
        if name.endswith("/"):
            above.append((indentation, folder + name))
    return paths


def test_the_map_names_every_folder_and_nothing_that_is_not_there() -> None:
    named = house_paths()
    assert [path for path in named if not (ROOT / path).exists()] == []
    inner = [path for package in PACKAGES for path in (ROOT / package).glob("*/__init__.py")]
    folders = {f"{path.parent.relative_to(ROOT)}/" for path in inner}
    assert sorted(folders - set(named)) == []


def test_the_map_has_the_stages_of_the_registry() -> None:
    rooms = {}
    lines = the_house()
    start = next(place for place, line in enumerate(lines) if line[1] == "stages/")
    for indentation, name, rest in lines[start + 1 :]:
        if indentation <= lines[start][0]:
            break
        if name.endswith("/"):
            rooms[name.rstrip("/")] = rest.partition(":")[0].split(", ")
    expected: dict[str, list[str]] = {}
    for stage, target in registry.STAGES.items():
        expected.setdefault(target.partition(".")[0], []).append(stage)
    assert rooms == expected


def test_the_readmes_library_snippet_runs_and_has_all_names(tmp_path: Path) -> None:
    (code,) = (text for language, text in FENCED.findall((ROOT / "README.md").read_text()) if language == "python")
    counts = count_pretokens(pa.array(["a quick brown fox, a lazy dog"] * 3, pa.large_string()))
    vocabulary = train_merges(counts, 270, list(layout_named("compact").first))
    folder = str(tmp_path / "tokenizer")
    write_tokenizer(folder, vocabulary, "compact", "deepseek-v3", {})
    namespace: dict[str, Any] = {}
    exec(code.replace("quickstart-output/tokenizer", folder), namespace)
    assert set(corpusmill.__all__) - {"__version__"} <= namespace.keys()
    assert namespace["kept"].tolist() == [False]  # a sentence is no document


def test_the_snippets_of_the_librarys_page_run_one_after_the_other(tmp_path: Path, monkeypatch) -> None:
    records = [{"id": str(number), "text": prose(number)} for number in range(24)]
    (tmp_path / "raw.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, Any] = {}
    for language, code in FENCED.findall((ROOT / "docs/library.md").read_text()):
        if language == "python":
            exec(code, namespace)
    assert namespace["clean"]["counts"]["kept"] > 12
    assert namespace["inputs"].keys() == {"input_ids", "labels", "position_ids", "use_cache"}


def test_the_requirements_of_installing_are_those_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    section = (ROOT / "docs/installing.md").read_text()
    extras = re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)
    assert set(extras) == project["optional-dependencies"].keys() - {"dev"}
    needed = re.findall(r"\b(numba|NumPy|pyarrow|pydantic)\s+(\d+(?:\.\d+)?)", section.split("| extra")[0])
    dependencies = " ".join(project["dependencies"])
    assert len(needed) == 4
    assert [pair for pair in needed if not re.search(rf"{pair[0].lower()}>={pair[1]}\b", dependencies)] == []


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_bytes()) < 8192


def commands() -> list[tuple[str, str]]:
    """(page, what comes after `corpusmill`) of each line in fenced blocks of shell that calls it."""
    lines = []
    for page in PAGES:
        for language, block in FENCED.findall(page.read_text()):
            for line in block.replace("\\\n", " ").splitlines() if language == "sh" else ():
                _, called, rest = line.partition(" #")[0].partition("corpusmill ")
                if called:
                    lines.append((page.name, rest))
    return lines


def test_documented_commands_and_their_flags_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    """With --help after it, a command line is read by its command, which knows all flags, and nothing is run."""
    monkeypatch.setattr(sys, "argv", ["corpusmill", "a command"])
    refused = []
    for page, line in commands():
        result = CliRunner().invoke(app, [*shlex.split(line), "--help"])
        if result.exit_code:
            refused.append((page, line, result.output))
    assert len(commands()) > 40
    assert refused == []


def test_the_reading_guide_says_how_long_its_files_are() -> None:
    """Within a fifth: the guide is for people with 20 minutes."""
    text = (ROOT / "docs/reading.md").read_text()
    said = re.findall(r"\]\(\.\./([\w/.]+)\)\s+\((\d+)\s+lines", text)
    lengths = {path: len((ROOT / path).read_text().splitlines()) for path, _ in said}
    assert len(said) >= 14
    assert [(path, lengths[path]) for path, lines in said if abs(lengths[path] - int(lines)) > lengths[path] / 5] == []
