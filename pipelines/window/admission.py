"""Who is let in, and what a page may load: pages of the same browser must not read these, nor text in them do anything.

The link that is printed holds a token of 128 bits. Opening it sets a cookie that scripts cannot read and that no other
site's request carries (`SameSite=Strict`), and goes on to the same address without the token, so that it is in no
history that is shared by accident. Every request needs the cookie (or the token), and a `Host` that was named: a name
of somebody else's that resolves to this machine (DNS rebinding) is refused. Only GET and HEAD are answered.

A page may load its style sheet, scripts and pictures from here and nothing else; no script in its text runs, it may not
be framed, and it sends no address of its own anywhere.
"""

import hmac
import secrets
from collections.abc import Collection
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

TOKEN = "token"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def new_token() -> str:
    return secrets.token_urlsafe(16)


class Admission:
    """The outermost layer of the application.

    Args:
        app: what is behind it.
        token: that the link holds.
        hosts: what `Host` may say, such as "127.0.0.1:8123"; any where it is empty (only in tests of pages).
    """

    def __init__(self, app: ASGIApp, token: str, hosts: Collection[str]) -> None:
        self.app, self.token, self.hosts = app, token, frozenset(hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":  # no sockets, and nothing to do at start and end
            await self.app(scope, receive, send)
            return
        refused = self._refusal(scope)

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await (refused or self.app)(scope, receive, send_guarded)

    def _refusal(self, scope: Scope) -> Response | None:
        """What is answered instead of a page; None for who is let in."""
        headers = Headers(scope=scope)
        if self.hosts and headers.get("host", "") not in self.hosts:
            return PlainTextResponse("This address does not belong to this server.\n", 421)
        if scope["method"] not in ("GET", "HEAD"):
            return PlainTextResponse("This server only reads.\n", 405, {"Allow": "GET, HEAD"})
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        offered = [value for name, value in query if name == TOKEN]
        if offered:
            if not self._is_token(offered[0]):
                return _stranger()
            rest = urlencode([pair for pair in query if pair[0] != TOKEN])
            path = "/" + scope["path"].lstrip("/\\")  # of this host, whatever was asked for
            away = RedirectResponse(path + (f"?{rest}" if rest else ""), 303)
            away.set_cookie(self._cookie(headers), self.token, path="/", httponly=True, samesite="strict")
            return away
        cookies = cookie_parser(headers.get("cookie", ""))
        return None if self._is_token(cookies.get(self._cookie(headers), "")) else _stranger()

    def _is_token(self, value: str) -> bool:
        return hmac.compare_digest(value.encode(), self.token.encode())

    @staticmethod
    def _cookie(headers: Headers) -> str:
        """Its name has the port: browsers keep cookies by host, so that two windows would take each other's."""
        return f"corpusmill-{headers.get('host', '').rpartition(':')[2]}"


def _stranger() -> Response:
    return PlainTextResponse("Open the link that `corpusmill inspect serve` printed: it holds a token.\n", 403)
