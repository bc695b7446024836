"""The application: pages, static files, and errors as pages; `serve` runs it until it is interrupted."""

import socket
from collections.abc import Callable, Sequence
from importlib.resources import files
from threading import Timer
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from corpusmill.dataproc.errors import UserError
from corpusmill.pipelines.window.admission import Admission, new_token
from corpusmill.pipelines.window.named import NamedPaths, NotNamed
from corpusmill.pipelines.window.pages import ROUTES, warm
from corpusmill.pipelines.window.rendering import render

SHARED = ("corpusmill.pipelines.html", "static")
"""The style sheet and the script that the report has, too."""

EVERY_ADDRESS = ("0.0.0.0", "::")
SECONDS_BEFORE_WARMING = 2.0
"""After which the other pages are imported: the first has been answered by then."""


def application(paths: NamedPaths, token: str, hosts: Sequence[str]) -> Starlette:
    """The window on these paths.

    Args:
        token, hosts: as for `Admission`.
    """
    static = files("corpusmill.pipelines.window") / "static"
    routes = [Route(address, endpoint) for address, endpoint in ROUTES]
    app = Starlette(
        routes=[*routes, Mount("/static", StaticFiles(directory=str(static), packages=[SHARED]))],
        middleware=[Middleware(Admission, token=token, hosts=hosts)],
        exception_handlers={UserError: _user_error, HTTPException: _http_error},
    )
    app.state.paths = paths
    return app


def serve(paths: Sequence[str], host: str, port: int, announce: Callable[[str], None]) -> None:
    """Serves the window until it is interrupted.

    Args:
        host: the address to listen on; loopback unless somebody wants otherwise.
        port: 0 for a free one.
        announce: is given the link when the socket listens.
    """
    named = NamedPaths(paths)
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except (OSError, OverflowError) as error:
            hint = "choose another --port, or leave it out for a free one"
            raise UserError(f"cannot listen there ({error})", where=f"{host}:{port}", hint=hint) from error
        bound = listener.getsockname()[1]
        names = names_of(host)
        token = new_token()
        listener.listen()
        announce(f"http://{names[0]}:{bound}/?token={token}")
        warming = Timer(SECONDS_BEFORE_WARMING, warm)
        warming.daemon = True
        warming.start()
        server_of(application(named, token, [f"{name}:{bound}" for name in names])).run(sockets=[listener])


def names_of(host: str) -> list[str]:
    """What `Host` may call a server that listens at an address: the name for links first. Where it listens at every
    address of the machine, its name and all that this resolves to."""
    names = ["127.0.0.1", "localhost", "[::1]"]
    if host in EVERY_ADDRESS:
        own = socket.gethostname()
        resolved = socket.getaddrinfo(own, None, type=socket.SOCK_STREAM)
        addresses = [str(entry[4][0]).partition("%")[0] for entry in resolved]
        names = [own, *(f"[{address}]" if ":" in address else address for address in addresses), *names]
    else:
        names = [f"[{host}]" if ":" in host else host, *names]
    return list(dict.fromkeys(names))


def server_of(app: Starlette) -> Any:
    """A uvicorn server that says nothing of itself."""
    import uvicorn

    settings = uvicorn.Config(
        app, log_level="error", access_log=False, server_header=False, lifespan="off", timeout_graceful_shutdown=2
    )
    return uvicorn.Server(settings)


def _user_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, UserError)
    status = 404 if isinstance(error, NotNamed) else 400
    return _error_page(request, status, error.what, error.where, error.hint)


def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _error_page(
        request, error.status_code, "there is no such page", request.url.path, "go back to the first page"
    )


def _error_page(request: Request, status: int, what: str, where: str, hint: str) -> Response:
    values: dict[str, Any] = {
        "address": request.url.path, "parameters": {}, "trail": [], "command": "", "exports": False,
        "title": "Error", "what": what, "where": where, "hint": hint,
    }  # fmt: skip
    return render(request, "error.html", values, status)
