"""Measures reading web archives: pages a second, against datatrove's WarcReader with the same extractor.

    python benchmarks/warc.py PAGES.tar.zst INDEX.jsonl --datatrove /tmp/web/venv/bin/python

Raw pages (a tar of files, and an index with `file` and `url`) are written into one `.warc.gz` with a gzip member a
record, as crawls are kept. Then, in turns, each in a process of its own and on one core: our `read_warc`, and
datatrove's `WarcReader` and extractor step, with resiliparse, with trafilatura, and with no extractor at all (the
reader alone). datatrove runs its extractor in a child process, whose seconds count; CPU seconds are compared, since it
could use a second core. The other Python needs datatrove, warcio, faust-cchardet, python-magic, and trafilatura and
resiliparse of the same versions as ours.

Then the texts are compared by URL: with the same extractor they differ where the two decode a page by another charset,
or where one of them leaves a page out.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import zstandard

EXTRACTORS = ("none", "resiliparse", "trafilatura")

OURS = """
import json, resource, sys, time
from corpusmill.dataproc.readers.archives import pages
from corpusmill.dataproc.readers.pieces import Fields, Piece
from corpusmill.dataproc.readers.archives.warc import read_warc
path, extractor, out = sys.argv[1:]
pages.EXTRACTORS["none"] = lambda html: html
pages.check_extractor(extractor)
fields = Fields(source="s", extractor=extractor)
list(read_warc(Piece(path="/dev/null", name="", format="warc", bytes=0), fields, print))
if extractor != "none":
    pages.text_of_html("<p>loads what is loaded at first use</p>", extractor)
started = time.process_time()
reports, found = [], {}
for batch in read_warc(
    Piece(path=path, name="pages", format="warc", bytes=0),
    fields,
    lambda *each: reports.append(each[2]),
):
    found.update(zip(batch.column("url").to_pylist(), batch.column("text").to_pylist()))
seconds = time.process_time() - started
json.dump(found, open(out, "w"))
print(json.dumps({"seconds": seconds, "documents": len(found), "left_out": len(reports)}))
"""

DATATROVE = """
import json, os, resource, sys, time
from datatrove.pipeline.extractors import Trafilatura
from datatrove.pipeline.extractors.base import BaseExtractor
from datatrove.pipeline.readers import WarcReader
from datatrove.utils.logging import logger
logger.remove()
path, extractor, out = sys.argv[1:]
class Resiliparse(BaseExtractor):
    def __init__(self, timeout):
        super().__init__(timeout)
    def extract(self, text):
        from resiliparse.extract.html2text import extract_plain_text
        return extract_plain_text(text, main_content=True, alt_texts=False)
steps = {
    "resiliparse": lambda: Resiliparse(timeout=30),
    "trafilatura": lambda: Trafilatura(timeout=30, deduplicate=False),
}
def cpu():
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime
import cchardet, magic, warcio.archiveiterator
if extractor == "trafilatura":
    import trafilatura
started = cpu()
documents = WarcReader(os.path.dirname(path), glob_pattern=os.path.basename(path)).run()
if extractor in steps:
    documents = steps[extractor]().run(documents)
found = {document.metadata["url"]: document.text for document in documents}
seconds = cpu() - started
json.dump(found, open(out, "w"))
print(json.dumps({"seconds": seconds, "documents": len(found)}))
"""


def write_archive(tar: Path, index: Path, path: Path) -> tuple[int, int]:
    """(pages, bytes of HTML) written as responses, each in a gzip member."""
    import gzip

    urls = {}
    for line in index.read_text().splitlines():
        entry = json.loads(line)
        urls[entry["file"]] = entry["url"] or f"http://unknown.example/{entry['file']}"
    pages = size = 0
    with tar.open("rb") as packed, path.open("wb") as out:
        files = tarfile.open(fileobj=zstandard.ZstdDecompressor().stream_reader(packed), mode="r|")  # noqa: SIM115
        for member in files:
            file = files.extractfile(member) if member.isfile() else None
            if file is None:
                continue
            html = file.read()
            block = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n" + html
            header = (
                f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Record-ID: <urn:uuid:{pages:032x}>\r\n"
                f"WARC-Target-URI: {urls[Path(member.name).name]}\r\nWARC-Date: 2024-05-18T01:58:10Z\r\n"
                f"WARC-Identified-Payload-Type: text/html\r\nContent-Type: application/http; msgtype=response\r\n"
                f"Content-Length: {len(block)}\r\n\r\n"
            )
            out.write(gzip.compress(header.encode() + block + b"\r\n\r\n", 6))
            pages, size = pages + 1, size + len(html)
    return pages, size


def run(python: str, program: str, archive: Path, extractor: str, out: Path) -> dict:
    command = [python, "-c", program, str(archive), extractor, str(out)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[1])
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pages", type=Path, help="a .tar.zst of raw pages")
    parser.add_argument("index", type=Path, help="JSON lines with file and url")
    parser.add_argument("--datatrove", required=True, help="a Python that has datatrove")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / "pages.warc.gz"
        pages, size = write_archive(arguments.pages, arguments.index, archive)
        print(f"{pages} pages, {size / 1e6:.1f} MB of HTML, {archive.stat().st_size / 1e6:.1f} MB compressed")
        for extractor in EXTRACTORS:
            seconds: dict[str, list[float]] = {"ours": [], "datatrove": []}
            for _ in range(arguments.repeats):
                ours = run(sys.executable, OURS, archive, extractor, Path(folder) / "ours.json")
                theirs = run(arguments.datatrove, DATATROVE, archive, extractor, Path(folder) / "theirs.json")
                seconds["ours"].append(ours["seconds"])
                seconds["datatrove"].append(theirs["seconds"])
            mine, other = (statistics.median(seconds[name]) for name in ("ours", "datatrove"))
            print(
                f"{extractor:>11}: ours {pages / mine:8.1f} pages/s ({size / 1e6 / mine:6.1f} MB/s), "
                f"datatrove {pages / other:8.1f} pages/s, ratio {other / mine:.2f}"
            )
            compare(json.loads((Path(folder) / "ours.json").read_text()), folder, ours, theirs)


def compare(ours: dict[str, str], folder: str, mine: dict, other: dict) -> None:
    theirs = json.loads((Path(folder) / "theirs.json").read_text())
    both = ours.keys() & theirs.keys()
    same = sum(ours[url].split() == theirs[url].split() for url in both)
    print(
        f"             documents {mine['documents']} (left out with a reason: {mine['left_out']}) and "
        f"{other['documents']}; in both {len(both)}, of which {same} have the same words"
    )


if __name__ == "__main__":
    main()
