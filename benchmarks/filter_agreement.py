"""Whether our filters decide as they are defined, and where datatrove decides otherwise, and why.

    python benchmarks/filter_agreement.py /data/corpus --datatrove /tmp/peers/bin/python

**Ours against the definitions.** Every document of the corpus (*.jsonl.zst with id, text, meta) is measured by the
kernels and by the plain Python of tests/dataproc/measures/statistics_oracle.py, which was written from the definitions,
and is decided on by `dataproc.rules` and by a comparison written here, for every rule of every preset that looks at the
one pass. Statistics must be equal to the last bit, decisions the same. `--workers` processes; takes minutes.

**Ours against datatrove's.** Every rule of datatrove's four filters on its own (all other thresholds of the filter
switched off, its own code deciding), on every `--every`-th English document that is no code, beside ours of the same
meaning. Where they differ, datatrove's filter is asked again with one thing changed, and what makes it agree is named
as the cause:

    words      its splits into words replaced by ours: words, and for ratios and n-grams runs of the same mark as tokens
    sentences  its split into sentences replaced by ours
    edges      the text with our idea of lines: white space at their ends gone, blank lines empty, none at either end,
               and no line end but the newline
    both       words or sentences, and edges
    case       ours, and the text in lower case: datatrove's stop words have to be in lower case

What is left has none of these causes alone. "error" is a division by zero in datatrove.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from corpus_documents import english_prose, read_corpus

BATCH = 100
MOSTLY_UNSPACED = 0.5
KANA_AND_HAN = (
    r"\u3005-\u3007\u3021-\u3029\u3041-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f"
    r"\U00020000-\U000323af"
)
_LETTER = rf"(?![{KANA_AND_HAN}])[\p{{L}}\p{{M}}\p{{N}}]"
WORD_PATTERN = rf"[{KANA_AND_HAN}]\p{{M}}*|(?:{_LETTER})+"
TOKEN_PATTERN = rf"{WORD_PATTERN}|([\p{{P}}\p{{S}}])\1*"


# --- ours against the definitions


def breaks(rule: Any, row: dict[str, float], kind: str, language: str | None) -> bool:
    """Whether a document breaks a rule, by the definition of `dataproc.rules.rule.Rule`."""
    from corpusmill.dataproc.measures.stop_words import list_of

    if (rule.kinds and kind not in rule.kinds) or kind in rule.not_kinds:
        return False
    if rule.languages and language not in rule.languages and list_of(language) not in rule.languages:
        return False
    if rule.spaced is not None and (row["unspaced_fraction"] > MOSTLY_UNSPACED) == rule.spaced:
        return False
    value = row[rule.statistic]
    return (rule.minimum is not None and value < rule.minimum) or (rule.maximum is not None and value > rule.maximum)


def rules_of_the_one_pass() -> list[Any]:
    from corpusmill.dataproc.measures.statistics import STATISTICS
    from corpusmill.dataproc.rules import PRESETS

    rules = [rule for preset in PRESETS.values() for rule in preset.rules]
    return [rule for rule in rules if rule.statistic in STATISTICS and not rule.not_languages]


def compare_with_oracle(batch: pa.RecordBatch) -> Counter[str]:
    """Counts of documents, numbers and decisions, of what differs, and of broken rules."""
    from corpusmill.dataproc.measures.statistics import measure
    from corpusmill.dataproc.rules import decide
    from tests.dataproc.measures.statistics_oracle import oracle

    rules = rules_of_the_one_pass()
    numbers = measure(batch.column("text"), batch.column("language"))
    labelled = numbers.append_column("language", batch.column("language"))
    ledger = decide(labelled, batch.column("kind"), rules).ledger
    decided = set(zip(ledger.column("row").to_pylist(), ledger.column("rule").to_pylist(), strict=True))
    counts = Counter[str]()
    for row, (document, measured) in enumerate(zip(batch.to_pylist(), numbers.to_pylist(), strict=True)):
        expected = oracle(document["text"], document["language"])
        counts["documents"] += 1
        counts["numbers"] += len(measured)
        for name, value in measured.items():
            if value != expected[name]:
                counts["numbers that differ"] += 1
                counts[f"differs: {name} of {document['id']}: {value} and {expected[name]}"] += 1
        for rule in rules:
            broken = breaks(rule, expected, document["kind"], document["language"])
            counts["decisions"] += 1
            counts[f"broken: {rule.name}"] += broken
            if broken != ((row, rule.name) in decided):
                counts["decisions that differ"] += 1
                counts[f"differs: {rule.name} on {document['id']}"] += 1
    return counts


def against_definitions(documents: pa.Table, workers: int) -> bool:
    """Prints the comparison; gives whether all is equal."""
    started = time.monotonic()
    batches = documents.combine_chunks().to_batches(max_chunksize=BATCH)
    total = Counter[str]()
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=prepare) as pool:
        for counts in pool.map(compare_with_oracle, batches):
            total.update(counts)
    seconds = time.monotonic() - started
    print(f"against the definitions, {total['documents']:,} documents ({seconds:.0f} s with {workers} processes)")
    for what in ("numbers", "decisions"):
        print(f"  {total[what]:,} {what}, {total[f'{what} that differ']:,} differ")
    print(f"  {sum(count for name, count in total.items() if name.startswith('broken: ')):,} decisions to reject")
    for name in sorted(name for name in total if name.startswith("differs: "))[:20]:
        print(f"  {name}")
    return not total["numbers that differ"] and not total["decisions that differ"]


def prepare() -> None:
    """In a worker: makes the tests of this repository importable."""
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))


# --- ours against datatrove's

GOPHER, REPETITION = "gopher-quality-datatrove", "gopher-repetition-datatrove"
PAIRS = {
    f"{GOPHER}/words": "words",
    f"{GOPHER}/mean-word-length": "words",
    f"{GOPHER}/hash-marks": "tokens",
    f"{GOPHER}/ellipses": "tokens",
    f"{GOPHER}/bullet-lines": "",
    f"{GOPHER}/ellipsis-lines": "",
    f"{GOPHER}/alphabetic-words": "tokens",
    f"{GOPHER}/stop-words": "words",
    **{f"{REPETITION}/duplicate-{unit}": "" for unit in ("lines", "paragraphs")},
    **{f"{REPETITION}/duplicate-{unit}-characters": "" for unit in ("line", "paragraph")},
    **{f"{REPETITION}/top-{n}grams": "tokens" for n in (2, 3, 4)},
    **{f"{REPETITION}/duplicate-{n}grams": "tokens" for n in range(5, 11)},
    "fineweb/terminal-lines": "",
    "fineweb/short-lines": "",
    "fineweb/duplicate-line-characters": "",
    "fineweb/newlines-per-word": "tokens",
    "c4/sentences": "sentences",
    "c4/lorem-ipsum": "",
    "c4/curly-brackets": "",
}
"""Our rules that have datatrove's meaning, and what of datatrove's splits they depend on."""


def our_decisions(documents: pa.Table) -> pa.Table:
    """One column of booleans a rule of PAIRS: whether the document keeps to it; and our sentences of kept lines."""
    from corpusmill.dataproc.measures.statistics import measure
    from corpusmill.dataproc.rewriting.c4_lines import C4Lines
    from corpusmill.dataproc.rules import decide, resolve_filter

    plan = resolve_filter([GOPHER, REPETITION, "fineweb", "c4"])
    rules = {rule.name: rule for rule in plan.rules}
    pieces = []
    for batch in documents.to_batches(max_chunksize=1000):
        numbers = measure(batch.column("text"), batch.column("language"))
        for name, column in zip(*_columns(C4Lines().measure(batch)), strict=True):
            numbers = numbers.append_column(name, column)
        numbers = numbers.append_column("language", batch.column("language"))
        columns = {"id": batch.column("id"), "text": batch.column("text")}
        for name in PAIRS:
            columns[name] = pa.array(decide(numbers, batch.column("kind"), [rules[name]]).kept)
        pieces.append(pa.RecordBatch.from_pydict(columns))
    return pa.Table.from_batches(pieces)


def _columns(numbers: pa.RecordBatch) -> tuple[list[str], list[pa.Array]]:
    return numbers.schema.names, numbers.columns


def their_rules() -> dict[str, Callable[[str], bool]]:
    """In a Python that has datatrove: by the name of our rule, whether a text keeps to it, decided by its filters."""
    from datatrove.data import Document
    from datatrove.pipeline.filters import (
        C4QualityFilter,
        FineWebQualityFilter,
        GopherQualityFilter,
        GopherRepetitionFilter,
        gopher_quality_filter,
    )

    off = dict.fromkeys(
        (
            "min_doc_words", "max_doc_words", "min_avg_word_length", "max_avg_word_length", "max_symbol_word_ratio",
            "max_bullet_lines_ratio", "max_ellipsis_lines_ratio", "max_non_alpha_words_ratio", "min_stop_words",
        )
    )  # fmt: skip
    lines_off = dict.fromkeys(("dup_line_frac", "dup_para_frac", "dup_line_char_frac", "dup_para_char_frac"))
    never = {"line_punct_thr": -1, "short_line_thr": 9, "char_duplicates_ratio": 9, "new_line_ratio": 1e9}

    def of(datatrove_filter: Any) -> Callable[[str], bool]:
        return lambda text: datatrove_filter.filter(Document(text=text, id="")) is True

    def gopher(**thresholds: Any) -> Callable[[str], bool]:
        return of(GopherQualityFilter(**(off | thresholds)))

    def ellipses(text: str) -> bool:  # one threshold switches hash marks, too, which come first
        words = gopher_quality_filter.split_into_words(text, "eng")
        return (text.count("...") + text.count("…")) / len(words) <= 0.1

    def hash_marks(text: str) -> bool:
        verdict = GopherQualityFilter(**(off | {"max_symbol_word_ratio": 0.1})).filter(Document(text=text, id=""))
        return verdict is True or verdict[1] != "gopher_too_many_hashes"

    def repetition(top: tuple = (), duplicate: tuple = (), **thresholds: Any) -> Callable[[str], bool]:
        return of(GopherRepetitionFilter(**(lines_off | thresholds), top_n_grams=top, dup_n_grams=duplicate))

    def fineweb(**thresholds: Any) -> Callable[[str], bool]:
        return of(FineWebQualityFilter(**(never | thresholds)))

    def c4(**flags: Any) -> Callable[[str], bool]:
        whole = {"min_num_sentences": -1, "filter_lorem_ipsum": False, "filter_curly_bracket": False}
        return of(C4QualityFilter(**(whole | flags)))

    top = {2: 0.20, 3: 0.18, 4: 0.16}
    duplicate = {5: 0.15, 6: 0.14, 7: 0.13, 8: 0.12, 9: 0.11, 10: 0.10}
    return {
        f"{GOPHER}/words": gopher(min_doc_words=50, max_doc_words=100_000),
        f"{GOPHER}/mean-word-length": gopher(min_avg_word_length=3, max_avg_word_length=10),
        f"{GOPHER}/hash-marks": hash_marks,
        f"{GOPHER}/ellipses": ellipses,
        f"{GOPHER}/bullet-lines": gopher(max_bullet_lines_ratio=0.9),
        f"{GOPHER}/ellipsis-lines": gopher(max_ellipsis_lines_ratio=0.3),
        f"{GOPHER}/alphabetic-words": gopher(max_non_alpha_words_ratio=0.8),
        f"{GOPHER}/stop-words": gopher(min_stop_words=2),
        f"{REPETITION}/duplicate-lines": repetition(dup_line_frac=0.3),
        f"{REPETITION}/duplicate-paragraphs": repetition(dup_para_frac=0.3),
        f"{REPETITION}/duplicate-line-characters": repetition(dup_line_char_frac=0.2),
        f"{REPETITION}/duplicate-paragraph-characters": repetition(dup_para_char_frac=0.2),
        **{f"{REPETITION}/top-{n}grams": repetition(top=((n, limit),)) for n, limit in top.items()},
        **{f"{REPETITION}/duplicate-{n}grams": repetition(duplicate=((n, limit),)) for n, limit in duplicate.items()},
        "fineweb/terminal-lines": fineweb(line_punct_thr=0.12),
        "fineweb/short-lines": fineweb(short_line_thr=0.67),
        "fineweb/duplicate-line-characters": fineweb(char_duplicates_ratio=0.01),
        "fineweb/newlines-per-word": fineweb(new_line_ratio=0.3),
        "c4/sentences": c4(min_num_sentences=5),
        "c4/lorem-ipsum": c4(filter_lorem_ipsum=True),
        "c4/curly-brackets": c4(filter_curly_bracket=True),
    }


class Splits:
    """Puts our splits in the place of datatrove's, in the modules of its filters, and back."""

    def __init__(self) -> None:
        import regex
        from datatrove.pipeline.filters import (
            c4_filters,
            fineweb_quality_filter,
            gopher_quality_filter,
            gopher_repetition_filter,
        )

        self._word_modules = (gopher_quality_filter, gopher_repetition_filter, fineweb_quality_filter)
        self._words, self._sentences = gopher_quality_filter.split_into_words, c4_filters.split_into_sentences
        self._c4 = c4_filters
        word, token = regex.compile(WORD_PATTERN), regex.compile(TOKEN_PATTERN)
        self._ours = {
            "words": lambda text, language: [match.group() for match in word.finditer(text)],
            "tokens": lambda text, language: [match.group() for match in token.finditer(text)],
        }

    def use(self, name: str) -> None:
        """ "words", "tokens" or "sentences" of ours, or "" for its own."""
        for module in self._word_modules:
            module.split_into_words = self._ours.get(name, self._words)
        self._c4.split_into_sentences = our_sentences if name == "sentences" else self._sentences


def our_sentences(line: str, language: str) -> list[str]:
    """A line cut behind each end of a sentence as `dataproc.text.marks` has it, in ASCII; what is left is one more."""
    import re

    sentences = re.split(r"(?<=[.!?])[\"')\]}”’»]*(?=\s|$)", line)
    return [sentence for sentence in sentences if sentence.strip()]


def with_our_edges(text: str) -> str:
    """Our idea of lines, in text."""
    return "\n".join(" ".join(line.split("\x0b")).strip() for line in text.split("\n")).strip("\n")


def single_line_ends(text: str) -> str:
    """No line end but the newline: what `str.splitlines` would cut at, too, becomes a space."""
    return text.translate(dict.fromkeys(map(ord, "\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029\r"), " "))


def explained(rule: str, text: str, wanted: bool, keeps: Callable[[str], bool], splits: Splits) -> str:
    """What has to change for datatrove's rule to decide as ours."""
    edges = with_our_edges(single_line_ends(text))

    def agrees(split: str, changed: str) -> bool:
        splits.use(split)
        try:
            return keeps(changed) == wanted
        except ZeroDivisionError:
            return False
        finally:
            splits.use("")

    split = PAIRS[rule]
    if split and agrees(split, text):
        return "sentences" if split == "sentences" else "words"
    if agrees("", edges):
        return "edges"
    if split and agrees(split, edges):
        return "both"
    if agrees(split, text.lower()):
        return "case"
    return "other"


def run_datatrove(path: str) -> None:
    """In a Python that has it: prints {rule: {"agree": n, cause: n, …, "examples": [ids of other]}} as JSON."""
    rules, splits = their_rules(), Splits()
    table = pq.read_table(path)
    ours = {name: table[name].to_pylist() for name in PAIRS}
    report: dict[str, dict[str, Any]] = {name: Counter() for name in PAIRS}
    examples: dict[str, list[str]] = {name: [] for name in PAIRS}
    for row, (document, text) in enumerate(_rows(table)):
        for name, keeps in rules.items():
            mine, counts = ours[name][row], report[name]
            try:
                theirs = keeps(text)
            except ZeroDivisionError:
                counts["error"] += 1
                continue
            counts["kept by both" if mine and theirs else "rejected by both" if mine == theirs else "differ"] += 1
            if mine == theirs:
                continue
            counts["ours alone rejects" if theirs else "datatrove alone rejects"] += 1
            cause = explained(name, text, mine, keeps, splits)
            counts[cause] += 1
            if cause == "other":
                examples[name].append(document)
    print(json.dumps({name: {**report[name], "examples": examples[name][:3]} for name in PAIRS}))


def _rows(table: pa.Table) -> Iterator[tuple[str, str]]:
    return zip(table["id"].to_pylist(), table["text"].to_pylist(), strict=True)


def against_datatrove(documents: pa.Table, python: str) -> None:
    """Prints agreement rule by rule."""
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/decisions.parquet"
        pq.write_table(our_decisions(documents), path)
        done = subprocess.run([python, str(Path(__file__)), "--run-datatrove", path], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"datatrove ended with {done.returncode}\n{done.stderr}")
    report = json.loads(done.stdout.splitlines()[-1])
    print(f"\nagainst datatrove, {documents.num_rows:,} English documents")
    print("| rule | agree | both reject | ours alone | theirs alone | splits | edges | both | case | other | error |")
    print("|---|" + "---:|" * 10)
    for name, counts in report.items():
        get = counts.get
        compared = documents.num_rows - get("error", 0)
        cells = (
            f"{1 - get('differ', 0) / compared:.2%}",
            get("rejected by both", 0),
            get("ours alone rejects", 0),
            get("datatrove alone rejects", 0),
            get("words", 0) + get("sentences", 0),
            get("edges", 0),
            get("both", 0),
            get("case", 0),
            get("other", 0),
            get("error", 0),
        )
        print(f"| {name} | {' | '.join(map(str, cells))} |")
    for name, counts in report.items():
        if counts["examples"]:
            print(f"other causes, {name}: {', '.join(counts['examples'])}")


def main() -> None:
    if sys.argv[1:2] == ["--run-datatrove"]:
        return run_datatrove(sys.argv[2])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path, help="folder of *.jsonl.zst")
    parser.add_argument("--datatrove", help="a Python with datatrove, spaCy, regex and pyarrow")
    parser.add_argument("--every", type=int, default=8, help="every so-manieth English document for datatrove")
    parser.add_argument("--definitions-every", type=int, default=1, help="the same for the definitions; 0 for none")
    parser.add_argument("--workers", type=int, default=2, help="processes for the definitions")
    options = parser.parse_args()

    documents = read_corpus(options.corpus)
    equal = True
    if options.definitions_every:
        chosen = documents.take(pa.array(range(0, documents.num_rows, options.definitions_every)))
        equal = against_definitions(chosen, options.workers)
    if options.datatrove:
        english = english_prose(documents)
        against_datatrove(english.take(pa.array(range(0, english.num_rows, options.every))), options.datatrove)
    if not equal:
        raise SystemExit("statistics or decisions are not as defined")


if __name__ == "__main__":
    main()
