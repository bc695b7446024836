"""Bytes a token of several tokenizers, by language, on documents that none of ours was trained on.

    python benchmarks/compression.py TOKENIZER … --documents FILE … [--pattern qwen2] [--megabytes 8]

TOKENIZER is a folder of ours, a `tokenizer.json` or a file of ranks; the first one is what the others are compared
with. FILE holds documents as JSON lines (plain or .zst) with `text`, and `language` or `lang` where it is known, else
they count as "?". Take files that were kept out of training: what a tokenizer was trained on flatters it.
"""

import argparse
import collections
import io
import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import zstandard

from corpusmill.pipelines.report.tokenizers import open_tokenizer


def documents(path: Path) -> Iterator[tuple[str, str]]:
    """(language, text) of each document of a file."""
    with path.open("rb") as file:
        raw = zstandard.ZstdDecompressor().stream_reader(file) if path.suffix == ".zst" else file
        for line in io.TextIOWrapper(raw, "utf-8"):
            value = json.loads(line)
            meta = value.get("meta") if isinstance(value.get("meta"), dict) else {}
            yield value.get("language") or value.get("lang") or meta.get("lang") or "?", value["text"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tokenizers", nargs="+")
    parser.add_argument("--documents", nargs="+", type=Path, required=True)
    parser.add_argument("--pattern", help="how files of ranks cut text")
    parser.add_argument("--megabytes", type=float, default=8.0, help="most text of one language")
    given = parser.parse_args()

    texts: dict[str, list[str]] = collections.defaultdict(list)
    sizes: collections.Counter[str] = collections.Counter()
    for path in given.documents:
        for language, text in documents(path):
            if sizes[language] < given.megabytes * 1e6:
                texts[language].append(text)
                sizes[language] += len(text.encode())
    names = [f"{Path(path).parent.name}/{Path(path).name}" for path in given.tokenizers]
    counts = [collections.Counter[str]() for _ in names]
    for count, path in zip(counts, given.tokenizers, strict=True):
        tokenizer = open_tokenizer(path, given.pattern)
        for language, some in texts.items():
            count[language] = len(tokenizer.encode(pa.array(some, pa.large_string())).values)

    print(f"{'language':10} {'MB':>7}", *(f"{name[-24:]:>24}" for name in names))
    for language, size in [*sizes.most_common(), ("all", sizes.total())]:
        tokens = [count.total() if language == "all" else count[language] for count in counts]
        shown = [f"{size / count_of_tokens:.3f} ({tokens[0] / count_of_tokens - 1:+.1%})" for count_of_tokens in tokens]
        print(f"{language:10} {size / 1e6:7.2f}", *(f"{cell:>24}" for cell in shown))


if __name__ == "__main__":
    main()
