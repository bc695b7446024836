"""Commands over folders in a store say what they say of the same folders on a disk, and write there what they would
write here; two drivers of one output leave the bytes of one."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import fsspec
import pytest

from corpusmill.dataproc import storage
from corpusmill.pipelines.cli.main import main
from tests.pipelines.road import environment
from tests.pipelines.small_run import add_shards, make_run
from tests.pipelines.window.server import served
from tests.stores.proxy import Proxy
from tests.stores.server import Server, client_environment

pytestmark = pytest.mark.slow

Say = Callable[..., str]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server() as server:
        server.make_bucket("lake")
        yield server


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A run with documents, what was kept of them, and shards, on a disk."""
    run = make_run(tmp_path_factory.mktemp("made"))
    add_shards(run)
    return str(run)


@pytest.fixture(scope="module")
def stored(server: Server, local: str) -> Iterator[str]:
    """The same in a bucket, with the environment in which it is found."""
    host, port = server.target
    with pytest.MonkeyPatch.context() as patch:
        for name, value in client_environment(f"http://{host}:{port}").items():
            patch.setenv(name, value)
        filesystem, _ = fsspec.core.url_to_fs("s3://lake/run")
        filesystem.put(f"{local}/", "lake/run/", recursive=True)
        yield "s3://lake/run"


@pytest.fixture
def say(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Say:
    """Runs a command that goes well in this process; gives what it printed."""

    def run(*arguments: object) -> str:
        monkeypatch.setattr(sys, "argv", ["corpusmill", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
            sys.exit(0)
        said, errors = capsys.readouterr()
        assert not ended.value.code, errors
        return said

    return run


@pytest.mark.parametrize(
    "arguments",
    [
        ("inspect", "show", "{}/unique", "--json"),
        ("inspect", "sample", "{}/unique", "-n", "3", "--json"),
        ("inspect", "why", "{}", "near", "--json"),
        ("inspect", "why", "{}", "twin", "--json"),
        ("inspect", "verify", "{}/unique", "--json"),
        ("inspect", "verify", "{}/shards", "--json"),
        ("inspect", "show", "{}/shards", "--json"),
        ("inspect", "sql", "SELECT count(*) FROM clean.documents", "{}", "--json"),
    ],
)
def test_a_question_has_the_same_answer(arguments: tuple[str, ...], say: Say, local: str, stored: str) -> None:
    there, here = (say(*(part.format(place) for part in arguments)) for place in (stored, local))
    assert there.replace(stored, "RUN") == here.replace(local, "RUN")
    assert there


def test_the_overview_and_the_status_name_all_stages(say: Say, stored: str) -> None:
    for said in (say("inspect", stored), say("status", stored)):
        assert all(stage in said for stage in ("documents", "clean", "unique", "shards"))


def test_a_report_is_written_into_the_store(say: Say, stored: str) -> None:
    say("report", stored, "--output", "s3://lake/pages/report.html")
    with fsspec.open("s3://lake/pages/report.html") as file:
        assert b"duplicates" in file.read()


def test_shards_go_to_other_formats_and_come_back(say: Say, local: str, stored: str, tmp_path: Path) -> None:
    say("export", f"{stored}/shards", "--to", "flat", "--output", "s3://lake/flat", "--workers", "1")
    say("export", f"{local}/shards", "--to", "flat", "--output", tmp_path / "flat", "--workers", "1")
    filesystem, _ = fsspec.core.url_to_fs("s3://lake/flat")
    names = [path.name for path in (tmp_path / "flat").glob("*.bin")]
    assert names
    for name in names:
        assert filesystem.cat_file(f"lake/flat/{name}") == (tmp_path / "flat" / name).read_bytes()


def test_an_index_is_made_and_asked_there(say: Say, stored: str) -> None:
    say("index", "add", "s3://lake/seen", f"{stored}/unique", "--workers", "1")
    assert "unique" in say("index", "show", "s3://lake/seen")
    say("index", "query", "s3://lake/seen", f"{stored}/documents", "--output", "s3://lake/matches", "--workers", "1")
    manifest = json.loads(fsspec.open("s3://lake/matches/_manifest.json").open().read())
    assert manifest["counts"]["documents_in"] > 0
    say("inspect", "verify", "s3://lake/seen")


def test_text_is_searched_there(say: Say, stored: str) -> None:
    say("search", "build", f"{stored}/unique", "--output", "s3://lake/text", "--workers", "1")
    assert json.loads(say("search", "count", "s3://lake/text", "the ", "--json").splitlines()[0])


def test_the_window_shows_a_run_there(stored: str) -> None:
    with served([stored]) as window:
        page = window.enter()
    assert page.status == 200 and all(stage in page.text for stage in ("documents", "unique", "shards"))


@pytest.mark.parametrize("folder", ["part-1", "gone"])
def test_a_folder_is_removed_and_nothing_beside_it(folder: str, stored: str) -> None:
    for name in ("part-1/a", "part-1/b/c", "part-1.x", "part-10/a", "part-1-x", "part-2/a"):
        storage.commit_bytes(f"s3://lake/removal/{name}", b"x")
    before = storage.counted_requests().get("LIST", 0)
    storage.remove(f"s3://lake/removal/{folder}")
    assert storage.counted_requests().get("LIST", 0) - before == 1
    kept = {"part-1.x", "part-10", "part-1-x", "part-2"} | ({"part-1"} if folder == "gone" else set())
    assert set(storage.list_names("s3://lake/removal")) == kept


RECIPE = """
name: two drivers
output: unused
stages:
  documents: {stage: ingest, inputs: ["${stdlib}/email/*.py"], kind: code, part_bytes: 64KiB}
"""


def test_a_second_driver_takes_the_output_over_and_the_first_one_says_so(server: Server, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(RECIPE)
    line = [sys.executable, "-m", "corpusmill", "run", str(recipe), "--workers", "1", "--output"]
    with Proxy(server.target, delay=0.4) as slow:
        variables = client_environment(slow.url)
        first = subprocess.Popen(
            [*line, "s3://lake/two"], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
            env=environment(**variables),
        )  # fmt: skip
        deadline = time.monotonic() + 60
        while not any(kind == "PUT" and "/read/" in key for kind, key in slow.keys):
            assert time.monotonic() < deadline and first.poll() is None
            time.sleep(0.05)
        host, port = server.target
        quick = client_environment(f"http://{host}:{port}")
        second = subprocess.run(
            [*line, "s3://lake/two"], capture_output=True, text=True, env=environment(**quick), timeout=100
        )
        assert second.returncode == 0, second.stderr
        _, said = first.communicate(timeout=100)
    assert first.returncode in (0, 2), said
    assert first.returncode == 0 or "another driver has taken over this output" in said
    alone = subprocess.run([*line, str(tmp_path / "alone")], capture_output=True, text=True, env=environment())
    assert alone.returncode == 0, alone.stderr
    with pytest.MonkeyPatch.context() as patch:
        for name, value in quick.items():
            patch.setenv(name, value)
        filesystem, _ = fsspec.core.url_to_fs("s3://lake/two")
        for path in (tmp_path / "alone/documents").glob("*"):
            if path.is_file():
                assert filesystem.cat_file(f"lake/two/documents/{path.name}") == path.read_bytes(), path.name
