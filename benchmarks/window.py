"""Measures the pages of `corpusmill inspect serve` on a run, as made by `inspecting.py make`, and the server's memory.

    python benchmarks/inspecting.py make /tmp/inspecting --rows 10000000 --sequences 1000000
    python benchmarks/window.py /tmp/inspecting

The server is a process of its own. Printed are the time until it gives its link, and that of the first view after it;
then each page is asked once ("cold": what this server has not read yet) and five times more, of which the median is
printed, and the server's highest memory so far. Ends with 1 where the first view took more than a second, a page more
than half of one, or the server more than 500 MB. Pages that read through texts, ids or a whole table on purpose (a
search in all documents, a document by its id, SQL of the user's own) are measured, too, and marked with a star.
"""

import argparse
import http.cookiejar
import re
import statistics
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from urllib.parse import quote

FIRST_SECONDS, PAGE_SECONDS, MOST_BYTES = 1.0, 0.5, 500e6
DOCUMENT, REJECTED = "web/crawl-00050.jsonl#{}", "gopher-quality/words"
PAGES = [
    "/at/{run}",
    "/at/{run}/stage/documents",
    "/at/{run}/stage/clean",
    "/at/{run}/stage/shards",
    "/at/{run}/stage/model",
    "/at/{run}/stage/documents/documents",
    "/at/{run}/stage/documents/documents?start=5000000",
    "/at/{run}/stage/clean/statistics",
    "/at/{run}/stage/clean/statistics?column=word_count",
    "/at/{run}/stage/clean/rejected",
    "/at/{run}/stage/clean/rejected?rule=" + quote(REJECTED),
    "/at/{run}/stage/clean/rejected?rule=" + quote(REJECTED) + "&threshold=40",
    "/at/{run}/stage/shards/sequences",
    "/at/{run}/stage/shards/sequences?start=700000",
    "/at/{run}/stage/shards/sequences?document=" + quote(DOCUMENT.format(7)),
    "/at/{run}/stage/shards/shards",
    "/at/{run}/stage/model/training",
    "/at/{run}/stage/model/step?step=100",
    "/compare?a={run}/documents&b={run}/clean",
    "/at/{run}/sql",
]
LONG = [
    "/at/{run}/document?id=" + quote(DOCUMENT.format(7)),
    "/at/{run}/stage/clean/documents?near=words",
    "/at/{run}/stage/documents/documents?contains=had+had+an+an",
    "/at/{run}/stage/clean/documents?where=word_count+%3C+20",
    "/at/{run}/sql?statement=" + quote("SELECT rule, count(*) AS n FROM ledger GROUP BY rule"),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--only", default="", help="pages whose address has this")
    arguments = parser.parse_args()
    started = time.perf_counter()
    command = [sys.executable, "-m", "corpusmill", "inspect", "serve", str(arguments.run)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        link = _link(server)
        opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()))
        listening = time.perf_counter() - started
        opener.open(link).read()
        first = time.perf_counter() - started - listening
        slow = _measure(opener, link.split("/?")[0], arguments.run.name, server.pid, arguments.only)
        peak = _peak(server.pid)
    finally:
        server.terminate()
        server.wait(10)
    print(f"link {listening:.2f} s after the command, first view {first:.2f} s after it; at most {peak / 1e6:.0f} MB")
    raise SystemExit(1 if slow or first > FIRST_SECONDS or peak > MOST_BYTES else 0)


def _link(server: subprocess.Popen[str]) -> str:
    assert server.stdout is not None
    for line in server.stdout:
        if link := re.search(r"http://\S+", line):
            return link[0]
    raise SystemExit("the server gave no link")


def _measure(opener: urllib.request.OpenerDirector, origin: str, run: str, pid: int, only: str) -> list[str]:
    slow = []
    print(f"{'cold ms':>8} {'page ms':>8} {'MB':>5}  page")
    for address in [*PAGES, *LONG]:
        if only not in address:
            continue
        cold, *again = [_seconds(opener, origin + address.format(run=run)) for _ in range(1 if address in LONG else 6)]
        usual = statistics.median(again or [cold])
        star = "*" if address in LONG else "!" if max(cold, usual) > PAGE_SECONDS else " "
        slow += [address] if star == "!" else []
        print(f"{1e3 * cold:8.0f} {1e3 * usual:8.0f} {_peak(pid) / 1e6:5.0f}{star} {address[:100]}", flush=True)
    return slow


def _seconds(opener: urllib.request.OpenerDirector, address: str) -> float:
    started = time.perf_counter()
    with opener.open(address) as answer:
        answer.read()
    return time.perf_counter() - started


def _peak(pid: int) -> int:
    (line,) = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    main()
