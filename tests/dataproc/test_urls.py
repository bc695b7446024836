"""URLs are written without their secrets, and stay known by a digest."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpusmill.dataproc.decompression import codec_of
from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.readers.pieces import recognise
from corpusmill.dataproc.urls import is_masked, mask, mask_text, mask_values, without_query

SECRETS = [
    "https://u:SECRET@h/a.jsonl", "https://SECRET@h:80/a.jsonl", "https://h/a.jsonl?sig=SECRET", "HTTPS://h/a?SECRET",
    "https://h/a.jsonl?X-Amz-Credential=SECRET%2F1&X-Amz-Signature=SECRET", "https://h/a?x=SECRET;y=SECRET#z",
    "https://h/a#access_token=SECRET", "https://h/a#SECRET", "https://h/a?a=b?c=SECRET", "s3://SECRET:SECRET@bucket/a",
    "ftp://u:p/SECRET@h/a", "https://u:p?SECRET@h/a", "https://u:p#SECRET@h/a", "abfs://box@account/a?sig=SECRET",
    "https://u:SECRET@[::1]:8/a", "zip://a.jsonl::https://u:SECRET@h/a.zip", "zip://a::https://h/a.zip?SECRET",
    "simplecache::https://h/a?token=SECRET", "https://h/a?token=SECRET&digest=0123456789abcdef",
    "https://u:SECRET@h/a?x=***&digest=0123456789abcdef", "hf://datasets/a/b?token=SECRET", "sftp://SECRET@h/a",
    "https://u:SECRET@h/@scope/a", "gs://b/a?X-Goog-Signature=SECRET", "https://h?SECRET", "https://h/?a=SECRET&",
]  # fmt: skip
PLAIN = [
    "https://h/a.jsonl", "http://[::1]:80/a", "s3://bucket/a?.jsonl", "s3://bucket/year?/m=1", "abfs://box@account/a",
    "memory://a#b", "/a/b?c=d", "a@b", "hf://datasets/a/b@main/x.parquet", "gs://b/@scope/x", "https://h/~me/@x",
]  # fmt: skip


@pytest.mark.parametrize("url", SECRETS)
def test_no_secret_is_written(url: str) -> None:
    masked = mask(url)
    assert "SECRET" not in masked and masked.startswith(url.split("://")[0])
    assert is_masked(masked) and mask(masked) == masked
    assert mask(url + "x") != masked, "the digest is of the whole URL"
    for text in (f"it failed at {url}.", f"URL('{url}')", f"({url}), byte 5", f"{url}: no such file; try again"):
        assert "SECRET" not in mask_text(text)
    assert "SECRET" not in str(UserError("wrong", where=url, hint=f"not {url}"))
    assert "SECRET" not in repr(mask_values({url: [url, {"x": (url, 1, None)}]}))


@pytest.mark.parametrize("url", PLAIN)
def test_what_holds_no_secret_stays(url: str) -> None:
    assert mask(url) == url and not is_masked(url)


def test_a_path_with_a_query_in_a_message_is_masked() -> None:
    assert mask_text("no answer for /a?sig=SECRET&y=2 (host)") == "no answer for /a?sig=***&y=*** (host)"


@given(st.text(), st.text(), st.text())
def test_masking_ends_and_is_stable(user: str, path: str, query: str) -> None:
    url = f"https://{user}@h/{path}?{query}"
    assert mask(mask(url)) == mask(url)
    mask_text(url)


@pytest.mark.parametrize(
    ("url", "format", "codec"),
    [
        ("https://h/x.jsonl.zst?X-Amz-Signature=a.csv", "jsonl", "zstd"),
        ("https://h/x.parquet#frag.jsonl", "parquet", ""),
        ("https://h/x.warc.gz?sig=a/b.jsonl#c", "warc", "gzip"),
        ("https://h/x?name=x.jsonl", "text", ""),
        ("s3://b/x#1.jsonl", "jsonl", ""),
        ("zip://x.jsonl.gz::https://h/a.zip?sig=1", "jsonl", "gzip"),
        ("simplecache::https://h/x.jsonl?sig=1", "jsonl", ""),
        ("/a/x?y.jsonl", "jsonl", ""),
    ],
)
def test_the_format_is_told_by_the_path(url: str, format: str, codec: str) -> None:
    assert recognise(url) == format
    assert (getattr(codec_of(url), "name", "")) == codec


def test_what_is_before_the_query() -> None:
    assert without_query("https://h/a?b#c") == "https://h/a"
    assert without_query("s3://b/a?b") == "s3://b/a?b"
