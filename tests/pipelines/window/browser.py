"""Headless Chromium for tests of pages, and axe-core's rules for them; tests say where there is no Chromium.

Debian's package `chromium` is driven (`apt-get install chromium`); nothing is downloaded.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine (apt-get install chromium)")
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
LEVELS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]


@contextmanager
def opened(link: str, *, width: int = 1280, dark: bool = False, scripts: bool = True) -> Iterator[Any]:
    """A page of a new browser on a link; what its console says, or asks of another host, fails the test at the end."""
    from playwright.sync_api import sync_playwright

    problems: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme="dark" if dark else "light", reduced_motion="reduce",
            java_script_enabled=scripts,
        )  # fmt: skip
        page = context.new_page()
        origin = "/".join(link.split("/")[:3])
        page.on("console", lambda line: problems.append(line.text) if _is_problem(line) else None)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("request", lambda request: None if request.url.startswith(origin) else problems.append(request.url))
        page.on("dialog", lambda dialog: (problems.append("a dialog"), dialog.dismiss()))
        page.goto(link)
        yield page
        browser.close()
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
