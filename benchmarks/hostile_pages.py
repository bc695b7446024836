"""Measures our own extractor on 64 MiB of each kind of hostile HTML: the bound is two seconds of CPU.

    python benchmarks/hostile_pages.py [--mebibytes 64]

Each page is one piece, repeated, inside tables and as many open elements as the parser holds. For each it prints
the seconds of the parser and of all of the extractor, best of two.
"""

import argparse
import time
from collections.abc import Callable

from corpusmill.dataproc.extraction.extractor import extract
from corpusmill.dataproc.extraction.parsing import parse
from corpusmill.dataproc.extraction.states import DEEPEST
from corpusmill.pipelines import kernels

PIECES = {
    "less-than signs": "<",
    "open tags": "<div>",
    "nested inline elements": "<span>",
    "end tags of nothing": "<p></x>",
    "end tags that a barrier stops": "</p>",
    "unclosed attributes": "<a href='",
    "attributes": " a=b",
    "references without names": "&",
    "references of long names": "&CounterClockwiseContourIntegra",
    "digits of a reference": "&#9",
    "comments": "<!--",
    "scripts": "<script>",
    "titles": "<title></titl",
    "tables": "<table><tr><td>",
    "lists": "<ul><li>x",
    "paragraphs": "<p>x",
    "breaks": "x<br>",
    "classes": "<i class=x-post>",
    "unknown elements": "<x-y>",
    "bold": "<b>x",
    "rows of one cell": "<tr><td>x",
    "formulas": "<math><annotation encoding='application/x-tex'>x",
}
_PREFIX = "<table><tr><td><p><table><tr><td>" + "<div>" * (DEEPEST - 20)


def page_of(piece: str, size: int) -> str:
    """A page of `size` bytes, of one piece again and again."""
    return (_PREFIX + piece * (size // len(piece)))[:size]


def seconds_of(work: Callable[[], object]) -> float:
    """The CPU seconds of some work, best of two."""
    seconds = []
    for _ in range(2):
        started = time.process_time()
        work()
        seconds.append(time.process_time() - started)
    return min(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mebibytes", type=int, default=64)
    options = parser.parse_args()
    kernels.configure()
    extract("<p>loads what is loaded at first use")
    for name, piece in PIECES.items():
        html = page_of(piece, options.mebibytes << 20)
        data = html.encode()
        parsing, whole = seconds_of(lambda data=data: parse(data)), seconds_of(lambda html=html: extract(html))  # type: ignore[misc]
        print(f"{name:32}{parsing:8.2f} s{whole:8.2f} s")


if __name__ == "__main__":
    main()
