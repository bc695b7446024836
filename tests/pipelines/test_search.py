"""Search indexes by their commands: built whole and the same by any number of workers, resumed, verified, asked."""

import json
import re
from pathlib import Path
from urllib.parse import quote

import fsspec
import pytest
from typer.testing import CliRunner, Result

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.search.index import Query
from corpusmill.pipelines.cli.search import app_for
from corpusmill.pipelines.engine.executor import make_executor
from corpusmill.pipelines.engine.stage import Finished, Session, run_stage
from corpusmill.pipelines.inspect.places import recognise
from corpusmill.pipelines.inspect.search import open_indexes
from corpusmill.pipelines.inspect.verify import verify
from corpusmill.pipelines.settings import validate
from corpusmill.pipelines.stages.search.plan import SearchSettings, SearchStage
from tests.pipelines.small_dataset import write_dataset
from tests.pipelines.window.server import served

TEXTS = [f"Document {number} says that {number % 7} foxes jump. 文書{number}番。 " * 5 for number in range(60)]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three parts, the last of one document, and a document without text."""
    rows = [{"id": f"d{number}", "text": text} for number, text in enumerate(TEXTS)]
    folder = tmp_path_factory.mktemp("documents")
    return write_dataset(folder / "documents", rows[:30], [*rows[30:59], {"id": "empty", "text": ""}], rows[59:])


def build(dataset: Path | str, output: Path | str, workers: int = 1, **values: object) -> Finished:
    stage = SearchStage(validate(SearchSettings, {"datasets": [str(dataset)], **values}))
    with Session(make_executor=lambda: make_executor("local", workers=workers)) as session:
        return run_stage(stage, str(output), session)


@pytest.fixture(scope="module")
def index(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of several segments to a part."""
    folder = tmp_path_factory.mktemp("index") / "index"
    build(dataset, folder, segment_bytes=3000)
    return folder


def command(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app_for("search"), [str(argument) for argument in arguments])


def lines(result: Result) -> list[dict]:
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.output.splitlines()]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}


def test_an_index_answers_like_re_over_the_text(index: Path) -> None:
    (named,) = open_indexes([str(index)])
    assert len(named.index.paths) > 4
    for wanted in ("foxes", "Document 1", "文書5", "。 D", "jump. 文書59", "fox jump"):
        spots = [
            (f"d{number}", len(text[: match.start()].encode()))
            for number, text in enumerate(TEXTS)
            for match in re.finditer(f"(?={re.escape(wanted)})", text)
        ]
        hits = named.index.find(Query(wanted), 10_000)
        assert sorted((hit.id, hit.start) for hit in hits) == sorted(spots)
        count = named.index.count(Query(wanted), documents=True)
        assert (count.occurrences, count.documents) == (len(spots), len({document for document, _ in spots}))


def test_two_workers_make_the_same_bytes(dataset: Path, index: Path, tmp_path: Path) -> None:
    build(dataset, tmp_path / "index", workers=2, segment_bytes=3000)
    assert contents(tmp_path / "index") == contents(index)


def test_a_finished_segment_is_not_made_again(dataset: Path, tmp_path: Path) -> None:
    folder = tmp_path / "index"
    build(dataset, folder, segment_bytes=8000)
    whole = contents(folder)
    marker = sorted((folder / "_state" / "segments").glob("*.json"))[-1]
    files = [entry["path"] for entry in json.loads(marker.read_text())["result"]["files"]]
    before = {path.name: path.stat().st_mtime_ns for path in folder.glob("*.fm")}
    for path in (marker, folder / "_manifest.json", *(folder / name for name in files)):
        path.unlink()
    build(dataset, folder, segment_bytes=8000)
    assert contents(folder) == whole
    after = {path.name: path.stat().st_mtime_ns for path in folder.glob("*.fm")}
    assert {name for name in after if after[name] != before[name]} == set(files) != set(after)


def test_segments_are_as_large_as_asked_and_a_larger_document_has_its_own(tmp_path: Path) -> None:
    texts = ["short"] * 3 + ["long " * 1000] + ["short"] * 3
    rows = [{"id": f"d{number}", "text": text} for number, text in enumerate(texts)]
    finished = build(write_dataset(tmp_path / "documents", rows), tmp_path / "index", segment_bytes=2000)
    sizes = [entry["text_bytes"] for entry in finished.manifest["files"]]
    assert max(sizes) == 5001 and all(size < 2000 for size in sizes if size != 5001)
    assert finished.manifest["facts"]["text_bytes"] == sum(sizes) == sum(len(text) + 1 for text in texts)
    assert finished.manifest["counts"] == {"documents_in": 7, "kept": 7}


def test_an_index_of_nothing_holds_nothing(tmp_path: Path) -> None:
    finished = build(write_dataset(tmp_path / "documents", []), tmp_path / "index")
    assert finished.manifest["files"] == []
    assert lines(command("count", tmp_path / "index", "a", "--json"))[0]["occurrences"] == 0


def test_an_index_is_recognised_and_verified(index: Path, tmp_path: Path) -> None:
    assert recognise(str(index)).what == "search index"
    (done,) = verify(recognise(str(index)))
    assert not done.problems and done.files > 4


def test_a_damaged_segment_is_one_line_and_no_answer(dataset: Path, tmp_path: Path) -> None:
    build(dataset, tmp_path / "index")
    path = next((tmp_path / "index").glob("*.fm"))
    content = bytearray(path.read_bytes())
    content[len(content) // 8] ^= 1
    path.write_bytes(content)
    (done,) = verify(recognise(str(tmp_path / "index")))
    assert "digest differs" in done.problems[0][1]
    (named,) = open_indexes([str(tmp_path / "index")])
    with pytest.raises(UserError, match=r"segment-00000.fm: this segment of a search index is damaged: the checksum"):
        named.index.count(Query("foxes"))


def test_an_index_may_be_behind_a_url(dataset: Path) -> None:
    memory = fsspec.filesystem("memory")
    build(dataset, "memory://search-test/index", segment_bytes=8000)
    try:
        (named,) = open_indexes(["memory://search-test/index"])
        assert named.index.count(Query("foxes")).occurrences == "".join(TEXTS).count("foxes")
        assert named.index.contexts(Query("文書59"), 1, 10)[0].before.endswith("jump. ")
    finally:
        memory.rm("/search-test", recursive=True)


def test_the_commands_speak_json_and_plain_text(index: Path) -> None:
    (count,) = lines(command("count", index, "says that", "--json", "--documents"))
    assert (count["occurrences"], count["documents"]) == (300, 60)
    assert [count["index"] for count in lines(command("count", index, index, "X", "--json"))] == [str(index)] * 2
    both = command("count", index, index, "says that")
    assert both.output.splitlines()[-1].split() == ["all", "600"]
    assert lines(command("count", index, "SAYS THAT", "-i", "--json"))[0]["occurrences"] == 300

    (hit,) = lines(command("find", index, "Document 42", "-n", "1", "--json"))
    assert hit["id"] == "d42" and TEXTS[42].encode()[hit["start"] : hit["end"]] == b"Document 42"
    assert "d42" in command("find", index, "Document 42").output
    assert command("find", index, "nowhere at all").output == "it does not occur\n"

    (context,) = lines(command("context", index, "文書7番", "-n", "1", "--around", "12", "--json"))
    assert (context["before"], context["text"]) == (" foxes jump. "[-12:], "文書7番")
    assert "文書7番" in command("context", index, "文書7番").output

    passage = "It is known that Document 8 says that 1 foxes jump. Is it?"
    head, stretch = lines(command("trace", index, passage, "--json"))
    assert (head["words"], head["covered"]) == (13, 7)
    assert stretch["text"] == "Document 8 says that 1 foxes jump." and stretch["hits"][0]["id"] == "d8"
    assert "5 times, 7 words" in command("trace", index, passage).output


def test_a_passage_comes_from_a_file(index: Path, tmp_path: Path) -> None:
    (tmp_path / "passage.txt").write_text(TEXTS[3][:40])
    first = lines(command("trace", index, "--file", tmp_path / "passage.txt", "--json"))
    assert first[1:] == lines(command("trace", index, TEXTS[3][:40], "--json"))[1:]


def test_control_characters_of_documents_are_spelled_out(tmp_path: Path) -> None:
    build(
        write_dataset(tmp_path / "documents", [{"id": "a\x1b[1m", "text": "x\x1b]0;title\x07 needle"}]), tmp_path / "i"
    )
    for name in ("find", "context"):
        assert "\x1b" not in command(name, tmp_path / "i", "needle").output


def test_mistakes_are_one_line(dataset: Path, index: Path, tmp_path: Path) -> None:
    for arguments, message in {
        ("count", str(index)): "an index and a text are needed",
        ("count", str(index), ""): "text to search for is empty",
        ("find", str(dataset), "a"): "no search index here: 'spans' made this folder",
        ("find", str(tmp_path / "none"), "a"): "no such folder",
        ("trace", str(index), "--file", str(tmp_path / "none")): "no such file",
    }.items():
        result = command(*arguments)
        assert isinstance(result.exception, UserError) and message in str(result.exception)
    with pytest.raises(UserError, match="holds a search index, not documents"):
        build(index, tmp_path / "out")


def test_a_page_in_the_browser_says_what_the_commands_say(index: Path) -> None:
    word = "foxes jump"
    (counted,) = lines(command("count", index, word, "--json"))
    with served([str(index)]) as window:
        window.enter()
        address = f"/at/index/stage/index/search?text={quote(word)}"
        page = window.get(address).text
        hits = [json.loads(line) for line in window.get(address + "&format=json").text.splitlines()]
        passage = hits[0]["before"] + hits[0]["text"] + hits[0]["after"]
        traced = window.get(f"/at/index/stage/index/search?passage={quote(passage)}").text
        nothing = window.get("/at/index/stage/index/search?text=stands-nowhere").text
    assert counted["occurrences"] > 0 and f"<b>{counted['occurrences']:,}</b> occurrence" in page
    assert {hit["text"] for hit in hits} == {word} and f"<mark>{word}</mark>" in page
    assert "<mark>" in traced and hits[0]["id"] in traced
    assert "<b>0</b> occurrences" in nothing
