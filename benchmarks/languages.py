"""How often the language of a document is told right, by language, and how fast, over a corpus.

    python benchmarks/languages.py /data/corpus
    python benchmarks/languages.py /data/corpus --model lid.176.bin

CORPUS holds *.jsonl.zst with `meta.lang`, the language under which its repository files a document; documents of kind
code have none. That is no gold: translated documents hold English code and some are not translated at all, so no
classifier can reach 100 %. Asked are documents of `--least` characters or more, by their first `--characters`; with a
language that no model knows they are counted apart, with how many of them get an answer as sure as `filter` wants by
default, since these are the wrong answers that a threshold should stop.

    embedded    `language_identifier("embedded")`
    py3langid   the library whose model that is, a text at a time, on every `--every`-th text: answers and speed
    MODEL       `language_identifier(MODEL)`, a fastText model, if one is given

Speeds are megabytes of what is looked at a second of CPU time (fastText has one thread), all of it in one batch.
"""

import argparse
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from corpus_documents import megabytes, read_corpus

from corpusmill.dataproc.language import EMBEDDED, LanguageIdentifier, language_identifier
from corpusmill.dataproc.language.codes import language_code, without_script

SURE = 0.65
ALIKE = {"nn": "no"}
"""Languages that the corpus does not hold apart."""


def labelled(corpus: Path, least: int, characters: int) -> tuple[pa.Table, list[str]]:
    """(starts of documents of a language that are no code, their languages in our codes)."""
    documents = read_corpus(corpus).select(["text", "kind", "language"])
    known = pc.and_(pc.is_valid(documents["language"]), pc.not_equal(documents["kind"], "code"))
    long = pc.greater_equal(pc.utf8_length(documents["text"]), least)
    documents = documents.filter(pc.and_(known, long)).combine_chunks()
    starts = pc.utf8_slice_codeunits(documents["text"], 0, characters)
    return pa.table({"text": starts}), [plain(language) for language in documents["language"].to_pylist()]


def plain(label: str | None) -> str:
    """A language without its script."""
    code = without_script(language_code(label) or "") if label else ""
    return ALIKE.get(code, code)


def timed(ask: Callable[[], object]) -> float:
    """Seconds of CPU time."""
    begun = time.process_time()
    ask()
    return time.process_time() - begun


def answers(identifier: LanguageIdentifier, texts: pa.Array) -> tuple[list[str], np.ndarray, float]:
    """(languages, scores, seconds)."""
    answered: list[tuple[pa.Array, np.ndarray]] = []
    identifier.identify(texts[:100])
    seconds = timed(lambda: answered.append(identifier.identify(texts)))
    return [plain(code) for code in answered[0][0].to_pylist()], answered[0][1], seconds


def report(
    truth: list[str], answers_of: dict[str, tuple[list[str], np.ndarray]], known: dict[str, set[str]], fewest: int
) -> None:
    """Prints a line a language that some model knows and `fewest` documents have, then sums."""
    rows: dict[str, list[int]] = defaultdict(list)
    for row, language in enumerate(truth):
        rows[language].append(row)
    in_some = set().union(*known.values())
    shares: dict[str, list[float]] = defaultdict(list)
    print(f"{'language':10}{'texts':>7}" + "".join(f"{name:>12}{'':16}" for name in answers_of))
    for language, members in sorted(rows.items(), key=lambda item: -len(item[1])):
        if len(members) < fewest or language not in in_some:
            continue
        line = f"{language:10}{len(members):7}"
        for name, (languages, _) in answers_of.items():
            others = Counter(languages[row] or "none" for row in members if languages[row] != language)
            share = 1 - others.total() / len(members)
            shares[name].append(share)
            line += f"{share:12.1%}  {', '.join(f'{code} {count}' for code, count in others.most_common(2)):14}"
        print(line)
    for name, (languages, scores) in answers_of.items():
        inside = [row for row, language in enumerate(truth) if language in known[name]]
        outside = [row for row, language in enumerate(truth) if language not in known[name]]
        right = sum(languages[row] == truth[row] for row in inside)
        sure = sum(scores[row] >= SURE for row in outside)
        both = [row for row in inside if scores[row] >= SURE]
        precise = sum(languages[row] == truth[row] for row in both)
        print(
            f"{name}: {np.mean(shares[name]):.2%} a language on average ({len(shares[name])} languages), "
            f"{right / max(len(inside), 1):.2%} of {len(inside)} texts; with a score of {SURE} or more {len(both)}, of "
            f"which {precise / max(len(both), 1):.2%} right; of {len(outside)} in languages that it does not know, "
            f"{sure} have such a score"
        )


def compare_library(texts: pa.Array, languages: list[str], scores: np.ndarray, every: int) -> float:
    """Says whether the library's own answers are ours; gives its megabytes a second."""
    from py3langid.langid import MODEL_FILE
    from py3langid.langid import LanguageIdentifier as Library

    library = Library.from_model_file(MODEL_FILE, norm_probs=True)
    rows = range(0, len(texts), every)
    some = [texts[row].as_py() for row in rows]
    answered: list[tuple[str, float]] = []
    seconds = timed(lambda: answered.extend(map(library.classify, some)))
    same = sum(languages[row] in (plain(code), "") for row, (code, _) in zip(rows, answered, strict=True))
    apart = max(abs(scores[row] - score) for row, (_, score) in zip(rows, answered, strict=True) if languages[row])
    print(f"py3langid: {same} of {len(some)} answers are the same, scores at most {apart:.1e} apart")
    return sum(len(text.encode()) for text in some) / 1e6 / seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--model", help="a fastText model")
    parser.add_argument("--characters", type=int, default=2000)
    parser.add_argument("--least", type=int, default=200, help="characters of the shortest document asked")
    parser.add_argument("--fewest", type=int, default=20, help="documents of a language that has a line of its own")
    parser.add_argument("--every", type=int, default=10, help="texts between two that the library is asked")
    given = parser.parse_args()
    starts, truth = labelled(given.corpus, given.least, given.characters)
    texts, size = starts["text"].combine_chunks(), megabytes(starts)
    answers_of: dict[str, tuple[list[str], np.ndarray]] = {}
    known, speeds = {}, {}
    for name in (EMBEDDED, given.model) if given.model else (EMBEDDED,):
        identifier = language_identifier(name, given.characters)
        languages, scores, seconds = answers(identifier, texts)
        short = Path(name).name
        answers_of[short], known[short], speeds[short] = (
            (languages, scores),
            set(map(plain, identifier.languages)),
            size / seconds,
        )
    report(truth, answers_of, known, given.fewest)
    library = compare_library(texts, *answers_of[EMBEDDED], given.every)
    for name, speed in speeds.items():
        print(f"{name}: {speed:.1f} MB/s, {speed / library:.1f} times py3langid's {library:.1f} MB/s")


if __name__ == "__main__":
    main()
