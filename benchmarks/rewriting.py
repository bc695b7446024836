"""Rules that rewrite, beside datatrove's C4QualityFilter and PIIFormatter, on the same documents, one core each.

    python benchmarks/rewriting.py CORPUS                          speed of ours, and what of personal data is found
    python benchmarks/rewriting.py CORPUS --datatrove PYTHON       the same beside datatrove, with agreement
    python benchmarks/rewriting.py CORPUS --show phone             60 different findings of a kind, to be looked at

CORPUS is a folder of documents (our Parquet parts). PYTHON is the interpreter of an environment with datatrove, which
needs nothing of ours. datatrove is timed on a sample of `--megabytes` of English prose, ours on everything. CPU time is
measured, since the machine may be shared. Lines are compared with datatrove's rules for documents switched off, and
documents with its defaults; differences are counted by their causes.
"""

import argparse
import collections
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

BATCH = 2_000
COLUMNS = ["id", "text", "kind", "language", "meta"]


def read(corpus: Path) -> pa.Table:
    return pa.concat_tables([pq.read_table(path, columns=COLUMNS) for path in sorted(corpus.glob("part-*.parquet"))])


def megabytes(table: pa.Table) -> float:
    return (pc.sum(pc.binary_length(table["text"])).as_py() or 0) / 1e6


def is_english(table: pa.Table) -> pa.ChunkedArray:
    """By the column, or by `lang` in what came with the document."""
    named = pc.match_substring(pc.fill_null(table["meta"], ""), '"lang":"en"')
    return pc.fill_null(pc.equal(table["language"], "en"), named)


def sample(table: pa.Table, wanted: float) -> pa.Table:
    """Every n-th document, so that there are about so many megabytes."""
    step = max(int(megabytes(table) / wanted), 1)
    return table.take(list(range(0, table.num_rows, step)))


def peer(documents: Path, out: Path) -> None:
    """Runs in datatrove's environment: times it, and writes what it made of each document."""
    from datatrove.data import Document
    from datatrove.pipeline.filters import C4QualityFilter
    from datatrove.pipeline.formatters import PIIFormatter

    table = pq.read_table(documents)
    texts = table["text"].to_pylist()
    masks = PIIFormatter()

    def lines(text: str) -> str:
        document = Document(text=text, id="")
        quiet.filter(document)
        return document.text

    def decision(text: str) -> str:
        result = whole.filter(Document(text=text, id=""))
        return "kept" if result is True else result[1]

    def values(text: str) -> str:
        matches = collections.defaultdict(list)
        for kind, replacer in (("email", masks.emails_replacer), ("ip", masks.ip_replacer)):
            for match in replacer.regex.finditer(text):
                if replacer.validator is None or replacer.validator(match.group()):
                    matches[kind].append(match.group())
        return json.dumps(matches)

    quiet = C4QualityFilter(min_num_sentences=-1, filter_lorem_ipsum=False, filter_curly_bracket=False)
    whole = C4QualityFilter()
    decision("One sentence. Another one here.")  # loads spaCy
    seconds, made = {}, {}
    for name, function in (("lines", lines), ("decision", decision), ("masked", masks.format), ("values", values)):
        started = time.process_time()
        made[name] = [function(text) for text in texts]
        seconds[name] = time.process_time() - started
    pq.write_table(pa.table({"id": table["id"], **made}), out)
    print(json.dumps(seconds))


def speed(rewriter, table: pa.Table) -> float:
    """MB/s of CPU time, warm, the better of two."""
    best = float("inf")
    batches = table.combine_chunks().to_batches(max_chunksize=BATCH)
    rewriter.rewrite(batches[0])
    for _ in range(2):
        started = time.process_time()
        for batch in batches:
            rewriter.rewrite(batch)
        best = min(best, time.process_time() - started)
    return megabytes(table) / best


def findings(table: pa.Table, kinds: tuple[str, ...]) -> list[tuple[str, str, str, str, str]]:
    """(id, kind, before, found, behind) of all personal data."""
    from corpusmill.dataproc.kernels.buffers import text_buffers
    from corpusmill.dataproc.rewriting.pii.rewriter import KINDS, PersonalData

    rewriter, rows = PersonalData(kinds=kinds), []
    for batch in table.combine_chunks().to_batches(max_chunksize=BATCH):
        spans = rewriter.find(batch)
        _, data = text_buffers(batch.column("text"))
        for row, start, end, kind in zip(*(column.tolist() for column in spans), strict=True):
            around = [data[max(start - 40, 0) : start], data[start:end], data[end : end + 20]]
            spelled = [bytes(piece).decode(errors="replace") for piece in around]
            rows.append((batch.column("id")[row].as_py(), KINDS[kind], *spelled))
    return rows


def tell_speed(table: pa.Table) -> None:
    from corpusmill.dataproc.rewriting.c4_lines import C4Lines
    from corpusmill.dataproc.rewriting.citations import Citations
    from corpusmill.dataproc.rewriting.pii.rewriter import PersonalData
    from corpusmill.dataproc.rewriting.refinedweb_lines import RefinedWebLines

    code = pc.equal(table["kind"], "code")
    unmarked = pc.and_(pc.invert(pc.match_substring_regex(table["text"], "[0-9@]")), pc.invert(code))
    parts = {
        "prose": table.filter(pc.invert(code)),
        "code": table.filter(code),
        "no @, no digit": table.filter(unmarked),
    }
    rewriters = (
        ("c4-lines", C4Lines(not_kinds=())),
        ("c4-lines, any end", C4Lines(terminal="none", not_kinds=())),
        ("refinedweb-lines", RefinedWebLines(not_kinds=())),
        ("citations", Citations(not_kinds=())),
        ("pii-mask", PersonalData()),
    )
    for name, rewriter in rewriters:
        speeds = ", ".join(f"{part} {speed(rewriter, some):6.0f}" for part, some in parts.items())
        print(f"{name:20} MB/s a core: {speeds}")


def compare(table: pa.Table, python: str, wanted: float) -> None:
    from corpusmill.dataproc.rewriting.c4_lines import C4Lines
    from corpusmill.dataproc.rewriting.pii.rewriter import PersonalData

    english = table.filter(pc.and_(is_english(table), pc.not_equal(table["kind"], "code")))
    chosen = sample(english, wanted).combine_chunks()
    with tempfile.TemporaryDirectory() as folder:
        documents, out = Path(folder) / "documents.parquet", Path(folder) / "peer.parquet"
        pq.write_table(chosen, documents)
        command = [python, __file__, str(documents), "--peer", str(out)]
        printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        theirs, seconds = pq.read_table(out), json.loads(printed.splitlines()[-1])
    size = megabytes(chosen)
    print(f"\nbeside datatrove, {size:.1f} MB of English prose, {chosen.num_rows:,} documents")
    for name, ours, key in (
        ("C4 lines", C4Lines(), "lines"),
        ("C4 lines, and numbers for its rules", C4Lines(), "decision"),
        ("e-mail and IP", PersonalData(kinds=("email", "ip")), "masked"),
    ):
        ratio = speed(ours, chosen) * seconds[key] / size
        print(
            f"{name:36} datatrove {size / seconds[key]:7.2f} MB/s, ours {speed(ours, chosen):6.0f}: {ratio:,.0f} times"
        )

    (batch,) = chosen.to_batches()
    ours = C4Lines().rewrite(batch)
    causes: collections.Counter[str] = collections.Counter()
    for before, mine, its in zip(
        chosen["text"].to_pylist(), ours.texts.to_pylist(), theirs["lines"].to_pylist(), strict=True
    ):
        unspaced = any(character > "\u3000" or "\u0e00" <= character < "\u1800" for character in before)
        causes["same" if mine == its else "scripts without spaces" if unspaced else "other"] += 1
    print("texts of kept lines:", dict(causes))
    pairs: collections.Counter[tuple[str, str]] = collections.Counter()
    for numbers, its in zip(ours.numbers.to_pylist(), theirs["decision"].to_pylist(), strict=True):
        if numbers["c4_lorem_ipsum_count"] or numbers["c4_curly_bracket_count"]:
            mine = "lorem_ipsum or curly_bracket"
        else:
            mine = "kept" if numbers["c4_sentence_count"] >= 5 else "too_few_sentences"
        pairs[mine, "lorem_ipsum or curly_bracket" if its in ("lorem_ipsum", "curly_bracket") else its] += 1
    agreed = sum(count for (mine, its), count in pairs.items() if mine == its)
    print(f"documents: {agreed / chosen.num_rows:.2%} alike; (ours, datatrove):", dict(pairs))

    for kind in ("email", "ip"):
        mine_by, its_by = collections.defaultdict(collections.Counter), collections.defaultdict(collections.Counter)
        for name, _, _, value, _ in findings(chosen, (kind,)):
            mine_by[name][value] += 1
        for name, values in zip(theirs["id"].to_pylist(), theirs["values"].to_pylist(), strict=True):
            its_by[name].update(json.loads(values).get(kind, []))
        names = {*mine_by, *its_by}
        both = sum((mine_by[name] & its_by[name]).total() for name in names)
        only_mine = sum((mine_by[name] - its_by[name] for name in names), collections.Counter())
        only_its = sum((its_by[name] - mine_by[name] for name in names), collections.Counter())
        print(f"{kind}: both {both}, only ours {only_mine.total()}, only datatrove {only_its.total()}")
        print("  only ours:", ", ".join(f"{value!r} {count}" for value, count in only_mine.most_common(20)))
        print("  only datatrove:", ", ".join(f"{value!r} {count}" for value, count in only_its.most_common(40)))


def show(table: pa.Table, kind: str) -> None:
    rows = [row for row in findings(table, (kind,)) if row[1] == kind]
    random.Random(1).shuffle(rows)
    different = list({row[3]: row for row in rows}.values())
    print(f"{len(rows)} {kind}, {len(different)} different")
    for name, _, before, value, behind in different[:60]:
        print(f"  {name[-40:]:40} | {before!r} [[ {value} ]] {behind!r}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--datatrove", metavar="PYTHON")
    parser.add_argument("--megabytes", type=float, default=4.0)
    parser.add_argument("--show", choices=("email", "ip", "phone", "key"))
    parser.add_argument("--peer", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.peer:
        peer(given.corpus, given.peer)
        return
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    table = read(given.corpus)
    if given.show:
        show(table, given.show)
        return
    counts = collections.Counter(row[1] for row in findings(table, ("email", "ip", "phone", "key")))
    print(f"{megabytes(table):.0f} MB, {table.num_rows:,} documents; personal data found: {dict(counts)}")
    tell_speed(table)
    if given.datatrove:
        compare(table, given.datatrove, given.megabytes)


if __name__ == "__main__":
    main()
