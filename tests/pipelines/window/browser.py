"""Headless Chromium for tests of pages, and axe-core's rules for them; tests say where there is no Chromium.

It is Debian's package (`apt-get install chromium`), or what Playwright installs (`python -m playwright install
--with-deps chromium`); nothing is downloaded here. One browser serves a module's tests (`conftest.py` ends it), each
test in a profile of its own.
"""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest


def _chromium() -> str | None:
    """The path of a Chromium: Debian's, or the newest that Playwright installed."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if path := shutil.which(name):
            return path
    cache = Path.home() / ".cache/ms-playwright"
    installed = sorted(cache.glob("chromium-*/chrome-linux*/chrome"), key=lambda path: path.stat().st_mtime)
    return str(installed[-1]) if installed else None


CHROMIUM = _chromium()
needs_browser = pytest.mark.skipif(
    CHROMIUM is None,
    reason="no Chromium here: apt-get install chromium, or python -m playwright install --with-deps chromium",
)
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
LEVELS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]


_shared: list[Any] = []
"""The browser that several tests use, while `shared_browser` lasts."""


@contextmanager
def shared_browser() -> Iterator[None]:
    """One browser for all of `opened` in the block, started when the first is opened. While it is there, no other loop
    of asyncio can run in this thread."""
    with ExitStack() as stack:
        _shared.append(stack)
        try:
            yield
        finally:
            _shared.clear()


def _started(stack: ExitStack) -> Any:
    from playwright.sync_api import sync_playwright

    playwright = stack.enter_context(sync_playwright())
    browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
    stack.callback(browser.close)
    return browser


@contextmanager
def opened(link: str, *, width: int = 1280, dark: bool = False, scripts: bool = True) -> Iterator[Any]:
    """A page of a fresh profile on a link; what its console says, or asks of other hosts, fails the test at the end."""
    problems: list[str] = []
    with ExitStack() as own:
        if len(_shared) == 1:
            _shared.append(_started(_shared[0]))
        browser = _shared[1] if _shared else _started(own)
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme="dark" if dark else "light", reduced_motion="reduce",
            java_script_enabled=scripts,
        )  # fmt: skip
        own.callback(context.close)
        page = context.new_page()
        origin = "/".join(link.split("/")[:3])
        page.on("console", lambda line: problems.append(line.text) if _is_problem(line) else None)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("request", lambda request: None if request.url.startswith(origin) else problems.append(request.url))
        page.on("dialog", lambda dialog: (problems.append("a dialog"), dialog.dismiss()))
        page.goto(link)
        yield page
    assert not problems, problems


def _is_problem(line: Any) -> bool:
    """Whether the console complains of something else than the status of a page that a test asks for."""
    return line.type == "error" and "the server responded with a status of 4" not in line.text


def violations(page: Any) -> list[str]:
    """What axe-core finds against WCAG's levels A and AA on the page as it is."""
    from axe_playwright_python.sync_playwright import Axe

    done = Axe().run(page, options={"runOnly": {"type": "tag", "values": LEVELS}}).response
    return [f"{rule['id']}: {node['html'][:200]}" for rule in done["violations"] for node in rule["nodes"]]


def is_wider_than_screen(page: Any) -> bool:
    """Whether the page as a whole scrolls sideways."""
    return bool(page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"))
