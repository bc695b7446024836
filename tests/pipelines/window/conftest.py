"""One browser for each module's tests."""

from collections.abc import Iterator

import pytest

from tests.pipelines.window.browser import shared_browser


@pytest.fixture(scope="module", autouse=True)
def _one_browser() -> Iterator[None]:
    with shared_browser():
        yield
