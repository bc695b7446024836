"""One GET over HTTP: redirects, names and passwords, proxies, and the connections of a process.

Redirects are followed `MOST_REDIRECTS` times, never from https to http, and a user's name and password go to no other
host than the one they were written for. Proxies are those that `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`
name.
"""

import os
import urllib.request
from functools import cache
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit

import urllib3

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.urls import is_http, mask

MOST_REDIRECTS = 10
REDIRECTS = (301, 302, 303, 307, 308)


def request(url: str, headers: dict[str, str], timeout: urllib3.Timeout) -> Any:
    """The response, not yet read, of where the redirects end.

    Raises UserError for redirects that are not followed, and what urllib3 raises.
    """
    target, own = url, _origin(url)
    for _ in range(MOST_REDIRECTS + 1):
        bare, credentials = _without_user(target)
        more = urllib3.make_headers(basic_auth=credentials) if credentials and _origin(target) == own else {}
        response = _pool(os.getpid(), _proxy_for(bare)).request(
            "GET", bare, headers=headers | more, timeout=timeout, redirect=False, preload_content=False,
            decode_content=False,
        )  # fmt: skip
        if response.status not in REDIRECTS:
            return response
        location = response.headers.get("Location", "")
        response.close()
        following = urljoin(target, location)
        if not location or not is_http(following) or (is_http(target) and _is_downgrade(target, following)):
            raise UserError(
                "the server redirects to something other than a safe HTTP URL", where=mask(url), hint="check the URL"
            )
        if _origin(following) == own and "@" not in urlsplit(following).netloc:
            following = _with_user(following, urlsplit(url).netloc)
        target = following
    raise UserError(f"more than {MOST_REDIRECTS} redirects", where=mask(url), hint="check the URL")


@cache
def _pool(process: int, proxy: str) -> urllib3.PoolManager:
    """The connections of a process, by way of a proxy if one is named; one that was forked makes its own."""
    settings: dict[str, Any] = {"num_pools": 8, "maxsize": 4, "retries": False}
    if not proxy:
        return urllib3.PoolManager(**settings)
    bare, credentials = _without_user(proxy)
    headers = urllib3.make_headers(proxy_basic_auth=credentials) if credentials else None
    return urllib3.ProxyManager(bare, proxy_headers=headers, **settings)


def _proxy_for(url: str) -> str:
    """The proxy that the environment names for a URL; "" for none.

    Raises UserError for one that urllib3 does not know, such as a SOCKS proxy.
    """
    parts = urlsplit(url)
    if urllib.request.proxy_bypass(parts.hostname or ""):
        return ""
    proxies = urllib.request.getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all") or ""
    if proxy and "://" not in proxy:
        proxy = f"http://{proxy}"
    if proxy and not is_http(proxy):
        hint = f"name an HTTP proxy in {parts.scheme.upper()}_PROXY, or the host in NO_PROXY"
        raise UserError("this kind of proxy is not supported", where=mask(proxy), hint=hint)
    return proxy


def _origin(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port


def _is_downgrade(before: str, after: str) -> bool:
    return urlsplit(before).scheme == "https" and urlsplit(after).scheme == "http"


def _without_user(url: str) -> tuple[str, str]:
    """(the URL without user, password and fragment; "user:password")."""
    parts = urlsplit(url)
    user, _, host = parts.netloc.rpartition("@")
    return urlunsplit((parts.scheme, host, parts.path, parts.query, "")), unquote(user)


def _with_user(url: str, netloc: str) -> str:
    parts = urlsplit(url)
    user, at, _ = netloc.rpartition("@")
    return urlunsplit((parts.scheme, f"{user}{at}{parts.netloc}", parts.path, parts.query, ""))
