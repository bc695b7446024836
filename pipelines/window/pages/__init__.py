"""The pages: each module is one. They are imported when one is first asked for, so that the first is there at once."""

from collections.abc import Callable
from importlib import import_module

from starlette.requests import Request
from starlette.responses import Response

Endpoint = Callable[[Request], Response]

_STAGE = "/at/{key}/stage/{stage}"
PAGES = {
    "/": ("overview", "first"),
    "/at/{key}": ("overview", "overview"),
    "/at/{key}/document": ("document", "document"),
    "/at/{key}/sql": ("sql", "sql"),
    "/compare": ("compare", "comparison"),
    _STAGE: ("overview", "stage"),
    f"{_STAGE}/documents": ("documents", "documents"),
    f"{_STAGE}/rejected": ("rejected", "rejected"),
    f"{_STAGE}/statistics": ("statistics", "statistics"),
    f"{_STAGE}/duplicates": ("duplicates", "duplicates"),
    f"{_STAGE}/sequences": ("sequences", "sequences"),
    f"{_STAGE}/shards": ("shards", "shards"),
    f"{_STAGE}/tokenizer": ("tokenizer", "tokenizer"),
    f"{_STAGE}/training": ("training", "training"),
    f"{_STAGE}/charts": ("charts", "charts"),
    f"{_STAGE}/chart": ("charts", "chart"),
    f"{_STAGE}/step": ("step", "step"),
    f"{_STAGE}/search": ("search", "search"),
}
"""(module, function) by address."""


def _endpoint(module: str, function: str) -> Endpoint:
    def endpoint(request: Request) -> Response:
        page: Endpoint = getattr(import_module(f"{__name__}.{module}"), function)
        return page(request)

    return endpoint


def warm() -> None:
    """Imports all pages: what takes seconds is done while the first one is looked at."""
    for module, _ in PAGES.values():
        import_module(f"{__name__}.{module}")


ROUTES: list[tuple[str, Endpoint]] = [(address, _endpoint(*page)) for address, page in PAGES.items()]
