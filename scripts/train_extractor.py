"""Trains the model of our own extractor, `dataproc/extraction/model.txt`, from pages with a human truth.

    python scripts/train_extractor.py PAGES [PAGES ...] --never EVALUATION [...] [--teacher FOLDER] [--output FILE]

PAGES are folders with `ground-truth/*.json` beside `html/*.html.gz`, the layout of the public benchmark WCXB (its
`dev` folder is what our model was trained on; none of it is in this repository). EVALUATION are sets that
`benchmarks/extraction.py` reads; no site of theirs is trained on, so that figures on them are of unknown sites. A
folder of `--teacher` holds pages (`*.html`, `*.html.gz`) that nobody labelled; what trafilatura takes for content
counts.

Two models, each of boosted trees. The first scores blocks by their own numbers; the second also sees the first one's
scores, which for training come from models that have not seen the site (`FOLDS`), as they will be in use. Every page
weighs about the same, and in it every word. Needs lightgbm, the extra `extraction`.
The same pages give the same file. With the 1,497 pages of WCXB it takes 10 minutes of one core and 2 GB.
"""

import argparse
import gzip
import json
import statistics
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa

from corpusmill.dataproc.extraction import blocks as b
from corpusmill.dataproc.extraction.features import FEATURES, NAMES
from corpusmill.dataproc.extraction.labels import SHINGLE, label_blocks
from corpusmill.dataproc.extraction.metadata import read_metadata
from corpusmill.dataproc.extraction.model import model_text, tree_line
from corpusmill.dataproc.extraction.pages import Seen, add_second, look_at
from corpusmill.dataproc.extraction.parsing import parse
from corpusmill.dataproc.extraction.second import SECOND_NAMES
from corpusmill.dataproc.lists.urls.suffixes import registered_domains
from corpusmill.dataproc.readers.archives.pages import Page, Unreadable, decode_page
from corpusmill.pipelines import kernels

FOLDS = 3
FIRST_TREES, SECOND_TREES = 60, 160
MOST_ROWS = 500
"""Blocks that a page gives to training; of a page with more they are drawn by its name."""
WEIGHTS = {"listing": 0.3, "collection": 0.3}
"""Of kinds of pages whose truth is a list of links to other pages: on all other pages such lists are not content."""
PARAMETERS = {
    "objective": "binary",
    "learning_rate": 0.1,
    "num_leaves": 31,
    "min_data_in_leaf": 60,
    "lambda_l2": 5,
    "feature_fraction": 0.4,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "max_bin": 127,
    "num_threads": 1,
    "deterministic": True,
    "force_row_wise": True,
    "seed": 20260101,
    "verbose": -1,
}


@dataclass
class Labelled:
    """A page, its blocks' labels, and the fold of its site."""

    name: str
    site: str
    seen: Seen
    labels: np.ndarray
    texts: list[str]
    truth: str
    weight: float = 1.0
    first: np.ndarray | None = None

    @property
    def fold(self) -> int:
        return zlib.crc32(self.site.encode()) % FOLDS

    def rows(self) -> np.ndarray:
        """Places of the blocks that training takes."""
        count = len(self.labels)
        if count <= MOST_ROWS:
            return np.arange(count)
        draw = np.random.default_rng(zlib.crc32(self.name.encode()))
        return np.sort(draw.choice(count, MOST_ROWS, replace=False))

    def weights(self) -> np.ndarray:
        """Words of each block, as a share of the page's content."""
        words = self.seen.page.blocks[:, b.WORDS] + 3.0
        shares = np.clip(words / (words[self.labels].sum() + 50) * 40, 0.02, 8)
        return (self.weight * shares).astype(np.float32)


def site_of(url: str) -> str:
    """The registered domain of an address; what has none is a site by itself."""
    return registered_domains(pa.array([url], pa.large_string()))[0].as_py() or urlsplit(url).hostname or url


def decode(data: bytes) -> str:
    """A page's text, by its charset; by UTF-8 where that is not certain."""
    try:
        return decode_page(Page(content_type="text/html", body=data, charset=None))[0]
    except Unreadable:
        return data.decode("utf-8", "replace")


def label(name: str, site: str, html: str, truth: str) -> Labelled:
    """A page with labels by the text that is its content."""
    seen = look_at(html.encode("utf-8", "replace"))
    out = seen.page.out
    places = seen.page.blocks[:, b.BEGIN : b.END + 1].tolist()
    texts = [out[begin:end].tobytes().decode("utf-8", "replace") for begin, end in places]
    return Labelled(name, site, seen, label_blocks(texts, truth), texts, truth)


def read_truth(folder: Path, never: set[str]) -> Iterator[Labelled]:
    """The pages of a folder with a truth, but for those of sites that are not to be trained on."""
    known = json.loads((folder.parent / "metadata.json").read_text())["files"] if folder.parent.name else {}
    for path in sorted((folder / "ground-truth").glob("*.json")):
        record = json.loads(path.read_text())
        site = site_of(record.get("url") or f"https://{known.get(path.stem, {}).get('domain', path.stem)}/")
        if site in never:
            continue
        data = gzip.decompress((folder / "html" / f"{path.stem}.html.gz").read_bytes())
        page = label(path.stem, site, decode(data), record["ground_truth"].get("main_content") or "")
        page.weight = WEIGHTS.get(record.get("_internal", {}).get("page_type", {}).get("primary"), 1.0)
        yield page


def read_teacher(folder: Path, never: set[str]) -> Iterator[Labelled]:
    """Pages that trafilatura labels; a page of which it takes nothing is left out."""
    import trafilatura

    for path in sorted(folder.rglob("*.html*")):
        data = path.read_bytes()
        html = decode(gzip.decompress(data) if path.suffix == ".gz" else data)
        page = label(path.name, "", html, trafilatura.extract(html, include_comments=False) or "")
        site = site_of(str(trafilatura.extract_metadata(html).url or path.name))
        if page.truth and site not in never:
            page.site = site
            yield page


def sites_of(folder: Path) -> set[str]:
    """The sites of a set that is kept for evaluation."""
    urls: list[str] = []
    for name in ("ground-truth.json", "evaldata.json"):
        if (folder / name).exists():
            for key, record in json.loads((folder / name).read_text()).items():
                urls.append(record.get("url") or key)
    for path in (folder / "ground-truth").glob("*.json"):
        urls.append(json.loads(path.read_text()).get("url") or "")
    for path in folder.glob("*/source.html"):
        html = path.read_bytes()
        urls.append(read_metadata(html, parse(html).marks).get("canonical_url", ""))
    return {site_of(url) for url in urls if url}


def fit(pages: list[Labelled], columns: slice, trees: int):  # type: ignore[no-untyped-def]
    """A model of LightGBM over these columns."""
    import lightgbm

    rows = [page.rows() for page in pages]
    matrix = np.concatenate([page.seen.matrix[taken] for page, taken in zip(pages, rows, strict=True)])[:, columns]
    labels = np.concatenate([page.labels[taken] for page, taken in zip(pages, rows, strict=True)])
    weights = np.concatenate([page.weights()[taken] for page, taken in zip(pages, rows, strict=True)])
    return lightgbm.train(PARAMETERS, lightgbm.Dataset(matrix, labels, weight=weights, params={"max_bin": 127}), trees)


def add_first_scores(pages: list[Labelled]) -> None:
    """Scores each page by a first model that has not seen its site, and fills the second features by them."""
    for fold in range(FOLDS):
        model = fit([page for page in pages if page.fold != fold], slice(0, FEATURES), FIRST_TREES)
        for page in pages:
            if page.fold == fold and len(page.labels):
                page.first = model.predict(page.seen.matrix[:, :FEATURES]).astype(np.float32)
                add_second(page.seen, page.first)


def shingles(text: str) -> Counter[tuple[str, ...]]:
    from corpusmill.dataproc.extraction.labels import words_of

    words = words_of(text)
    return Counter(tuple(words[at : at + SHINGLE]) for at in range(max(1, len(words) - SHINGLE + 1)))


def report(pages: list[Labelled], trees: int) -> None:
    """Prints F1 on sites that were not trained on, by thresholds: a second model for each fold."""
    predicted: dict[str, np.ndarray] = {}
    for fold in range(FOLDS):
        model = fit([page for page in pages if page.fold != fold], slice(None), trees)
        predicted |= {
            page.name: model.predict(page.seen.matrix) for page in pages if page.fold == fold and len(page.labels)
        }
    for threshold in (0.3, 0.35, 0.4, 0.45, 0.5):
        precisions, recalls = [], []
        for page in pages:
            scores = predicted.get(page.name, np.zeros(len(page.labels)))
            kept = shingles("\n".join(text for text, one in zip(page.texts, scores > threshold, strict=True) if one))
            wanted = shingles(page.truth)
            both = (kept & wanted).total()
            precisions.append(both / max(1, kept.total()))
            recalls.append(both / max(1, wanted.total()))
        precision, recall = statistics.mean(precisions), statistics.mean(recalls)
        f1 = 2 * precision * recall / (precision + recall)
        print(f"threshold {threshold}: F1 {f1:.4f}, precision {precision:.4f}, recall {recall:.4f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pages", nargs="+", type=Path)
    parser.add_argument("--never", nargs="*", type=Path, default=[])
    parser.add_argument("--teacher", nargs="*", type=Path, default=[])
    parser.add_argument("--output", type=Path, default=Path("dataproc/extraction/model.txt"))
    parser.add_argument("--thresholds", nargs=2, type=float, default=(0.45, 0.7), help="of pages, of articles")
    parser.add_argument("--evaluate", action="store_true", help="also cross-validate the second model by site")
    options = parser.parse_args()
    kernels.configure()
    never = {site for folder in options.never for site in sites_of(folder)}
    pages = [page for folder in options.pages for page in read_truth(folder, never)]
    pages += [page for folder in options.teacher for page in read_teacher(folder, never)]
    print(f"{len(pages)} pages of {len({page.site for page in pages})} sites; {len(never)} sites are left out")
    add_first_scores(pages)
    if options.evaluate:
        report(pages, SECOND_TREES)
    first = fit(pages, slice(0, FEATURES), FIRST_TREES)
    second = fit(pages, slice(None), SECOND_TREES)
    names = NAMES + SECOND_NAMES
    lines = [[tree_line(tree) for tree in model.dump_model()["tree_info"]] for model in (first, second)]
    note = f"trained by scripts/train_extractor.py on {len(pages)} pages of {len({page.site for page in pages})} sites"
    options.output.write_text(model_text(lines[0], lines[1], tuple(options.thresholds), names, note))
    print(f"{options.output}: {options.output.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
