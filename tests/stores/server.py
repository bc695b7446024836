"""A real S3-compatible server as a process of its own, and the environment in which clients find it."""

import os
import re
import subprocess
import sys
import time
import urllib.request
from types import TracebackType

STARTED = re.compile(r"Running on http://127\.0\.0\.1:(\d+)")
START_SECONDS = 60.0


class Server:
    """moto's server on loopback, for the length of a block. `target` is (host, port)."""

    target: tuple[str, int]

    def __enter__(self) -> "Server":
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
        self._process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
        assert self._process.stderr
        deadline = time.monotonic() + START_SECONDS
        for line in self._process.stderr:
            if match := STARTED.search(line):
                self.target = ("127.0.0.1", int(match.group(1)))
                break
            assert time.monotonic() < deadline, "the server did not start"
        # Its log is dropped from here on: a full pipe would stop it.
        import threading

        threading.Thread(target=self._drop_log, daemon=True).start()
        return self

    def _drop_log(self) -> None:
        assert self._process.stderr
        for _ in self._process.stderr:
            pass

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._process.terminate()
        self._process.wait(10)

    def make_bucket(self, name: str) -> None:
        """Makes a bucket, by the one request that this takes."""
        host, port = self.target
        request = urllib.request.Request(f"http://{host}:{port}/{name}", method="PUT")
        request.add_header("Authorization", "AWS4-HMAC-SHA256 Credential=test/20200101/us-east-1/s3/aws4_request")
        urllib.request.urlopen(request).close()


def client_environment(endpoint: str) -> dict[str, str]:
    """The environment by which S3 clients find an endpoint, with keys that are nobody's, and no file of the user's."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "secret-of-the-tests",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": "127.0.0.1",
    }
