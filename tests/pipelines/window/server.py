"""A window on loopback in a thread of this process, and a client that keeps its cookie; stopped with the block."""

import http.cookiejar
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from corpusmill.pipelines.window.app import application, server_of
from corpusmill.pipelines.window.named import NamedPaths

TOKEN = "a-token-of-tests"


@dataclass(frozen=True)
class Answer:
    """What the server answered."""

    status: int
    headers: dict[str, str]
    text: str


class Window:
    """A client with a cookie jar.

    Attributes:
        origin: "http://127.0.0.1:<port>".
        link: with the token.
    """

    def __init__(self, port: int) -> None:
        self.origin = f"http://127.0.0.1:{port}"
        self.link = f"{self.origin}/?token={TOKEN}"
        jar = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        self._opener = urllib.request.build_opener(jar)

    def enter(self) -> Answer:
        """Opens the link."""
        return self.get(f"/?token={TOKEN}")

    def get(self, address: str, method: str = "GET", **headers: str) -> Answer:
        """The answer to one request, after redirects."""
        request = urllib.request.Request(self.origin + address, method=method, headers=headers)
        try:
            with self._opener.open(request, timeout=60) as done:
                return Answer(done.status, dict(done.headers), done.read().decode())
        except urllib.error.HTTPError as error:
            return Answer(error.code, dict(error.headers), error.read().decode())


@contextmanager
def served(paths: Sequence[str]) -> Iterator[Window]:
    """A window on these paths."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        app = application(NamedPaths(paths), TOKEN, [f"127.0.0.1:{port}"])
        server = server_of(app)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            yield Window(port)
        finally:
            server.should_exit = True
            thread.join(10)
