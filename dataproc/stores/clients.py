"""The clients of object stores: fsspec's file systems, without their memory of listings, and with requests counted.

A listing that a driver remembers misses what other workers have written since. botocore tries again by itself, with
drawn pauses and a budget for the whole client; s3fs's own attempts, which are not counted, are turned off: what is
left goes to `attempts.py`.

Extras: `s3` (s3fs), `gcs` (gcsfs), `azure` (adlfs).
"""

import re
import threading
from html import unescape
from typing import Any
from urllib.parse import unquote_plus

from corpusmill.dataproc.errors import UserError, require_extra
from corpusmill.dataproc.stores.attempts import AGAIN, count

EXTRAS = {
    "s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs",
    "az": "azure", "abfs": "azure", "abfss": "azure", "adl": "azure", "wasb": "azure", "wasbs": "azure",
}  # fmt: skip
"""Protocols of object stores, and the extra that brings the driver of each."""
S3 = ("s3", "s3a")
_lock = threading.Lock()
CLIENT_ATTEMPTS = 5
CONNECTIONS = 32
CONNECT_SECONDS, READ_SECONDS = 10, 30
_KINDS = {
    "GetObject": "GET", "PutObject": "PUT", "UploadPart": "PUT", "HeadObject": "HEAD", "HeadBucket": "HEAD",
    "ListObjectsV2": "LIST", "DeleteObject": "DELETE", "DeleteObjects": "DELETE",
}  # fmt: skip


def protocol_of(url: str) -> str:
    """What stands before `://`."""
    return url.partition("://")[0].lower()


def open_client(url: str) -> tuple[Any, str]:
    """fsspec's file system of a URL, and the path in it. Raises UserError where there is none."""
    import fsspec

    protocol = protocol_of(url)
    options: dict[str, Any] = {}
    if protocol in EXTRAS:
        options["use_listings_cache"] = False
    if protocol in S3:
        retries = {"mode": "standard", "total_max_attempts": CLIENT_ATTEMPTS}
        options["config_kwargs"] = {
            "retries": retries, "max_pool_connections": CONNECTIONS,
            "connect_timeout": CONNECT_SECONDS, "read_timeout": READ_SECONDS,
        }  # fmt: skip
    try:
        filesystem, inner = fsspec.core.url_to_fs(url, **options)
    except ImportError as error:
        if protocol in EXTRAS and error.name in (None, *_MODULES):
            raise require_extra(_DRIVERS[EXTRAS[protocol]], EXTRAS[protocol]) from error
        raise UserError(f"unsupported URL ({error})", where=url) from error
    except ValueError as error:
        raise UserError(f"unsupported URL ({error})", where=url) from error
    if protocol in S3:
        with _lock:
            if not getattr(filesystem, "_corpusmill_counts", False):
                filesystem.retries = 1
                _count_requests(filesystem)
    return filesystem, inner


_DRIVERS = {"s3": "s3fs", "gcs": "gcsfs", "azure": "adlfs"}
_MODULES = tuple(_DRIVERS.values())


def _count_requests(filesystem: Any) -> None:
    """Counts each request of a client of S3, and those that botocore makes again."""
    filesystem.connect()
    filesystem._s3.meta.events.register("needs-retry.s3", _on_answer, unique_id=AGAIN)
    filesystem._corpusmill_counts = True


def _on_answer(operation: Any, attempts: int, **_: Any) -> None:
    count(_KINDS.get(operation.name, operation.name))
    if attempts > 1:
        count(AGAIN)


ROWS = "Rows"
"""What a page of a listing has in place of `Contents`: (key, bytes, mark) of each object."""
_OBJECT = re.compile(rb"<Contents>(.*?)</Contents>", re.DOTALL)
_FIELDS = {name: re.compile(rb"<%s>(.*?)</%s>" % (name, name), re.DOTALL) for name in (b"Key", b"Size", b"ETag")}


def lister_of(filesystem: Any) -> Any:
    """A client of S3 like this one, for listings only: botocore takes 0.2 s of CPU to read a page of a thousand names,
    which for 450,000 would be two minutes; here it reads what is left of a page without its objects."""
    lister = type(filesystem)(**{**filesystem.storage_options, "default_cache_type": "none"})
    with _lock:  # threads share a client; a page that is read twice would have lost its objects
        if not getattr(lister, "_corpusmill_counts", False):
            lister.retries = 1
            lister.connect()
            lister._s3.meta.events.register("before-parse.s3.ListObjectsV2", _read_page, unique_id=ROWS)
            _count_requests(lister)
    return lister


def _read_page(response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: Any) -> None:
    body = response_dict["body"]
    if response_dict["status_code"] != 200 or b"</ListBucketResult>" not in body:
        return
    decoded = unquote_plus if b"<EncodingType>url</EncodingType>" in body else str
    rows = []
    for match in _OBJECT.finditer(body):
        key, size, mark = (_text(field.search(match[1])) for field in _FIELDS.values())
        rows.append((decoded(key), int(size), mark))
    customized_response_dict[ROWS] = rows
    response_dict["body"] = _OBJECT.sub(b"", body)


def _text(match: re.Match[bytes] | None) -> str:
    return unescape(match[1].decode()) if match else ""


def renew(filesystem: Any) -> None:
    """Makes a client look for its credentials anew, where its driver can."""
    if filesystem.protocol and "s3" in filesystem.protocol:
        for client in (filesystem, lister_of(filesystem)):
            client._corpusmill_counts = False
            client.connect(refresh=True)
        _count_requests(filesystem)
        lister_of(filesystem)


def is_s3(filesystem: Any) -> bool:
    """Whether this is s3fs's file system, of which requests can be made one by one."""
    protocols = filesystem.protocol if isinstance(filesystem.protocol, tuple | list) else (filesystem.protocol,)
    return "s3" in protocols
