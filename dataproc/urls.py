"""URLs as text: what a file is called without its query, and how a URL is written where people or files keep it.

A URL may hold secrets: a user and password before the host, a signature or token in its query (`X-Amz-Signature`,
`sig`, `token`, …) or fragment. A list of such names would never be whole, so every value is masked. A digest of the
whole URL is written instead: two URLs are told apart, and the same one is known again, by what is written down.

    https://user:pass@host/a.jsonl?sig=xyz  ->  https://***@host/a.jsonl?sig=***&digest=3c59dc048e885024
"""

import re
from typing import Any

from corpusmill.dataproc.secret_values import MASK, mask_secrets, secret_pattern

_DIGEST = re.compile(r"digest=[0-9a-f]{16}")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*(?:::[A-Za-z][A-Za-z0-9+.-]*)*://[^\s\"<>]+")
_PARAMETER = re.compile(r"(?<=[?&])(?!digest=|sample=|seed=)([\w.$%-]+)=(?!\*\*\*)[^&\s\"'<>]+")
"""A parameter of a query without its URL; those of an input that names a sample of a crawl are not secrets."""
_QUERY = re.compile(r"[?#]")
_NAMED = re.compile(r"[\w.$%-]+=")
_HTTP = re.compile(r"(?:^|::)https?://", re.IGNORECASE)
_PLAIN_AUTHORITY = re.compile(r"(?:[^:@]*|\[[^]]*\])(?::[0-9]*)?")
_CONTAINERS = ("abfs", "abfss", "adl", "wasb", "wasbs")
"""Protocols that write `container@account`, which is no user, and no secret."""


def has_query(url: str) -> bool:
    """Whether `?` begins a query in this URL; in other protocols it is a wildcard, or part of a name."""
    return _HTTP.search(url) is not None


def is_http(path: str) -> bool:
    """Whether this is the URL of a file behind HTTP, which `http_files` opens."""
    return path[:8].lower().startswith(("http://", "https://"))


def without_query(url: str) -> str:
    """The URL (or path) up to its query or fragment: what its name and ending are read from."""
    if not has_query(url):
        return url
    first = next(link for link in url.split("::") if "://" in link)  # of `zip://a.jsonl::https://…`, the file inside
    return _QUERY.split(first, maxsplit=1)[0]


def is_masked(url: str) -> bool:
    """Whether this is a URL as `mask` writes it, which cannot be opened."""
    place, _, query = url.rpartition("?")
    *pairs, last = query.split("&")
    if not _DIGEST.fullmatch(last) or not all(pair.endswith(f"={MASK}") for pair in pairs):
        return False
    scheme, _, rest = place.partition("://")
    return (not _without_user(scheme, rest)[1] or rest.startswith(f"{MASK}@")) and not _has_secret_query(place, rest)


def mask(url: str) -> str:
    """The URL without its secrets, with a digest of the whole; one that holds none (and a path) stays as it is."""
    scheme, separator, rest = url.partition("://")
    if not separator or is_masked(url):
        return url
    rest, secret = _without_user(scheme, rest)
    names: list[str] = []
    if _has_secret_query(url, rest):
        rest, query = _QUERY.split(rest, maxsplit=1)
        names = [name for name, equals, _ in (part.partition("=") for part in re.split(r"[?#&;]", query)) if equals]
    elif not secret:
        return url
    elif has_query(url):
        rest = rest.rstrip("?#")
    return f"{scheme}://{rest}?{''.join(f'{name}={MASK}&' for name in names)}digest={_digest(url)}"


def _digest(text: str) -> str:
    import hashlib  # only where something is masked: it loads OpenSSL

    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _has_secret_query(url: str, rest: str) -> bool:
    """Whether what follows a `?` or `#` in `rest`, all of the URL from its host on, may be a secret."""
    _, *query = _QUERY.split(rest, maxsplit=1)
    return bool(query and query[0]) and (has_query(url) or _NAMED.match(query[0]) is not None)


def _without_user(scheme: str, rest: str) -> tuple[str, bool]:
    """What follows `://` with its user and password masked, and whether there were any."""
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    if "@" in authority:
        user, _, host = authority.rpartition("@")
        if scheme in _CONTAINERS and ":" not in user:
            return rest, False
        return f"{MASK}@{host}{rest[len(authority) :]}", True
    if "@" in rest and not _PLAIN_AUTHORITY.fullmatch(authority):  # a password with a slash, or a URL in a URL
        return f"{MASK}@{rest.rpartition('@')[2]}", True
    return rest, False


def mask_text(text: str) -> str:
    """A text, such as a line of an error, in which every URL, every parameter of a query, and every secret of the
    environment is masked."""
    if "://" in text:
        text = _URL.sub(_masked_match, text)
    return mask_secrets(_PARAMETER.sub(rf"\1={MASK}", text) if "?" in text or "&" in text else text)


def _masked_match(match: re.Match[str]) -> str:
    url = match.group()
    bare = url.rstrip(".,;:)]}'`")  # what ends a sentence or quotation, not the URL
    return mask(bare) + url[len(bare) :]


def mask_values(value: Any) -> Any:
    """A JSON-able value in which every text that is a URL, and every secret of the environment, is masked, keys
    included. A text with a secret gets a digest of all of it, as a URL does, so that two of them stay two."""
    return _mask_values(value, secret_pattern())


def _mask_values(value: Any, secrets: re.Pattern[str] | None) -> Any:
    if isinstance(value, str):
        masked = mask(value)
        if secrets is None or not secrets.search(masked):
            return masked
        return f"{secrets.sub(MASK, masked)}#{_digest(value)}"
    if isinstance(value, dict):
        return {_mask_values(key, secrets): _mask_values(inner, secrets) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_mask_values(inner, secrets) for inner in value]
    return value
