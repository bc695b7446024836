"""Listings: what lies in a folder of a store, with sizes and marks, a thousand names a request.

Of S3, requests are our own: s3fs's `ls` of a folder that is empty lists the folder above it, too, which may hold
hundreds of thousands of outputs, and its `exists` asks twice. Where the names are known that a listing should have
(the outputs of a finished stage), several pages are asked for at a time, each from a known name on (`StartAfter`).
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

from corpusmill.dataproc.errors import Unreachable
from corpusmill.dataproc.stores.attempts import attempt
from corpusmill.dataproc.stores.clients import ROWS, is_s3, lister_of, renew

PAGE = 1000
PAGES_AT_A_TIME = 8
LEAST_RANGE = 20 * PAGE
"""Names in a range that is listed by itself."""


@dataclass(frozen=True)
class Entry:
    """A name directly in a folder; of a folder in it, size and mark say nothing."""

    name: str
    size: int
    mark: str
    is_folder: bool = False


def list_folder(filesystem: Any, inner: str, url: str) -> Iterator[Entry]:
    """The entries directly in a folder; none if the folder does not exist."""
    if is_s3(filesystem):
        yield from _list_s3(filesystem, inner, url)
        return
    try:
        listed = attempt(url, lambda: filesystem.ls(inner, detail=True))
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in listed:
        name = str(entry["name"]).rstrip("/").rsplit("/", 1)[-1]
        yield Entry(name, int(entry.get("size") or 0), mark_of(entry), entry["type"] == "directory")


def list_known(filesystem: Any, inner: str, url: str, names: Sequence[str]) -> dict[str, Entry]:
    """What lies directly in a folder, by name, listed in several ranges at a time.

    Args:
        names: that are likely to be there: where the ranges begin.
    """
    if not is_s3(filesystem) or len(names) < 2 * LEAST_RANGE:
        return {entry.name: entry for entry in list_folder(filesystem, inner, url)}
    ordered = sorted(names, key=lambda name: name.encode())
    bounds = ["", *ordered[LEAST_RANGE::LEAST_RANGE], ""]
    ranges = list(pairwise(bounds))
    with ThreadPoolExecutor(PAGES_AT_A_TIME) as pool:
        listed = pool.map(lambda ends: list(_list_s3(filesystem, inner, url, *ends)), ranges)
        return {entry.name: entry for entries in listed for entry in entries}


def mark_of(entry: Any) -> str:
    """What a driver says of an object that changes with its content."""
    return str(entry.get("ETag") or entry.get("etag") or entry.get("LastModified") or entry.get("created") or "")


def _list_s3(filesystem: Any, inner: str, url: str, after: str = "", last: str = "") -> Iterator[Entry]:
    """The names in a folder after one and up to another (each of the two "" for no bound)."""
    bucket, _, key = inner.rstrip("/").partition("/")
    prefix = f"{key}/" if key else ""
    lister = lister_of(filesystem)
    more: dict[str, str] = {"StartAfter": prefix + after} if after else {}
    while True:
        values = {"Bucket": bucket, "Prefix": prefix, "Delimiter": "/", "MaxKeys": PAGE, **more}
        page = attempt(url, partial(lister.call_s3, "list_objects_v2", **values), lambda: renew(filesystem))
        for folder in page.get("CommonPrefixes", ()):
            name = folder["Prefix"][len(prefix) :].rstrip("/")
            if not last or name <= last:
                yield Entry(name, 0, "", is_folder=True)
        for key, size, mark in page[ROWS]:
            name = key[len(prefix) :]
            if last and name > last:
                return
            if name:  # else the mark of an empty folder that consoles make
                yield Entry(name, size, mark)
        if not page.get("IsTruncated"):
            return
        more = {"ContinuationToken": page["NextContinuationToken"]}


def remove_tree(filesystem: Any, inner: str, url: str) -> None:
    """Removes an object of S3, and all below it: a listing, and one request for a thousand objects."""
    bucket, _, key = inner.rstrip("/").partition("/")
    keys: list[str] = []
    for name in _keys_from(filesystem, bucket, key, url):
        if name == key or name.startswith(f"{key}/"):
            keys.append(name)
        elif name > f"{key}/":
            break
    for first in range(0, len(keys), PAGE):
        values = {"Objects": [{"Key": name} for name in keys[first : first + PAGE]], "Quiet": True}
        request = partial(filesystem.call_s3, "delete_objects", Bucket=bucket, Delete=values)
        answer = attempt(url, request, lambda: renew(filesystem))
        for failed in answer.get("Errors", ()):
            raise Unreachable(
                f"an object was not removed ({failed.get('Code')})", where=f"s3://{bucket}/{failed['Key']}"
            )


def _keys_from(filesystem: Any, bucket: str, prefix: str, url: str) -> Iterator[str]:
    """The keys that begin with a prefix, in their order."""
    lister = lister_of(filesystem)
    more: dict[str, str] = {}
    while True:
        values = {"Bucket": bucket, "Prefix": prefix, "MaxKeys": PAGE, **more}
        page = attempt(url, partial(lister.call_s3, "list_objects_v2", **values), lambda: renew(filesystem))
        yield from (key for key, _, _ in page[ROWS])
        if not page.get("IsTruncated"):
            return
        more = {"ContinuationToken": page["NextContinuationToken"]}


def is_there(filesystem: Any, inner: str, url: str) -> bool:
    """Whether there is an object, or a folder with something in it."""
    if not is_s3(filesystem):
        return bool(attempt(url, lambda: filesystem.exists(inner)))
    bucket, _, key = inner.rstrip("/").partition("/")

    def below() -> bool:
        page = filesystem.call_s3("list_objects_v2", Bucket=bucket, Prefix=f"{key}/" if key else "", MaxKeys=1)
        return bool(page.get("KeyCount", len(page.get("Contents", ())))) or not key

    def itself() -> bool:
        try:
            filesystem.call_s3("head_object", Bucket=bucket, Key=key)
        except FileNotFoundError:
            return False
        return True

    looks = (itself, below) if "." in key.rsplit("/", 1)[-1] else (below, itself)
    return any(attempt(url, look, lambda: renew(filesystem)) for look in looks if key or look is below)


def require_bucket(filesystem: Any, inner: str, url: str) -> None:
    """Raises UserError where the bucket is not there or may not be listed."""
    if is_s3(filesystem):
        bucket = inner.partition("/")[0]
        attempt(url, lambda: filesystem.call_s3("list_objects_v2", Bucket=bucket, MaxKeys=1), lambda: renew(filesystem))
    else:
        attempt(url, lambda: filesystem.exists(inner))
