"""Who is let in: the holder of the token, under a host's own name, and only to read."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from corpusmill.pipelines.window.admission import POLICY
from corpusmill.pipelines.window.app import names_of
from tests.pipelines.road import environment
from tests.pipelines.small_run import make_run
from tests.pipelines.window.server import Window, served


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("run"))


@pytest.fixture
def window(run: Path) -> Iterator[Window]:
    with served([str(run)]) as window:
        yield window


def test_the_token_is_asked_for_once_and_leaves_the_address(window: Window) -> None:
    assert window.get("/").status == 403
    assert window.get("/at/run").status == 403
    assert window.get("/static/style.css").status == 403
    assert window.get("/?token=another").status == 403
    assert "broke" in window.enter().text
    assert window.get("/at/run").status == 200
    assert window.get("/?token=another").status == 403


def test_a_redirect_stays_on_this_host(window: Window) -> None:
    answer = window.get("//evil.example/?token=a-token-of-tests")
    assert answer.status == 404 and "there is no such page" in answer.text


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "127.0.0.1.evil.example:80", "localhost:1", ""])
def test_another_name_of_this_machine_is_refused(window: Window, host: str) -> None:
    window.enter()
    assert window.get("/", Host=host).status == 421


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_nothing_can_be_changed(window: Window, method: str) -> None:
    window.enter()
    assert window.get("/at/run", method=method).status == 405


@pytest.mark.parametrize("address", ["/", "/at/run", "/static/window.js", "/none", "/?token=x"])
def test_every_answer_has_the_policy(window: Window, address: str) -> None:
    window.enter()
    headers = window.get(address).headers
    assert headers["content-security-policy"] == POLICY
    assert "unsafe" not in POLICY and "*" not in POLICY
    assert headers["x-content-type-options"] == "nosniff" and headers["referrer-policy"] == "no-referrer"
    assert "server" not in headers


@pytest.mark.parametrize(
    "address",
    [
        "/at/..",
        "/at/%2e%2e%2f",
        "/at/run%2f..",
        "/at/%2Fetc",
        "/static/../app.py",
        "/static/%2e%2e/app.py",
        "/at/run/x",
    ],
)
def test_nothing_but_what_was_named_is_there(window: Window, address: str) -> None:
    window.enter()
    answer = window.get(address)
    assert answer.status == 404 and "Traceback" not in answer.text


def test_the_command_prints_a_link_on_loopback_and_ends_with_an_interrupt(run: Path) -> None:
    command = [sys.executable, "-m", "corpusmill", "inspect", "serve", str(run)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment())
    assert process.stdout is not None
    link = process.stdout.readline().strip()
    try:
        assert link.startswith("http://127.0.0.1:") and len(link.partition("token=")[2]) >= 20
        port = int(link.split(":")[2].split("/")[0])
        with socket.create_connection(("127.0.0.1", port), timeout=5):
            pass
    finally:
        process.send_signal(2)
    assert process.wait(20) in (0, 130)


def test_a_port_that_is_taken_is_one_line(run: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        command = [sys.executable, "-m", "corpusmill", "inspect", "serve", str(run), "--port"]
        command.append(str(taken.getsockname()[1]))
        done = subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=60)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "cannot listen there" in done.stderr


def test_a_server_at_every_address_is_called_by_the_machines_name() -> None:
    assert names_of("127.0.0.1") == ["127.0.0.1", "localhost", "[::1]"]
    assert names_of("::1")[0] == "[::1]"
    assert names_of("0.0.0.0")[0] == socket.gethostname() and "0.0.0.0" not in names_of("0.0.0.0")


def test_a_path_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "corpusmill", "inspect", "serve", str(tmp_path / "none")]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=60)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "no such file or folder" in done.stderr
