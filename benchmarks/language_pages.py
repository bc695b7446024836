"""How many pages `--languages` would keep, by language and kind (docs, prose, web), for one model or several.

    python benchmarks/language_pages.py CORPUS [--model lid.176.ftz] [--most 800]

CORPUS is as for `benchmarks/languages.py`. `kept` is the share of pages filed under a language that `corpusmill filter
--languages LANGUAGE` would keep at its default score; `none` that without any language; `others` are pages of other
languages that would be let in, in thousandths of these.
"""

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np
import pyarrow as pa
from corpus_documents import read_corpus
from languages import SURE, plain

from corpusmill.dataproc.language import EMBEDDED, language_identifier
from corpusmill.dataproc.language.families import with_members

LEAST, FEWEST = 200, 10


def pages(corpus: Path, most: int) -> dict[tuple[str, str], list[str]]:
    """{(language, kind): texts, `most` of them at most}."""
    table = read_corpus(corpus).select(["text", "kind", "language"])
    texts: dict[tuple[str, str], list[str]] = defaultdict(list)
    for text, kind, language in zip(*(table[name].to_pylist() for name in table.column_names), strict=True):
        if language and kind != "code" and len(text) >= LEAST and len(texts[plain(language), kind]) < most:
            texts[plain(language), kind].append(text)
    return {key: members for key, members in texts.items() if len(members) >= FEWEST}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--model", help="a fastText model beside the embedded one")
    parser.add_argument("--most", type=int, default=800, help="pages of a language and kind that are asked")
    given = parser.parse_args()
    groups = pages(given.corpus, given.most)
    names = [EMBEDDED, given.model] if given.model else [EMBEDDED]
    models = [language_identifier(name) for name in names]
    answers = {}
    for key, texts in groups.items():
        for place, model in enumerate(models):
            codes, scores = model.identify(pa.array(texts, pa.large_string()))
            sure = zip(codes.to_pylist(), scores, strict=True)
            answers[key, place] = [plain(code) if score >= SURE else "" for code, score in sure]
    print("| language | kind | pages | " + " | ".join(f"kept by {Path(n).name} | none | others" for n in names) + " |")
    print("|---|---|---:|" + "---:|---:|---:|" * len(names))
    for (language, kind), texts in sorted(groups.items()):
        line = f"| {language} | {kind} | {len(texts)} |"
        for place in range(len(names)):
            wanted = set(with_members([language]))
            got = answers[(language, kind), place]
            rest = [code in wanted for key in groups if key[0] not in wanted for code in answers[key, place]]
            kept, none = np.mean([code in wanted for code in got]), np.mean([not code for code in got])
            line += f" {kept:.1%} | {none:.1%} | {1000 * float(np.mean(rest)):.1f} |"
        print(line)


if __name__ == "__main__":
    main()
