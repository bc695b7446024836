"""How near `--dry-run` comes to the real time: ingest, filter and de-duplication of several kinds of input.

    python benchmarks/estimates.py CORPUS [--megabytes 40] [--workers 1] [--only jsonl,code]

CORPUS is a folder with `*.jsonl.zst` files, and pages in `html/*.tar.zst`; what is missing there is left out. The short
documents are lines of its texts and the code is Python's own library. Each kind is planned and run as a user would, one
after the other, so that both meet the same machine. A stage that is planned in the middle of the range is at 1.0.

Where others work on the machine, it may give the run another share of a core than it gave the plan a minute before. So
a column has the real time as it would be at the plan's share: seconds of CPU over seconds, of both.
"""

import argparse
import json
import resource
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import time
from collections.abc import Iterator
from gzip import compress
from io import BufferedReader
from itertools import cycle
from pathlib import Path
from typing import Any

import orjson
import yaml
import zstandard

SHORT_DOCUMENTS = 1_000_000
PAGES_OF_AN_ARCHIVE = 500


def short_documents(corpus: Path, folder: Path) -> dict[str, Any]:
    """A million documents of 20 to 100 bytes: lines of the corpus, numbered so that none is another's copy."""
    written = 0
    with (folder / "short.jsonl").open("wb") as file:
        for line in lines_of(corpus):
            text = f"{line} {written}"
            file.write(orjson.dumps({"id": f"d{written}", "text": text}) + b"\n")
            written += 1
            if written == SHORT_DOCUMENTS:
                break
    return {"inputs": [str(folder / "short.jsonl")]} if written else {}


def lines_of(corpus: Path) -> Iterator[str]:
    """The short lines of all texts in the corpus, over and over; none if it has no such file."""
    files = sorted(corpus.glob("*.jsonl.zst"))
    for path in cycle(files) if files else ():
        with path.open("rb") as packed, zstandard.ZstdDecompressor().stream_reader(packed) as plain:
            for document in BufferedReader(plain):
                for line in orjson.loads(document)["text"].splitlines():
                    if 20 <= len(line.encode()) <= 100:
                        yield line


def lines(corpus: Path, folder: Path, size: int) -> dict[str, Any]:
    """Files of JSON lines, unpacked until they come to `size` bytes; numbered copies where there are not enough."""
    files, written = sorted(corpus.glob("*.jsonl.zst")), 0
    for number, path in enumerate(cycle(files) if files else ()):
        if written >= size:
            break
        with path.open("rb") as packed, (folder / f"{number:03d}.jsonl").open("wb") as file:
            written += zstandard.ZstdDecompressor().copy_stream(packed, file)[1]
    return {"inputs": [str(folder / "*.jsonl")], "id_field": ""} if files else {}


def archives(corpus: Path, folder: Path, size: int, extractor: str) -> dict[str, Any]:
    """Web archives of the corpus's pages, a gzip member a record as in crawls, until the pages come to `size` bytes."""
    pages, written = pages_of(corpus), 0
    file: Any = None
    for number, page in enumerate(cycle(pages) if pages else ()):
        if written >= size:
            break
        if number % PAGES_OF_AN_ARCHIVE == 0:
            file = (folder / f"{number:06d}.warc.gz").open("wb")
        answer = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n" + page
        head = f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: https://example.com/{number}\r\n"
        head += f"WARC-Record-ID: <urn:uuid:{number:032x}>\r\nContent-Type: application/http; msgtype=response\r\n"
        head += f"Content-Length: {len(answer)}\r\n\r\n"
        file.write(compress(head.encode() + answer + b"\r\n\r\n", 6))
        written += len(page)
    return {"inputs": [str(folder)], "extractor": extractor} if pages else {}


def pages_of(corpus: Path) -> list[bytes]:
    """The HTML files in the archives of `html/`."""
    pages: list[bytes] = []
    for path in sorted(corpus.glob("html/*.tar.zst")):
        with (
            path.open("rb") as packed,
            zstandard.ZstdDecompressor().stream_reader(packed) as plain,
            tarfile.open(fileobj=plain, mode="r|") as tar,
        ):
            pages += [tar.extractfile(member).read() for member in tar if member.isfile()]
    return pages


def kinds(corpus: Path, folder: Path, size: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """(name, settings of ingest) of each kind that can be made."""
    stdlib = sysconfig.get_paths()["stdlib"]
    making = {
        "WARC, resiliparse": lambda inner: archives(corpus, inner, 4 * size, "resiliparse"),
        "WARC, trafilatura": lambda inner: archives(corpus, inner, size, "trafilatura"),
        "JSON lines": lambda inner: lines(corpus, inner, size),
        "a million short documents": lambda inner: short_documents(corpus, inner),
        "code": lambda inner: {
            "inputs": [f"{stdlib}/**/*.py"],
            "kind": "code",
            "exclude": ["site-packages/*", "test/*", "*/test/*", "*/tests/*"],
        },
    }
    for name, make in making.items():
        inner = folder / name.replace(" ", "-").replace(",", "")
        inner.mkdir()
        if settings := make(inner):
            yield name, settings


def measure(name: str, settings: dict[str, Any], folder: Path, workers: int) -> list[str]:
    """A line for each stage, and one for the whole run."""
    output, recipe = folder / "output", folder / "recipe.yaml"
    stages = {
        "ingest": settings,
        "filter": {"datasets": ["ingest"], "rules": ["gopher-quality", "gopher-repetition"]},
        "dedup": {"datasets": ["filter"]},
    }
    recipe.write_text(yaml.safe_dump({"name": "e", "output": str(output), "stages": stages}, sort_keys=False))
    command = [sys.executable, "-m", "corpusmill", "run", str(recipe), "--json", "--workers", str(workers)]
    allowed = ["--allow-quarantine", "--overwrite"]
    plan, planned, share_then = timed([*command, *allowed, "--dry-run"])
    done, _, share_now = timed([*command, *allowed])
    scale = share_now / share_then
    shown = []
    for stage, real in zip(plan["stages"], done["stages"], strict=True):
        shown.append(
            row(f"{name}: {stage['name']} ({stage['estimated_by']})", stage["seconds"], real["seconds"], scale)
        )
    whole = f"{name}: the whole run (planned in {planned:.1f} s)"
    return [*shown, row(whole, plan["seconds"], done["seconds"], scale)]


def timed(command: list[str]) -> tuple[Any, float, float]:
    """(what a command prints, its seconds, its CPU seconds over these)."""
    started, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    printed = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    seconds, after = time.monotonic() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return printed, seconds, (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / seconds


def row(name: str, range_of: list[float], real: float, scale: float) -> str:
    """A line of the table; `scale` is by how much the run's share of a core was larger than the plan's."""
    low, high = range_of
    alike = real * scale
    ratio = (low * high) ** 0.5 / max(alike, 1e-3)
    return f"| {name} | {low:.1f} to {high:.1f} s | {real:.1f} s | {alike:.1f} s | {ratio:.2f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--megabytes", type=int, default=40)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--only", default="", help="words that a kind's name begins with, separated by commas")
    arguments = parser.parse_args()
    print("| what (by) | planned | real | at the plan's share | middle of the plan / that |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for name, settings in kinds(arguments.corpus, Path(folder), arguments.megabytes * 10**6):
            if not arguments.only or name.lower().startswith(tuple(arguments.only.lower().split(","))):
                inner = Path(folder, f"run-{len(list(Path(folder).iterdir()))}")
                inner.mkdir()
                for line in measure(name, settings, inner, arguments.workers):
                    print(line, flush=True)


if __name__ == "__main__":
    main()
