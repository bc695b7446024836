"""Lists of URLs and of words on one core: ours against datatrove's URLFilter and C4BadWordsFilter, with the same lists.

    python benchmarks/lists.py /data/corpus --peers-python /tmp/peers/bin/python

`--peers-python` is a Python with datatrove 0.10, tldextract and pyahocorasick. The lists are the ones that lie in
datatrove's own package (4.6 million domains, 20,000 addresses, words): they are unpacked into a temporary folder at run
time. The words of its three lists together are the list of words, in the place of the one that C4BadWordsFilter would
download.

URLs are those of CORPUS/html/*.index.jsonl, `--repeat` times, each copy with another query; `--listed` addresses on
listed domains, half of them below `www.`; and a tenth as many listed addresses. Texts are the documents of CORPUS that
are no code; datatrove looks at every `--every`-th.

Decisions are compared, and the first rule that a URL breaks, in datatrove's order, as it names no other.
"""

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from corpus_documents import megabytes, read_corpus

from corpusmill.dataproc.measures.columns import Measure

LISTS = {
    "domains": "domains",
    "subdomains": "domains",  # datatrove looks the whole host up in the list of domains, too
    "urls": "urls",
    "words": "banned_words.txt",
    "soft-words": "soft_banned_words.txt",
    "substrings": "banned_subwords.txt",
}
RULES = (
    ("domain", "url_domain_count", 0),
    ("subdomain", "url_subdomain_count", 0),
    ("url", "url_exact_count", 0),
    ("hard_blacklisted", "url_word_count", 0),
    ("soft_blacklisted", "url_soft_word_count", 1),
    ("blacklisted_subword", "url_substring_count", 0),
)
"""datatrove's rules in its order, and ours."""

PEER = """
import json, re, sys, time
from datatrove.data import Document
from datatrove.pipeline.filters import C4BadWordsFilter, URLFilter
urls, texts, words = (json.load(open(path)) for path in sys.argv[1:4])
by_url = URLFilter()
by_url.filter(Document(text="", id="0", metadata={"url": "http://example.com/"}))
documents = [Document(text="", id="0", metadata={"url": url}) for url in urls]
begun = time.process_time()
found = [by_url.filter(document) for document in documents]
seconds = time.process_time() - begun
by_word = C4BadWordsFilter()
either = "|".join(re.escape(word) for word in words)
by_word._badwords_regex["en"] = re.compile(r"(?:\\W|^)({})(?:\\W|$)".format(either))
documents = [Document(text=text, id="0", metadata={"language": "en"}) for text in texts]
begun = time.process_time()
rejected = [by_word.filter(document) is not True for document in documents]
json.dump({"urls": [each[1] if each is not True else None for each in found], "url_seconds": seconds,
           "rejected": rejected, "text_seconds": time.process_time() - begun}, open(sys.argv[4], "w"))
"""


def unpack_lists(python: str, folder: Path) -> None:
    """datatrove's lists, out of the peers' packages."""
    script = "from datatrove.utils._import_utils import ASSETS_PATH; print(ASSETS_PATH)"
    assets = subprocess.run([python, "-c", script], check=True, capture_output=True, text=True).stdout.strip()
    subprocess.run(["tar", "xzf", f"{assets}/url_filterblacklistsv0_3_0.tar.gz", "-C", str(folder)], check=True)
    for name in set(LISTS.values()) - {"domains", "urls"}:
        (folder / name).write_bytes((Path(assets) / name).read_bytes())


def make_urls(corpus: Path, folder: Path, repeat: int, listed: int) -> list[str]:
    lines = [line for path in sorted(corpus.glob("html/*.index.jsonl")) for line in path.open(encoding="utf-8")]
    pages = [url for url in (json.loads(line)["url"] for line in lines) if url]
    names, addresses = ((folder / name).read_text(encoding="utf-8").split() for name in ("domains", "urls"))
    draw = random.Random(20260101)
    urls = [f"{page}{'&' if '?' in page else '?'}copy={copy}" for copy in range(repeat) for page in pages]
    urls += [f"http://{draw.choice(('', 'www.'))}{draw.choice(names)}/a/page%20{number}" for number in range(listed)]
    urls += [f"http://{draw.choice(addresses)}" for _ in range(listed // 10)]
    draw.shuffle(urls)
    return urls


def load_lists(lists: dict[str, str]) -> Measure:
    """Our measure with its lists in memory; tells what loading took."""
    from corpusmill.dataproc.lists.urls import UrlMatches

    measure = UrlMatches(lists=lists)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begun = time.process_time()
    measure.measure(pa.RecordBatch.from_pydict({"url": pa.array(["http://example.com/"])}))
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(f"ours: lists loaded (and kernels) in {time.process_time() - begun:.1f} s, at the peak {grown:.0f} MiB more")
    return measure


def ours_on_urls(urls: list[str], measure: Measure) -> tuple[dict[str, list[int]], float]:
    """(columns, seconds of CPU time)."""
    batch = pa.RecordBatch.from_pydict({"url": pa.array(urls, pa.string())})
    begun = time.process_time()
    measured = measure.measure(batch)
    return measured.to_pydict(), time.process_time() - begun


def compare_urls(urls: list[str], columns: dict[str, list[int]], theirs: list[str | None]) -> None:
    """Prints how often both name the same first rule, and two URLs of each kind of difference."""
    pairs, examples = Counter[tuple[str, str]](), {}
    for row, (url, their) in enumerate(zip(urls, theirs, strict=True)):
        our = next((name for name, column, most in RULES if columns[column][row] > most), None)
        pair = (str(our), str(their))
        pairs[pair] += 1
        examples.setdefault(pair, url)
    kept = {side: sum(count for pair, count in pairs.items() if pair[side] == "None") for side in (0, 1)}
    only_theirs = sum(count for (our, their), count in pairs.items() if our == "None" != their)
    same = sum(count for (our, their), count in pairs.items() if our == their)
    print(
        f"of {len(urls)} URLs ours rejects {len(urls) - kept[0]}, datatrove's {len(urls) - kept[1]}, {only_theirs} of "
        f"which ours keeps; the first broken rule is the same for {same / len(urls):.2%}"
    )
    for (our, their), count in pairs.most_common():
        if our != their:
            print(f"  ours {our}, datatrove's {their}: {count}, such as {examples[our, their]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--peers-python", required=True)
    parser.add_argument("--repeat", type=int, default=100)
    parser.add_argument("--listed", type=int, default=50_000)
    parser.add_argument("--every", type=int, default=50)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        unpack_lists(given.peers_python, folder)
        measure = load_lists({kind: str(folder / file) for kind, file in LISTS.items()})
        urls = make_urls(given.corpus, folder, given.repeat, given.listed)
        columns, seconds = ours_on_urls(urls, measure)
        texts, counts, text_seconds = ours_on_texts(given.corpus, folder)
        some = list(range(0, texts.num_rows, given.every))
        theirs = run_peer(given.peers_python, folder, urls, texts.take(some)["text"].to_pylist())
        our_rate, their_rate = len(urls) / seconds, len(urls) / theirs["url_seconds"]
        print(f"URLs: ours {our_rate:,.0f} a second, datatrove's {their_rate:,.0f}: {our_rate / their_rate:.0f} times")
        compare_urls(urls, columns, theirs["urls"])
        our_rate = megabytes(texts) / text_seconds
        their_rate = megabytes(texts.take(some)) / theirs["text_seconds"]
        print(f"words: ours {our_rate:.0f} MB/s, datatrove's {their_rate:.2f} MB/s: {our_rate / their_rate:.0f} times")
        same = (counts[some] > 0) == np.array(theirs["rejected"])
        print(f"words: the same decision for {same.mean():.2%} of {len(some)} documents")


def ours_on_texts(corpus: Path, folder: Path) -> tuple[pa.Table, np.ndarray, float]:
    """(documents, listed words of each, seconds of CPU time)."""
    from corpusmill.dataproc.lists.words import ListedWords

    documents = read_corpus(corpus)
    documents = documents.filter(pc.not_equal(documents["kind"], "code")).combine_chunks()
    words = sorted({word for name in LISTS.values() if name.endswith(".txt") for word in entries(folder / name)})
    (folder / "list.txt").write_text("\n".join(words), encoding="utf-8")
    (batch,) = documents.to_batches()
    measure = ListedWords(path=str(folder / "list.txt"))
    measure.measure(batch.slice(0, 10))
    begun = time.process_time()
    measured = measure.measure(batch)
    return documents, measured.column(0).to_numpy(), time.process_time() - begun


def entries(path: Path) -> list[str]:
    return [line.strip() for line in path.read_text("utf-8").split("\n") if line.strip() and not line.startswith("#")]


def run_peer(python: str, folder: Path, urls: list[str], texts: list[str]) -> dict[str, Any]:
    for name, value in (("u", urls), ("t", texts), ("w", entries(folder / "list.txt"))):
        (folder / name).write_text(json.dumps(value))
    paths = [str(folder / name) for name in ("u", "t", "w", "out")]
    subprocess.run([python, "-c", PEER, *paths], check=True, stdout=sys.stderr)
    return json.loads((folder / "out").read_text())


if __name__ == "__main__":
    main()
