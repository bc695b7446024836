"""For all tests: compiled kernels in the per-user cache that the command line uses, so that they are compiled once.

Hypothesis sets no deadline: the first example of a test may have to wait for a kernel's compilation. Hugging Face's
libraries are kept from the network, which they would otherwise try for local folders, too.
"""

import os
from pathlib import Path

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read when they are imported
os.environ.pop("COLUMNS", None)  # pytest-xdist sets it, and our tables would be wrapped

from hypothesis import HealthCheck, settings

from corpusmill.pipelines import kernels

kernels.configure()

settings.register_profile("corpusmill", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("corpusmill")


COMPILING = tuple(str(Path(__file__).parent / name) for name in ("dataproc", "tokenizer"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The order of files: the core's, which compile kernels; then those with slow tests, so that no worker is left
    alone with one of them at the end; then all others."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}

    def place(item: pytest.Item) -> int:
        return 1 if item.path in slow else 0 if str(item.path).startswith(COMPILING) else 2

    items.sort(key=place)
