"""A server on loopback that misbehaves as servers do; for tests."""

import http.server
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


class Server(http.server.ThreadingHTTPServer):
    """Serves `body` at `/<mode>/<name>`; modes are the words in `_Handler.answer`.

    Attributes:
        requests: (path, range, authorization) of every request.
        proxied: (URL, authorization of the proxy) of requests that were made as to a proxy.
        failures: how many requests a mode that recovers refuses first.
    """

    daemon_threads = True

    def __init__(self, body: bytes) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.body = body
        self.failures = 2
        self.requests: list[tuple[str, str | None, str | None]] = []
        self.proxied: list[tuple[str, str | None]] = []
        self.other: Server | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away is no news."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, *arguments: object) -> None:
        """Nothing."""

    def do_HEAD(self) -> None:
        self.refuse(405)  # a signed URL is signed for GET alone

    def do_GET(self) -> None:
        if "://" in self.path:
            self.server.proxied.append((self.path, self.headers.get("Proxy-Authorization")))
            self.path = "/" + self.path.split("/", 3)[3]
        self.server.requests.append((self.path, self.headers.get("Range"), self.headers.get("Authorization")))
        mode = self.path.split("/")[1]
        before = sum(path == self.path for path, _, _ in self.server.requests) - 1
        self.answer(mode, before)

    def answer(self, mode: str, before: int) -> None:
        if mode.startswith("status"):
            self.refuse(int(mode[6:]))
        elif mode in ("recovers", "throttles"):
            if before < self.server.failures:
                self.refuse(429 if mode == "throttles" else 503, [("Retry-After", "0")] if mode == "throttles" else [])
            else:
                self.send("ranges")
        elif mode == "later":
            self.refuse(503, [("Retry-After", "7200")])
        elif mode == "redirect":
            self.refuse(302, [("Location", self.path.replace("/redirect/", "/ranges/"))])
        elif mode == "loop":
            self.refuse(302, [("Location", self.path)])
        elif mode == "away":
            assert self.server.other
            self.refuse(307, [("Location", f"{self.server.other.url}/ranges/{self.path.split('/')[-1]}")])
        elif mode == "file":
            self.refuse(302, [("Location", "file:///etc/passwd")])
        elif mode == "login" and not self.headers.get("Authorization"):
            self.refuse(401)
        else:
            self.send("ranges" if mode == "changes" and not before else mode)

    def refuse(self, status: int, headers: list[tuple[str, str]] | None = None) -> None:
        self.send_response(status)
        for name, value in headers or []:
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def send(self, mode: str) -> None:
        body = self.server.body[::-1] if mode == "changes" else self.server.body
        asked = re.match(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        start, stop = 0, len(body)
        if asked and mode not in ("whole", "nolength", "chunked", "wholecut"):
            start, stop = int(asked[1]), min(stop, int(asked[2]) + 1 if asked[2] else stop)
            self.send_response(206 if start < len(body) else 416)
            self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{len(body)}" if body else "bytes */0")
        else:
            self.send_response(200)
        data = body[start:stop]
        if mode == "changes":
            self.send_header("ETag", '"other"')
        elif mode == "login":
            self.send_header("ETag", '"one"')
        if mode == "nolength":
            self.close_connection = True
        elif mode == "chunked":
            self.send_header("Transfer-Encoding", "chunked")
            data = b"%x\r\n%s\r\n0\r\n\r\n" % (len(data), data) if data else b"0\r\n\r\n"
        else:
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if mode in ("cut", "cutshort", "stall") and len(data) > 1:
            self.wfile.write(data[: len(data) // 2 if mode == "cut" else 10])
            self.wfile.flush()
            if mode == "stall":
                time.sleep(3)
            self.close_connection = True
        elif mode == "wholecut" and len(self.server.requests) % 3:
            self.wfile.write(data[: len(data) // 2])
            self.close_connection = True
        else:
            self.wfile.write(data)


@contextmanager
def served(body: bytes) -> Iterator[Server]:
    """The server, running until the block ends."""
    server = Server(body)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
