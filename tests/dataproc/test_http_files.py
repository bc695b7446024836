"""Files behind HTTP: what may pass is tried again, the rest is one line without secrets, and no byte is another's."""

import random
import socket
from collections.abc import Iterator

import pytest

from corpusmill.dataproc import http_files, storage
from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.finding import find_files
from tests.dataproc.http_server import Server, served

BODY = random.Random(1).randbytes(5_000_000)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_files, "FIRST_PAUSE", 0.001)
    monkeypatch.setenv("CORPUSMILL_HTTP_TIMEOUT", "0.3")


@pytest.fixture
def server() -> Iterator[Server]:
    with served(BODY) as server, served(BODY) as other:
        server.other = other
        yield server


@pytest.mark.parametrize(
    "mode",
    ["ranges", "whole", "nolength", "chunked", "redirect", "recovers", "throttles", "cut", "wholecut", "away"],
)
def test_a_file_is_read_whole_and_anywhere(server: Server, mode: str) -> None:
    url = f"{server.url}/{mode}/a.bin?sig=secret#part"
    assert find_files(url) == [(url, "a.bin")]
    assert storage.exists(url)
    assert storage.size(url) == len(BODY)
    with storage.open_input(url) as file:
        assert file.read(100) == BODY[:100]
        assert file.seek(-50, 2) == len(BODY) - 50
        assert file.read() == BODY[-50:]
        file.seek(3_000_000)
        assert file.read(10) == BODY[3_000_000:3_000_010]
        file.seek(3_500_000)
        assert file.read(10) == BODY[3_500_000:3_500_010]
        file.seek(0)
        assert file.read() == BODY and file.read(1) == b""


@pytest.mark.parametrize(
    ("mode", "said", "requests"),
    [
        ("status403", "the server answered 403: access denied; check the credentials", 1),
        ("status401", "the server answered 401: access denied; check the credentials", 1),
        ("status404", "the server answered 404: no such file; check the URL", 1),
        ("status400", "the server answered 400; check the URL", 1),
        ("status500", "the server answered 500 (6 times in a row); check the URL and the network", 6),
        ("status429", "the server answered 429 (6 times in a row); check", 6),
        ("later", "the server answered 503 and asks to wait 7,200 s; try again then", 1),
        ("loop", "more than 10 redirects; check the URL", 11),
        ("file", "the server redirects to something other than a safe HTTP URL; check the URL", 1),
    ],
)
def test_what_cannot_be_had_is_one_line_without_secrets(server: Server, mode: str, said: str, requests: int) -> None:
    url = f"{server.url}/{mode}/a.jsonl?X-Amz-Signature=hidden&token=hidden".replace("//", "//me:hidden@", 1)
    with pytest.raises(UserError) as caught:
        find_files(url)
    line = str(caught.value)
    assert said in line and "hidden" not in line and "me:" not in line
    assert f"/{mode}/a.jsonl?X-Amz-Signature=***&token=***&digest=" in line
    assert len(server.requests) == requests
    if mode == "status404":
        assert not storage.exists(url)


def test_what_is_cut_off_or_silent_for_good_is_one_line(server: Server) -> None:
    for mode, said in (("cutshort", "the connection was cut off"), ("stall", "the server sent nothing for 0.3 s")):
        with (
            pytest.raises(UserError, match=f"{said} \\(6 times in a row\\)"),
            storage.open_input(f"{server.url}/{mode}/a") as file,
        ):
            file.read()


def test_a_connection_that_is_refused_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    with pytest.raises(UserError, match=f"127.0.0.1:{port}/a.jsonl: the connection was refused"):
        find_files(f"http://127.0.0.1:{port}/a.jsonl")
    with pytest.raises(UserError, match="this host is not known"):
        find_files("http://nowhere.invalid/a.jsonl")
    monkeypatch.setenv("CORPUSMILL_HTTP_ATTEMPTS", "1")
    with pytest.raises(UserError, match=r"the connection was refused \(once\)"):
        storage.size(f"http://127.0.0.1:{port}/a.jsonl")


@pytest.mark.parametrize(
    "url", ["http://", "http://h:port/a", "http:///a", "http://[1/a", "http://h\udc80/a", "http://h"]
)
def test_what_is_no_url_is_one_line(url: str) -> None:
    with pytest.raises(UserError):
        find_files(url)


def test_a_file_that_changes_while_it_is_read_is_refused(server: Server) -> None:
    url = f"{server.url}/changes/a"
    with pytest.raises(UserError, match="this file changed while it was read"), storage.open_input(url) as file:
        file.read()


def test_what_has_no_length_is_known_by_its_bytes(server: Server) -> None:
    before = storage.identity(f"{server.url}/nolength/a")
    assert before == storage.identity(f"{server.url}/chunked/a")
    assert before[0] == len(BODY)
    server.body = BODY[::-1]
    assert storage.identity(f"{server.url}/nolength/a") != before


def test_user_and_password_go_to_their_own_host_only(server: Server) -> None:
    url = server.url.replace("//", "//me:pass%40word@")
    with storage.open_input(f"{url}/login/a") as file:
        assert file.read(5) == BODY[:5]
    assert storage.size(f"{url}/away/a") == len(BODY)
    assert {authorization for _, _, authorization in server.requests} == {"Basic bWU6cGFzc0B3b3Jk"}
    assert server.other and {authorization for _, _, authorization in server.other.requests} == {None}


def test_an_empty_file_is_empty() -> None:
    with served(b"") as server:
        for mode in ("ranges", "whole", "nolength", "chunked"):
            assert storage.size(f"{server.url}/{mode}/a") == 0
            with storage.open_input(f"{server.url}/{mode}/a") as file:
                assert file.read() == b""


def test_the_proxy_of_the_environment_is_asked_unless_the_host_is_excepted(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", server.url.replace("http://", "http://me:word@"))
    assert storage.size("http://nowhere.invalid/ranges/a.bin") == len(BODY)
    assert server.requests[-1][0] == "/ranges/a.bin"
    assert server.proxied == [("http://nowhere.invalid/ranges/a.bin", "Basic bWU6d29yZA==")]
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert storage.size(f"{server.url}/ranges/b.bin") == len(BODY)
    assert len(server.proxied) == 1
    monkeypatch.setenv("http_proxy", "socks5://me:word@127.0.0.1:1")
    with pytest.raises(UserError, match="this kind of proxy is not supported") as error:
        storage.size("http://nowhere.invalid/ranges/a.bin")
    assert "word" not in str(error.value)
