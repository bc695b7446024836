"""Every page in a browser: it fits the screen at both widths, and breaks no rule of WCAG in either colour scheme."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pipelines.small_run import add_shards, make_run
from tests.pipelines.window.browser import is_wider_than_screen, needs_browser, opened, violations
from tests.pipelines.window.server import Window, served

ADDRESSES = ["/", "/at/run", "/none"]


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Window]:
    run: Path = make_run(tmp_path_factory.mktemp("run"))
    add_shards(run)
    with served([str(run)]) as window:
        yield window


@needs_browser
@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, True)])
def test_every_page_is_accessible_and_fits(window: Window, width: int, dark: bool) -> None:
    with opened(window.link, width=width, dark=dark) as page:
        for address in ADDRESSES:
            page.goto(window.origin + address)
            assert page.locator("h1").count() == 1, address
            assert not violations(page), address
            assert not is_wider_than_screen(page), address
