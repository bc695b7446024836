"""Runs the readers over test suites that others publish: how many cases are accepted, reported, wrong.

    python benchmarks/suites.py html5lib-encoding=/tmp/html5lib-tests warc=/tmp/warcio warc=/tmp/jwarc

A suite is named with the folder of a checkout of it, which is found elsewhere and not part of this repository. A case
is `accepted` where what comes out is what the suite, or an independent reader, says; `reported` where the input is
refused with a reason; `wrong` else, and then its name is printed with what came out. The exit status is 1 if any is
wrong.

A suite is an entry of `SUITES`: a function from a folder to outcomes. Others join by adding theirs.
"""

import argparse
import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from corpusmill.dataproc.readers.archives.pages import Page, Unreadable, decode_page
from corpusmill.dataproc.readers.archives.warc import read_warc
from corpusmill.dataproc.readers.charsets.decoders import decode, encoding_of, malformed
from corpusmill.dataproc.readers.charsets.prescan import declared_encoding
from corpusmill.dataproc.readers.pieces import Fields, Piece

ARCHIVES = (".warc", ".warc.gz", ".warc.zst", ".warc.lz4", ".arc", ".arc.gz", ".wet", ".wet.gz", ".gz.bad")


class Outcome(NamedTuple):
    """What became of a case; `note` says what was expected where it is wrong, or why it was refused."""

    case: str
    verdict: Literal["accepted", "reported", "wrong"]
    note: str = ""


Suite = Callable[[Path], Iterator[Outcome]]


def html5lib_encoding(folder: Path) -> Iterator[Outcome]:
    """html5lib-tests/encoding/*.dat: pages and the encoding that a browser takes them to be in.

    Where a page declares nothing, the suite expects a browser's fallback, windows-1252; ours is UTF-8, so the text has
    to be the same. A page that is malformed in what it declares, and is UTF-8, may be read as that: one is stored so.
    """
    for path in sorted(folder.glob("encoding/*.dat")):
        for number, case in enumerate(path.read_bytes().split(b"#data\n")[1:]):
            data, _, rest = case.rpartition(b"\n#encoding\n")
            expected = encoding_of(rest.strip().decode()) or ""
            name = f"{path.name}#{number}"
            try:
                text, encoding, _ = decode_page(Page(content_type="text/html", body=data, charset=None))
            except Unreadable as error:
                yield Outcome(name, "reported", str(error))
                continue
            declared, by_suite = declared_encoding(data), decode(data, expected)
            undeclared = declared is None and expected == "windows-1252" and text == by_suite
            rescued = declared == expected and encoding == "utf-8" and malformed(by_suite) > 0
            if encoding == expected or undeclared or rescued:
                yield Outcome(name, "accepted")
            else:
                yield Outcome(name, "wrong", f"expected {expected}, read as {encoding}: {data[:80]!r}")


def web_archives(folder: Path) -> Iterator[Outcome]:
    """Archives anywhere in a folder: every response of status 200 that FastWARC sees and that is HTML or plain text."""
    for path in sorted(path for path in folder.rglob("*") if path.name.endswith(ARCHIVES)):
        name = str(path.relative_to(folder))
        expected = Counter(_pages_by_fastwarc(path))
        reports: list[str] = []
        piece = Piece(path=str(path), name=name, format="warc", bytes=path.stat().st_size)
        fields = Fields(source="suite", extractor="resiliparse")
        read = Counter[str]()
        for batch in read_warc(piece, fields, lambda *values: reports.append(values[2])):  # noqa: B023
            read.update(url or "" for url in batch.column("url").to_pylist())
        for url in read.elements():
            yield Outcome(f"{name} {url}", "accepted")
        for reason in reports:
            yield Outcome(name, "reported", reason)
        missing = sorted((expected - read).elements())
        for url in missing[len(reports) :]:
            yield Outcome(f"{name} {url}", "wrong", "neither read nor reported")


def _pages_by_fastwarc(path: Path) -> Iterator[str]:
    from fastwarc.warc import ArchiveIterator, WarcRecordType

    wanted = WarcRecordType.response | WarcRecordType.conversion
    with path.open("rb") as file:
        try:
            for record in ArchiveIterator(file, record_types=wanted):
                headers = record.http_headers if record.is_http else record.headers
                kind = (headers.get("Content-Type") or "").split(";")[0].strip().lower()
                status = record.http_headers.status_code if record.is_http else 200
                if status == 200 and kind in ("text/html", "application/xhtml+xml", "text/plain", "text/markdown"):
                    yield record.headers.get("WARC-Target-URI", "").strip("<>")
        except Exception:  # a broken archive: what was seen before is what it says
            return


SUITES: dict[str, Suite] = {"html5lib-encoding": html5lib_encoding, "warc": web_archives}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suites", nargs="+", help=f"NAME=FOLDER, where NAME is one of {', '.join(SUITES)}")
    parser.add_argument("--reasons", action="store_true", help="print why cases were reported, too")
    parser.add_argument("--json", type=Path, help="write the outcomes there")
    arguments = parser.parse_args()
    rows: list[dict[str, object]] = []
    print(f"{'suite':<44} {'accepted':>9} {'reported':>9} {'wrong':>6}")
    lines: list[str] = []
    for argument in arguments.suites:
        name, _, folder = argument.partition("=")
        if name not in SUITES or not Path(folder).is_dir():
            parser.error(f"no suite or folder: {argument}")
        outcomes = list(SUITES[name](Path(folder)))
        counts = Counter(outcome.verdict for outcome in outcomes)
        print(f"{argument[-44:]:<44} {counts['accepted']:>9} {counts['reported']:>9} {counts['wrong']:>6}")
        rows += [{"suite": name, **outcome._asdict()} for outcome in outcomes]
        lines += [
            f"{outcome.verdict}: {outcome.case!r}: {outcome.note}"
            for outcome in outcomes
            if outcome.verdict == "wrong" or (arguments.reasons and outcome.verdict == "reported")
        ]
    print("\n".join(lines))
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1))
    raise SystemExit(any(row["verdict"] == "wrong" for row in rows))


if __name__ == "__main__":
    main()
