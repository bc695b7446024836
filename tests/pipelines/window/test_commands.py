"""What "show the command" gives, run in the terminal, has the same as the page; folders behind URLs have pages, too."""

import html
import json
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import fsspec
import pytest

from corpusmill.pipelines.cli.main import main
from tests.pipelines.small_run import prose
from tests.pipelines.window.all_kinds import all_kinds
from tests.pipelines.window.server import Window, served

STAGE = "/at/run/stage"
PAGES = [
    (f"{STAGE}/clean/documents?contains=the&seed=3", "id", ["--json"]),
    (f"{STAGE}/clean/rejected", "rule", ["--json"]),
    (f"{STAGE}/unique/duplicates", "survivor", ["--json"]),
    (f"{STAGE}/shards/sequences?start=1", "document", []),
    (f"{STAGE}/model/training", "loss", []),
    (f"{STAGE}/model/step?step=2", "document", ["--json"]),
    (f"{STAGE}/model/step?spike=1", "document", ["--json"]),
    ("/at/run/document?id=good-1", "rule", ["--json"]),
    ("/at/run/sql?statement=" + quote("SELECT id FROM clean.documents ORDER BY id"), "id", ["--json"]),
    ("/at/index/stage/index/search?text=the", "id", ["--json"]),
    ("/at/index/stage/index/search?passage=" + quote(prose(1).splitlines()[0]), "text", ["--json"]),
]
"""(page, column of its table, what makes the command print whole values)."""


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Window]:
    with served(all_kinds(tmp_path_factory.mktemp("kinds"))) as window:
        window.enter()
        yield window


def command_of(page: str) -> list[str]:
    shown = re.search(r"<pre tabindex=\"0\"><code>(.*?)</code>", page, re.DOTALL)
    assert shown, "the page shows no command"
    words = shlex.split(html.unescape(shown[1]))
    assert words[0] == "corpusmill"
    return words[1:]


def said_by(words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    monkeypatch.setattr(sys, "argv", ["corpusmill", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code in (0, None), capsys.readouterr().err
    return capsys.readouterr().out


@pytest.mark.parametrize(("address", "column", "more"), PAGES)
def test_the_command_gives_what_the_page_has(
    window: Window,
    address: str,
    column: str,
    more: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    page = window.get(address)
    assert page.status == 200, page.text.partition("<main")[2][:600]
    exported = window.get(f"{address}{'&' if '?' in address else '?'}format=json").text
    values = [row[column] for row in map(json.loads, exported.splitlines()) if row[column] is not None]
    assert values, "the page has no table"
    words = command_of(page.text)
    said = said_by([*words[:2], *more, *words[2:]], monkeypatch, capsys)
    for value in values:
        assert str(value) in said or json.dumps(value)[1:-1] in said, (value, said[:500])


@pytest.mark.parametrize("address", ["/at/run", f"{STAGE}/clean", f"{STAGE}/shards", f"{STAGE}/clean/statistics"])
def test_pages_of_a_whole_place_have_a_command_that_runs(
    window: Window, address: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said_by(command_of(window.get(address).text), monkeypatch, capsys)


def test_a_bar_of_a_histogram_leads_to_its_documents(window: Window) -> None:
    """All bars together have every document that was measured, each once."""
    page = window.get(f"{STAGE}/clean/statistics?column=word_count").text
    counts = [int(number) for number in re.findall(r"<title>([\d,]+) from", page)]
    bars = {html.unescape(link) for link in re.findall(r'href="([^"]*where=[^"]*)"', page)}
    statement = quote("SELECT count(*) AS n FROM clean.statistics")
    everything = json.loads(window.get(f"/at/run/sql?format=json&statement={statement}").text)["n"]
    assert sum(counts) == everything and len(bars) == sum(count > 0 for count in counts)
    drawn = [window.get(f"{link}&format=json").text.splitlines() for link in bars]
    ids = [json.loads(line)["id"] for lines in drawn for line in lines]
    assert len(ids) == len(set(ids)) and len(ids) == 14, "those that were kept"


def test_a_run_behind_a_url_has_the_same_pages(window: Window, tmp_path: Path) -> None:
    (path,) = [word for word in command_of(window.get("/at/run").text) if word.endswith("/run")]
    memory = fsspec.filesystem("memory")
    memory.put(path, "/window-run", recursive=True)
    name = next(entry for entry in ("/window-run/run", "/window-run") if memory.exists(f"{entry}/clean/_manifest.json"))
    key = name.rsplit("/", 1)[1]
    try:
        with served([f"memory:/{name}"]) as remote:
            remote.enter()
            for address, column, _ in PAGES[:8]:
                ours, theirs = (
                    [
                        json.loads(line)[column]
                        for line in one.get(f"{there}{'&' if '?' in there else '?'}format=json").text.splitlines()
                    ]
                    for one, there in ((window, address), (remote, address.replace("/at/run", f"/at/{key}")))
                )
                assert ours == theirs and ours, address
    finally:
        memory.rm(name, recursive=True)


def test_huge_lines_and_broken_text_are_cut(window: Window) -> None:
    """A page of SQL with a cell of ten million letters, and broken or controlling characters, stays small and plain."""
    statement = "SELECT repeat('x', 10000000) AS long, chr(27) || '[31m' || chr(8238) || '<b>' AS bad, 'é👍文' AS kept"
    page = window.get(f"/at/run/sql?statement={quote(statement)}").text
    assert len(page) < 20_000 and "é👍文" in page and "<b>" not in page.partition("<table>")[2].partition("</table>")[0]
    assert not {"\x1b", "\u202e"} & set(page.partition("<table>")[2])


def test_sql_ends_in_time_and_rows(window: Window, monkeypatch: pytest.MonkeyPatch) -> None:
    from corpusmill.pipelines.inspect.sql import Limits
    from corpusmill.pipelines.window.pages import sql

    rows = window.get("/at/run/sql?format=json&statement=" + quote("SELECT * FROM range(100000)")).text
    assert len(rows.splitlines()) == sql.ROWS
    monkeypatch.setattr(sql, "LIMITS", Limits(memory_bytes=64 << 20, seconds=0.5, threads=1))
    endless = "SELECT count(*) FROM range(1000000000) a, range(1000000) b WHERE a.range % 7 = b.range % 11"
    assert "was stopped after 0.5 seconds" in window.get(f"/at/run/sql?statement={quote(endless)}").text
