"""A server on loopback that plays Common Crawl's: the list of a crawl's paths, and its files by ranges; it is busy at
times, and counts who asks."""

import gzip
import http.server
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

CRAWL = "CC-MAIN-2024-22"


class CrawlServer(http.server.ThreadingHTTPServer):
    """Serves files by path.

    Attributes:
        refuse: path and number of the request of it to the status that it is refused with, or None.
        requests: (path, range) of each, in order.
        most_at_once: how many were answered at a time.
    """

    daemon_threads = True

    def __init__(self, files: Mapping[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files = dict(files)
        self.refuse: Callable[[str, int], int | None] = lambda path, number: None
        self.requests: list[tuple[str, str]] = []
        self.counts: Counter[str] = Counter()
        self.most_at_once = self.at_once = 0
        self.pause = 0.0
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away is no news."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: CrawlServer

    def log_message(self, *arguments: object) -> None:
        """Nothing."""

    def do_GET(self) -> None:
        server, asked = self.server, self.headers.get("Range", "")
        with server.lock:
            server.requests.append((self.path, asked))
            number = server.counts[self.path]
            server.counts[self.path] += 1
            server.at_once += 1
            server.most_at_once = max(server.most_at_once, server.at_once)
        time.sleep(server.pause)
        try:
            self._answer(number, asked)
        finally:
            with server.lock:
                server.at_once -= 1

    def _answer(self, number: int, asked: str) -> None:
        data = self.server.files.get(self.path)
        status = self.server.refuse(self.path, number) or (404 if data is None else 206)
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", asked)
        body, start = b"", 0
        if status == 206 and data is not None:
            start = int(match[1]) if match else 0
            body = data[start : int(match[2]) + 1 if match and match[2] else len(data)]
            status = 206 if match else 200
        self.send_response(status)
        if status == 206 and data is not None:
            self.send_header("Content-Range", f"bytes {start}-{start + len(body) - 1}/{len(data)}")
        if data is not None:
            self.send_header("ETag", f'"{len(data)}"')
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def crawl_served(files: Mapping[str, bytes], kind: str = "warc") -> Iterator[CrawlServer]:
    """A server of a crawl with these files (name to bytes), and its list."""
    paths = {f"crawl-data/{CRAWL}/segments/1/{kind}/{name}": data for name, data in files.items()}
    listed = gzip.compress("".join(f"{path}\n" for path in paths).encode())
    served = {f"/{path}": data for path, data in paths.items()}
    server = CrawlServer(served | {f"/crawl-data/{CRAWL}/{kind}.paths.gz": listed})
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
