"""`corpusmill tokenizer`: a report as tables, page and JSON; encode, decode and show as a user meets them."""

import json
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from corpusmill.pipelines.inspect.tokens import describe_id, token_pieces
from corpusmill.pipelines.report.tokenizers import measure_datasets, open_tokenizer
from corpusmill.tokenizer import Tokenizer
from tests.pipelines.road import environment
from tests.pipelines.test_stage_inputs import run

pytest.importorskip("jinja2")
pytest.importorskip("matplotlib")

HOSTILE = "<script>alert('{{ 7 * 7 }}')</script> \x1b]0;owned\x07 \u202etxt.exe"
END = "<｜end▁of▁sentence｜>"


class Silent:
    """Progress that nobody looks at, but that adds up."""

    def __init__(self) -> None:
        self.total = self.done = self.documents = 0

    def start(self, stage: str, phase: str, total_bytes: int, done_bytes: int, at_work: Any = None) -> None:
        self.total = total_bytes

    def advance(self, *, count: int, documents: int) -> None:
        self.done += count
        self.documents += documents

    def stop(self) -> None: ...
    def say(self, line: str) -> None: ...


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Documents in several parts, a hostile one among them; two tokenizers; and an empty dataset."""
    folder = tmp_path_factory.mktemp("made")
    lines = [
        {"id": f"d{number}", "text": f"Document {number}:\n" + "words and more words.\n" * (number * 37 % 90)}
        for number in range(300)
    ]
    lines.append({"id": f"hostile {HOSTILE}", "text": (HOSTILE + "\n") * 20})
    (folder / "raw.jsonl").write_text("\n".join(map(json.dumps, lines)))
    (folder / "none.jsonl").write_text("")
    inputs = [{"path": str(folder / "raw.jsonl"), "source": "<b>bold</b>", "kind": "web"}]
    run("ingest", folder / "documents", inputs=inputs, part_bytes="64KiB")
    run("ingest", folder / "empty", inputs=[str(folder / "none.jsonl")], source="none")
    for name, size in (("tokenizer", 500), ("smaller", 300)):
        run("tokenizer", folder / name, datasets=[str(folder / "documents")], vocab_size=size, special="compact")
    return folder


def corpusmill(*arguments: object, **options) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "corpusmill", "tokenizer", *map(str, arguments)]
    return subprocess.run(line, capture_output=True, text=True, env=environment(), timeout=120, **options)


@pytest.mark.parametrize("command", ["train", "encode", "decode", "show", "report"])
def test_every_command_has_help_with_an_example(command: str) -> None:
    done = corpusmill(command, "--help")
    assert done.returncode == 0 and "Example: " in done.stdout and f"corpusmill tokenizer {command} " in done.stdout


@pytest.mark.parametrize("workers", [1, 3])
def test_all_documents_of_all_parts_are_measured(made: Path, workers: int) -> None:
    progress = Silent()
    opened = [open_tokenizer(str(made / "tokenizer")), open_tokenizer(str(made / "smaller/tokenizer.json"))]
    measured = measure_datasets(opened, [str(made / "documents")], progress, workers)
    parts = list((made / "documents").glob("part-*.parquet"))
    texts = [text for path in parts for text in pq.read_table(path)["text"].to_pylist()]
    assert len(parts) > 3 and measured["text"]["documents"] == len(texts) == 301 == progress.documents
    assert measured["text"]["bytes"] == sum(len(text.encode()) for text in texts)
    assert 0.5 < progress.done / progress.total < 1.5
    loaded = Tokenizer.load(str(made / "tokenizer"))
    tokens = sum(len(row) for row in loaded.encode(pq.read_table(parts[0])["text"].combine_chunks()).to_pylist())
    assert 0 < tokens < measured["tokenizers"][0]["tokens"] < measured["tokenizers"][1]["tokens"]
    assert [tokenizer["lost"]["documents"] for tokenizer in measured["tokenizers"]] == [0, 0]
    assert measured == measure_datasets(opened, [str(made / "documents")], Silent(), 2)


class Outline(HTMLParser):
    """Tags with their attributes, and all text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_command_prints_tables_and_writes_what_it_is_asked_for(made: Path, tmp_path: Path) -> None:
    page, report_path = tmp_path / "page.html", tmp_path / "numbers.json"
    done = corpusmill(
        *("report", made / "tokenizer", made / "documents", "--against", made / "smaller/tokenizer.json"),
        *("--html", page, "--json", report_path),
    )
    assert done.returncode == 0, done.stderr
    assert "301 documents" in done.stdout and done.stdout.count("every document came back from its ids") == 2
    assert "\x1b" not in done.stdout and "\u202e" not in done.stdout
    numbers = json.loads(report_path.read_text())
    first = numbers["tokenizers"][0]
    assert f"{first['tokens']:,}" in done.stdout and f"{first['bytes_per_token']:.3f}" in done.stdout
    outline = Outline(page.read_text())
    assert f"{first['groups']['kind']['web']['characters_per_token']:.3f}" in outline.text
    assert f"{first['bytes_per_token']:.3f}" in outline.text and "<b>bold</b>" in outline.text
    assert [tag for tag, _ in outline.tags].count("script") == 1 and "b" not in [tag for tag, _ in outline.tags][-5:]
    assert sum((attributes.get("class") or "").startswith("chart") for _, attributes in outline.tags) == 2
    assert "mathdefault" not in outline.text
    policy = [attributes for tag, attributes in outline.tags if attributes.get("http-equiv")]
    content = policy[0]["content"]
    assert content and content.startswith("default-src 'none'; style-src 'sha256-") and "unsafe" not in content
    assert not [attributes for _, attributes in outline.tags if "style" in attributes]
    loaded = [value for _, attributes in outline.tags for name, value in attributes.items() if name in ("src", "href")]
    assert all(value and value.startswith("#") for value in loaded)
    assert not {"\x1b", "\x07", "\u202e"} & set(page.read_text())


def test_the_page_goes_into_the_tokenizers_folder_when_asked_for(made: Path) -> None:
    before = {path.name for path in (made / "smaller").iterdir()}
    assert corpusmill("report", made / "smaller", made / "documents").returncode == 0
    assert {path.name for path in (made / "smaller").iterdir()} == before
    done = corpusmill("report", made / "smaller", made / "documents", "--html", made / "smaller")
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (made / "smaller").iterdir()} == before | {"report.html"}
    assert str(made / "smaller/report.html") in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("tokenizer", "empty"), "there are no documents to measure on"),
        (("nowhere", "documents"), "nowhere: no such tokenizer"),
        (("raw.jsonl", "documents"), "not a tokenizer file that Hugging Face's library reads"),
        (("tokenizer", "nowhere"), "nowhere: no such folder"),
        (("tokenizer", "tokenizer"), "this folder holds a tokenizer, not documents"),
    ],
)
def test_what_cannot_be_measured_is_one_line(made: Path, arguments: tuple[str, ...], said: str) -> None:
    done = corpusmill("report", *arguments, cwd=made)
    assert done.returncode == 2 and said in done.stderr and done.stderr.count("\n") == 1


def test_a_document_that_does_not_come_back_fails_the_command(made: Path, tmp_path: Path) -> None:
    content = json.loads((made / "tokenizer/tokenizer.json").read_text())
    content["normalizer"] = {"type": "Lowercase"}
    (tmp_path / "lower.json").write_text(json.dumps(content))
    done = corpusmill("report", tmp_path / "lower.json", made / "documents")
    assert done.returncode == 1, done.stderr
    assert "300 documents did NOT come back: d0, d1, d10" in done.stdout  # the hostile one is in lower case
    assert (
        corpusmill("report", made / "tokenizer", made / "documents", "--against", tmp_path / "lower.json").returncode
        == 0
    )


def test_a_missing_library_is_said_before_anything_is_measured(made: Path, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['matplotlib'] = None\n")
    paths = f"{tmp_path}:{environment()['PYTHONPATH']}"
    line = [sys.executable, "-m", "corpusmill", "tokenizer", "report", str(made / "tokenizer"), str(made / "documents")]
    for more, code in ((["--html", str(tmp_path / "page.html")], 2), ([], 0)):
        done = subprocess.run([*line, *more], capture_output=True, text=True, env=environment(PYTHONPATH=paths))
        assert done.returncode == code, done.stderr
        assert ("corpusmill[report]" in done.stderr) == (code == 2) == ("documents" not in done.stdout)


def test_ids_and_offsets_of_text_from_outside_and_of_trusted_text(made: Path) -> None:
    text = f"é and {END}"
    ids = json.loads(corpusmill("encode", made / "tokenizer", input=text).stdout)
    loaded = Tokenizer.load(str(made / "tokenizer"))
    assert not set(ids) & set(loaded.special.ids.values())
    done = corpusmill("encode", made / "tokenizer", "--trusted", "--offsets", "character", input=text)
    encoded = json.loads(done.stdout)
    assert encoded["ids"][-1] == loaded.special.eos and len(encoded["ids"]) == len(encoded["starts"])
    assert encoded["starts"][-1] == 6 and encoded["ends"][-1] == len(text)
    encoded = json.loads(corpusmill("encode", made / "tokenizer", "--offsets", "byte", input=text).stdout)
    assert encoded["ids"] == ids and encoded["ends"][-1] == len(text.encode())
    done = corpusmill("encode", made / "tokenizer", "--offsets", "word", input=text)
    assert done.returncode == 2 and "--offsets: unknown unit 'word'; give byte or character" in done.stderr


def test_a_stream_of_ids_gives_the_text(made: Path) -> None:
    loaded = Tokenizer.load(str(made / "tokenizer"))
    text = "words 中文 😀"
    ids = [*json.loads(corpusmill("encode", made / "tokenizer", input=text).stdout), loaded.special.eos]
    lines = "\n".join([str(ids[0]), json.dumps(ids[1:3]), *map(str, ids[3:])])
    assert corpusmill("decode", made / "tokenizer", "--stream", input=lines).stdout == text + END
    assert corpusmill("decode", made / "tokenizer", "--stream", "--hide-special", input=lines).stdout == text
    assert corpusmill("decode", made / "tokenizer", "--hide-special", *ids).stdout == text
    done = corpusmill("decode", made / "tokenizer", input="7\n")
    assert done.returncode == 2 and "not a JSON list of ids" in done.stderr
    done = corpusmill("decode", made / "tokenizer", "--stream", input="[true]\n")
    assert done.returncode == 2 and "not a JSON list of ids" in done.stderr


def test_a_tokenizer_can_be_looked_into(made: Path) -> None:
    done = corpusmill("show", made / "tokenizer", "--text", "words\x1b[2J\n")
    assert done.returncode == 0, done.stderr
    assert "words␛[2J␊" in done.stdout and "\x1b" not in done.stdout and "10-11" not in done.stdout
    assert "deepseek-v3" in corpusmill("show", made / "tokenizer").stdout
    assert "<｜fim▁hole｜>" in corpusmill("show", made / "tokenizer").stdout
    done = corpusmill("show", made / "tokenizer", "--id", "100000")
    assert done.returncode == 2 and "no token has the id 100000" in done.stderr


def test_pieces_and_ids_are_told_as_they_are(made: Path) -> None:
    loaded = Tokenizer.load(str(made / "tokenizer"))
    pieces = list(token_pieces(loaded, "more words é"))
    assert b"".join(piece.spelled for piece in pieces) == "more words é".encode()
    assert [piece.start for piece in pieces] == [0, *(piece.end for piece in pieces[:-1])]
    merged = next(piece for piece in pieces if len(piece.spelled) > 1)
    rows = dict(describe_id(loaded, merged.id))
    assert rows["text"] == merged.text and rows["bytes"] == merged.spelled.hex(" ") and "number" in rows["merge"]
    assert dict(describe_id(loaded, loaded.special.eos))["role"] == "eos"
