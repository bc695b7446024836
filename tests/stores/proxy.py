"""A proxy before a store's server: it delays each request, refuses some, cuts some answers, and counts them all.

A store on loopback answers in a millisecond and never fails; one that a cluster uses answers in tens of them, says
"503 SlowDown" when it is asked too much, and now and then a connection ends in the middle of a body. Faults are drawn
by a seed from the order of requests. One thread a connection; connections are kept open, as a store's are.
"""

import http.client
import random
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, urlsplit

SLOW_DOWN = (
    b"<?xml version='1.0'?><Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
)
RANGE = re.compile(r"bytes=(\d+)-(\d+)")
HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length"}


Target = tuple[str, int] | Callable[[str, str], tuple[int, bytes]]


class Proxy:
    """A context manager; `url` is what clients are given as the endpoint.

    Args:
        target: host and port of the server; or what answers in its place, given a method and a path, by a status and
            a body.
        delay: seconds that are added to each request.
        slow_downs: share of the requests that are answered by 503 SlowDown.
        cuts: share of the requests whose answer's body ends in the middle.
        seed: of the faults.

    Attributes:
        counts: requests by kind: LIST, HEAD, GET, PUT, PART, DELETE, POST.
        faults: refused and cut ones.
        keys: (kind, key) of each request, in order.
        bytes_in, bytes_out: bodies, to the store and from it.
    """

    def __init__(
        self, target: Target, *, delay: float = 0.0, slow_downs: float = 0.0, cuts: float = 0.0, seed: int = 0
    ) -> None:
        self.target, self.delay, self.slow_downs, self.cuts = target, delay, slow_downs, cuts
        self.counts: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.keys: list[tuple[str, str]] = []
        self.bytes_in = self.bytes_out = 0
        self.most_at_once = self._at_once = 0
        self._random, self._lock = random.Random(seed), threading.Lock()
        handler = type("Handler", (_Handler,), {"proxy": self})
        self._server = _Server(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> "Proxy":
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()

    def reset(self) -> None:
        """Begins to count anew."""
        with self._lock:
            self.counts, self.faults, self.keys = Counter(), Counter(), []
            self.bytes_in = self.bytes_out = self.most_at_once = 0

    def begin(self, kind: str, key: str, size: int) -> str:
        """Counts a request; gives its fault, "" for none."""
        with self._lock:
            self.counts[kind] += 1
            self.keys.append((kind, key))
            self.bytes_in += size
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
            draw = self._random.random()
            fault = "slow down" if draw < self.slow_downs else "cut" if draw < self.slow_downs + self.cuts else ""
            if fault:
                self.faults[fault] += 1
            return fault

    def end(self, size: int) -> None:
        """Counts an answer."""
        with self._lock:
            self.bytes_out += size
            self._at_once -= 1


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that was killed is no news."""


def kind_of(method: str, path: str) -> tuple[str, str]:
    """What a request is, and the key that it is about."""
    parts = urlsplit(path)
    query = parse_qs(parts.query, keep_blank_values=True)
    if method == "GET" and ("list-type" in query or "prefix" in query):
        return "LIST", f"{parts.path}?{query.get('prefix', [''])[0]}"
    if method == "PUT" and "partNumber" in query:
        return "PART", parts.path
    return method, parts.path


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    proxy: Proxy
    _upstream: http.client.HTTPConnection | None = None

    def setup(self) -> None:
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Says nothing."""

    def _serve(self) -> None:
        proxy = self.proxy
        body = self._body()
        fault = proxy.begin(*kind_of(self.command, self.path), len(body))
        size = 0
        try:
            time.sleep(proxy.delay)
            if fault == "slow down":
                self._answer(503, [("Content-Type", "application/xml")], SLOW_DOWN)
                return
            status, headers, answer = self._forward(body)
            size = len(answer)
            if fault == "cut" and answer:
                self._answer(status, headers, answer, cut=True)
            else:
                self._answer(status, headers, answer)
        finally:
            proxy.end(size)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _serve

    def _body(self) -> bytes:
        if self.headers.get("Expect", "").lower() == "100-continue":
            self.send_response_only(100)
            self.end_headers()
        if "chunked" not in self.headers.get("Transfer-Encoding", "").lower():
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        blocks = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            blocks.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return b"".join(blocks)

    def _forward(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        if callable(self.proxy.target):
            status, answer = self.proxy.target(self.command, self.path)
            if status == 200 and (asked := RANGE.fullmatch(self.headers.get("Range", ""))):
                status, answer = 206, answer[int(asked[1]) : int(asked[2]) + 1]
            return status, [("Content-Length", str(len(answer)))], answer
        headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP_BY_HOP | {"expect"}}
        headers["Content-Length"] = str(len(body))
        for attempt in range(2):
            if self._upstream is None:
                self._upstream = http.client.HTTPConnection(*self.proxy.target)
            try:
                self._upstream.request(self.command, self.path, body, headers)
                response = self._upstream.getresponse()
                answer = response.read()
                break
            except (http.client.HTTPException, OSError):
                self._upstream.close()
                self._upstream = None
                if attempt:
                    raise
        kept = [(name, value) for name, value in response.getheaders() if name.lower() not in HOP_BY_HOP]
        length = response.headers.get("Content-Length") if self.command == "HEAD" else str(len(answer))
        return response.status, [*kept, ("Content-Length", length or "0")], answer

    def _answer(self, status: int, headers: list[tuple[str, str]], answer: bytes, *, cut: bool = False) -> None:
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        if not any(name == "Content-Length" for name, _ in headers):
            self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer[: len(answer) // 2] if cut else answer)
        self.wfile.flush()
        if cut:
            self.close_connection = True
