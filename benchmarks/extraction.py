"""Measures extractors of main content: how much of the truth they return, how much else, and how fast.

    python benchmarks/extraction.py PAGES [--extractor NAME ...] [--json FILE]

PAGES is a public set of pages with a human truth, as its repository has it. The layout is recognised:

- `ground-truth.json` beside `html/*.html.gz`: scrapinghub/article-extraction-benchmark (181 articles);
- `ground-truth/*.json` beside `html/*.html.gz`: Murrough-Foley/web-content-extraction-benchmark, its `dev` or `test`
  folder (pages of seven kinds: the table is by kind too);
- `source.html` and `expected.html` in each folder: mozilla/readability, `test/test-pages`;
- `evaldata.json` beside `cache` and `eval`: adbar/trafilatura, `tests` (snippets that must and must not be there).

For each extractor: precision, recall and F1 of 4-gram shingles as article-extraction-benchmark defines them (a page's
counts are normalised, precision and recall are means over pages), F1 of words (mean over pages), and for snippets the
micro-averaged scores of trafilatura's own evaluation. Pages are decoded once, by corpusmill, as every extractor gets
the same text. Rates are bytes of HTML in UTF-8 by CPU seconds of the one process, best of `--rounds`, after a first
page that loads what is loaded at first use. An extractor that fails on a page returns nothing for it, and is counted.
A peer that is not installed is said to be missing.
"""

import argparse
import gzip
import json
import re
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from corpusmill.dataproc.readers.archives.pages import EXTRACTORS, Page, Unreadable, decode_page
from corpusmill.pipelines import kernels

WORDS = re.compile(r"\w+")


@dataclass(frozen=True, kw_only=True)
class TruePage:
    """A page and what is known of its main content: whole, or by snippets.

    Attributes:
        html: the page, decoded.
        text: its main content; None where only snippets are known.
        present: snippets that main content holds.
        absent: snippets of boilerplate.
    """

    name: str
    html: str
    kind: str = "all"
    text: str | None = None
    present: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()


@dataclass
class Score:
    """What one extractor reached on a set of pages."""

    precision: list[float] = field(default_factory=list)
    recall: list[float] = field(default_factory=list)
    words: list[float] = field(default_factory=list)
    snippets: Counter[str] = field(default_factory=Counter)
    failed: int = 0

    def add(self, page: TruePage, text: str) -> None:
        if page.text is not None:
            true, false, missed = matches(page.text, text, 4)
            if true + false > 0:
                self.precision.append(true / (true + false))
            if true + missed > 0:
                self.recall.append(true / (true + missed))
            true, false, missed = matches(page.text.lower(), text.lower(), 1)
            self.words.append(2 * true / (2 * true + false + missed) if true + false + missed else 1.0)
        plain = " ".join(text.split())
        for expected, snippets in ((True, page.present), (False, page.absent)):
            for snippet in snippets:
                found = " ".join(snippet.split()) in plain
                self.snippets[f"{'present' if expected else 'absent'}-{'in' if found else 'out'}"] += 1

    def row(self) -> dict[str, float]:
        values: dict[str, float] = {"failed": self.failed}
        if self.words:
            precision = statistics.mean(self.precision) if self.precision else 0.0
            recall = statistics.mean(self.recall) if self.recall else 0.0
            f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
            values |= {"f1": f1, "precision": precision, "recall": recall, "word_f1": statistics.mean(self.words)}
        if self.snippets:
            inside, outside = self.snippets["present-in"], self.snippets["absent-in"]
            precision = inside / max(inside + outside, 1)
            recall = inside / max(inside + self.snippets["present-out"], 1)
            values["snippet_f1"] = 2 * precision * recall / max(precision + recall, 1e-9)
        return values


def matches(true: str, predicted: str, length: int) -> tuple[int, int, int]:
    """(shingles in both, only in the prediction, only in the truth), each as often as it stands there."""
    first, second = shingles(true, length), shingles(predicted, length)
    both = sum((first & second).values())
    return both, second.total() - both, first.total() - both


def shingles(text: str, length: int) -> Counter[tuple[str, ...]]:
    """Runs of `length` words; a shorter text is one run, as article-extraction-benchmark has it."""
    words = WORDS.findall(text)
    runs = (tuple(words[start : start + length]) for start in range(max(1, len(words) - length + 1)))
    return Counter(run for run in runs if run)


def pages_of(folder: Path) -> Iterator[TruePage]:
    """The pages of a set, in the order of their names."""
    if (folder / "ground-truth.json").is_file():
        for name, truth in sorted(json.loads((folder / "ground-truth.json").read_text()).items()):
            html = gzip.decompress((folder / "html" / f"{name}.html.gz").read_bytes())
            yield TruePage(name=name, html=decoded(html), kind="article", text=truth["articleBody"])
    elif (folder / "ground-truth").is_dir():
        for path in sorted((folder / "ground-truth").glob("*.json")):
            record = json.loads(path.read_text())
            truth = record["ground_truth"]
            html = gzip.decompress((folder / "html" / f"{path.stem}.html.gz").read_bytes())
            yield TruePage(
                name=path.stem,
                html=decoded(html),
                kind=record["_internal"]["page_type"]["primary"],
                text=truth["main_content"] or "",
                present=tuple(truth.get("with") or ()),
                absent=tuple(truth.get("without") or ()),
            )
    elif (folder / "evaldata.json").is_file():
        for url, item in sorted(json.loads((folder / "evaldata.json").read_text()).items()):
            path = next(path for place in ("cache", "eval") if (path := folder / place / item["file"]).is_file())
            yield TruePage(
                name=url,
                html=decoded(path.read_bytes()),
                present=tuple(item["with"]),
                absent=tuple(item["without"]),
            )
    else:
        for path in sorted(folder.glob("*/source.html")):
            expected = (path.parent / "expected.html").read_text()
            yield TruePage(name=path.parent.name, html=decoded(path.read_bytes()), text=visible_text(expected))


def decoded(data: bytes) -> str:
    """A page's characters, by the charset that corpusmill settles on; UTF-8 with replacement where it refuses."""
    try:
        return decode_page(Page(content_type="text/html", body=data, charset=None))[0]
    except Unreadable:
        return data.decode("utf-8", errors="replace")


def visible_text(html: str) -> str:
    """All text of a fragment that holds main content only."""
    from resiliparse.extract.html2text import extract_plain_text

    return str(extract_plain_text(html, main_content=False, alt_texts=False))


def peers() -> dict[str, Callable[[], Callable[[str], str | None]]]:
    """Makers of the extractors, by name: each imports its library when it is called."""

    def ours(name: str) -> Callable[[], Callable[[str], str | None]]:
        return lambda: EXTRACTORS[name]

    def trafilatura(**settings: bool) -> Callable[[], Callable[[str], str | None]]:
        def make() -> Callable[[str], str | None]:
            from trafilatura import extract

            return lambda html: extract(html, include_comments=False, **settings)

        return make

    def resiliparse(**settings: bool) -> Callable[[], Callable[[str], str | None]]:
        def make() -> Callable[[str], str | None]:
            from resiliparse.extract.html2text import extract_plain_text

            return lambda html: extract_plain_text(html, **settings)

        return make

    def justext() -> Callable[[str], str | None]:
        import justext as library

        words = library.get_stoplist("English")
        return lambda html: "\n".join(
            paragraph.text for paragraph in library.justext(html, words) if not paragraph.is_boilerplate
        )

    def readability() -> Callable[[str], str | None]:
        from readability import Document

        return lambda html: visible_text(Document(html).summary())

    def newspaper() -> Callable[[str], str | None]:
        from newspaper import article

        def extract(html: str) -> str:
            page = article("https://example.org/", input_html=html)
            return str(page.text)

        return extract

    def selectolax() -> Callable[[str], str | None]:
        from selectolax.lexbor import LexborHTMLParser

        boilerplate = "script,style,noscript,template,svg,nav,header,footer,aside,form,button,iframe"

        def extract(html: str) -> str:
            tree = LexborHTMLParser(html)
            for node in tree.css(boilerplate):
                node.decompose()
            root = tree.css_first("article") or tree.css_first("main") or tree.body
            return root.text(separator="\n", strip=True) if root else ""

        return extract

    return {name: ours(name) for name in EXTRACTORS} | {
        "trafilatura, default": trafilatura(),
        "trafilatura, fast": trafilatura(fast=True),
        "trafilatura, recall": trafilatura(favor_recall=True),
        "resiliparse, main content": resiliparse(main_content=True),
        "resiliparse, all text": resiliparse(main_content=False),
        "justext": justext,
        "readability-lxml": readability,
        "newspaper4k": newspaper,
        "selectolax, article or main": selectolax,
    }


def measure(name: str, extract: Callable[[str], str | None], pages: list[TruePage], rounds: int) -> dict[str, object]:
    """Scores by kind of page and all together, and megabytes of HTML a CPU second."""
    by_kind: dict[str, Score] = {}
    seconds = []
    failed: set[str] = set()
    texts: list[str] = []
    for _ in range(rounds):
        texts = []
        started = time.process_time()
        for page in pages:
            try:
                texts.append(extract(page.html) or "")
            except Exception:  # whatever a peer raises costs it the page
                failed.add(page.name)
                texts.append("")
        seconds.append(time.process_time() - started)
    for page, text in zip(pages, texts, strict=True):
        for kind in {"all", page.kind}:
            score = by_kind.setdefault(kind, Score())
            score.add(page, text)
            score.failed += page.name in failed
    size = sum(len(page.html.encode("utf-8", errors="surrogatepass")) for page in pages)
    return {
        "extractor": name,
        "mb_per_cpu_second": size / 1e6 / min(seconds),
        "pages_per_cpu_second": len(pages) / min(seconds),
        "kinds": {kind: score.row() for kind, score in sorted(by_kind.items())},
    }


def table(results: list[dict[str, object]]) -> Iterator[str]:
    if not results:
        return
    columns = ("f1", "precision", "recall", "word_f1", "snippet_f1")
    yield f"{'extractor':30}" + "".join(f"{column:>12}" for column in (*columns, "failed", "MB/CPU s"))
    for result in results:
        row = result["kinds"]["all"]  # type: ignore[index]
        cells = [f"{row[column]:12.4f}" if column in row else f"{'':12}" for column in columns]
        yield f"{result['extractor']:30}{''.join(cells)}{row['failed']:12.0f}{result['mb_per_cpu_second']:12.1f}"
    kinds = [kind for kind in results[0]["kinds"] if kind != "all"]  # type: ignore[attr-defined]
    if len(kinds) > 1:
        yield ""
        yield f"{'F1 of words by kind':30}" + "".join(f"{kind:>15}" for kind in kinds)
        for result in results:
            scores = result["kinds"]
            yield f"{result['extractor']:30}" + "".join(f"{scores[kind]['word_f1']:15.4f}" for kind in kinds)  # type: ignore[index]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pages", type=Path)
    parser.add_argument("--extractor", action="append", choices=list(peers()), help="only this one (again for more)")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--json", type=Path, help="where to write all figures")
    arguments = parser.parse_args()
    kernels.configure()
    pages = list(pages_of(arguments.pages))
    if not pages:
        parser.error(f"{arguments.pages} has none of the layouts above")
    makers = peers()
    results = []
    for name in arguments.extractor or makers:
        try:
            extract = makers[name]()
            extract("<html><body><p>loads what is loaded at first use</p></body></html>")
        except ImportError as error:
            print(f"{name}: not installed ({error})")
            continue
        results.append(measure(name, extract, pages, arguments.rounds))
    print(f"{len(pages)} pages")
    print("\n".join(table(results)))
    if arguments.json:
        arguments.json.write_text(json.dumps({"pages": len(pages), "results": results}, indent=1))


if __name__ == "__main__":
    main()
