"""Lint's table of planted faults, of sound sets, and what lint costs.

    python benchmarks/lint.py CORPUS --work /tmp/lint      the two tables, of faults and of sound sets
    python benchmarks/lint.py --million /tmp/lint-million   1 million sequences: time and memory

CORPUS is a folder of `*.jsonl.zst` with id, text and meta (kind, lang). It is ingested, three tokenizers are learned
and one of them is imported again from its `tokenizer.json`; the whole corpus is packed by each in several ways,
exported to every format and linted, all by the command line, in processes of their own: a warning or an error there is
a false alarm. The faults of `benchmarks/lint_faults.py` are planted in sets of `--share` of the corpus' documents. What
is in the work folder already is used again.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

KINDS = {"code": "code", "thealgorithms": "code", "stacks": "math", "nltk": "prose", "chinese-poetry": "prose"}
TOKENIZERS = {
    "ours-8k": ["--vocab-size", "8192", "--special", "compact"],
    "ours-32k": ["--vocab-size", "32768"],
    "gpt2-32k": ["--vocab-size", "32000", "--special", "gpt2", "--pattern", "gpt2"],
}
SETS = {
    "8k, FIM 0.1": ["ours-8k", "--sequence-length", "2048"],
    "8k, FIM 0.5 by tokens, groups": [
        *("ours-8k", "--sequence-length", "1024", "--fim-rate", "0.5", "--fim-split", "token"),
        *("--group-by", "language", "--storage", "zstd", "--validation-share", "0.01"),
    ],
    "8k, by source and length": [
        *("ours-8k", "--sequence-length", "512", "--group-by", "source", "--length-buckets", "128,512"),
        *("--fim-rates", "code=0.3", "--storage", "packed"),
    ],
    "32k, begin tokens, concat": [
        *("ours-32k", "--sequence-length", "1024", "--bos", "--fim-rate", "0", "--packing", "concat"),
        *("--boundary-split", "0"),
    ],
    "32k, begin tokens, best-fit, FIM": ["ours-32k", "--sequence-length", "4096", "--bos"],
    "gpt2 layout, begin is end": ["gpt2-32k", "--sequence-length", "4096", "--bos", "--fim-rate", "0"],
    "imported, chatml roles": ["imported", "--sequence-length", "2048", "--fim-rate", "0", "--packing", "none"],
}
EXPORTED = "8k, FIM 0.1"


def command(*words: Any, check: bool = True) -> tuple[int, str, float]:
    """(exit code, stdout, seconds) of a command line."""
    started = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "corpusmill", *map(str, words)], capture_output=True, text=True)
    if check and done.returncode:
        raise SystemExit(f"{' '.join(map(str, words))} ended with {done.returncode}\n{done.stdout}{done.stderr}")
    return done.returncode, done.stdout, time.perf_counter() - started


def prepare(corpus: Path, work: Path) -> None:
    """Documents and tokenizers."""
    work.mkdir(parents=True, exist_ok=True)
    if not (work / "run/documents/_manifest.json").exists():
        inputs = [
            {"path": str(path), "source": (name := path.name.split(".")[0]), "kind": KINDS.get(name, "docs")}
            for path in sorted(corpus.glob("*.jsonl.zst"))
        ]
        stage = {"stage": "ingest", "language_field": "meta.lang", "inputs": inputs}
        recipe = {"name": "corpus", "output": str(work / "run"), "stages": {"documents": stage}}
        (work / "recipe.yaml").write_text(json.dumps(recipe))
        command("run", work / "recipe.yaml")
    for name, flags in TOKENIZERS.items():
        if not (work / name / "training.json").exists():
            command("tokenizer", "train", work / "run/documents", "--output", work / name, *flags)
    if not (work / "imported" / "training.json").exists():
        command("tokenizer", "import", work / "gpt2-32k/tokenizer.json", "--output", work / "imported")


def findings_of(*words: Any) -> tuple[int, list[dict[str, Any]], dict[str, Any], float]:
    """(exit code, findings, totals, seconds) of a lint."""
    code, output, seconds = command("inspect", "lint", *words, "--json", check=False)
    lines = [json.loads(line) for line in output.splitlines()]
    if not lines:
        raise SystemExit(f"lint of {words} printed nothing; it ended with {code}")
    return code, [line["finding"] for line in lines[:-1]], lines[-1]["set"], seconds


def sound_sets(work: Path) -> None:
    """The table of sets without a fault, and what lint at the end of packing took."""
    print(f"{'sound set':<36} {'tokens':>11} {'bits':>6} {'s':>6}  {'errors':>6} {'warnings':>8}  notes")
    alarms = 0
    for name, (tokenizer, *flags) in SETS.items():
        folder = work / "sets" / name.replace(" ", "-").replace(",", "")
        if not (folder / "_manifest.json").exists():
            words = ["pack", work / "run/documents", "--tokenizer", work / tokenizer, "--output", folder]
            _, _, seconds = command(*words, "--shard-tokens", 1 << 21, *flags)
            spent = json.loads(next(folder.glob("_state/lint/*.json")).read_text())["seconds"]
            print(f"  packed in {seconds:.1f} s, of which lint's task {spent:.2f} s ({spent / seconds:.1%})")
        alarms += print_set(name, folder)
        if name == EXPORTED:
            for kind in ("megatron", "mds", "huggingface", "flat"):
                for unit in ("sequence", "document"):
                    made = work / "sets" / f"{kind}-{unit}"
                    if not (made / "_manifest.json").exists():
                        command("export", folder, "--to", kind, "--unit", unit, "--output", made)
                    alarms += print_set(f"  as {kind}, by {unit}", made, "--tokenizer", work / tokenizer)
    print(f"{alarms} false alarms")


def print_set(name: str, folder: Path, *flags: Any) -> int:
    """One row; gives errors and warnings."""
    _, findings, totals, seconds = findings_of(folder, *flags)
    notes = ", ".join(sorted({reported["check"] for reported in findings if reported["severity"] == "note"}))
    row = f"{name:<36} {totals['tokens']:>11,} {totals['bits_per_token']:>6.2f} {seconds:>6.1f}"
    print(f"{row}  {totals['errors']:>6} {totals['warnings']:>8}  {notes}", flush=True)
    for reported in findings:
        if reported["severity"] != "note":
            print(f"    {reported['severity']} {reported['check']}: {reported['seen']}")
    return int(totals["errors"] + totals["warnings"])


def planted_faults(work: Path, share: float) -> None:
    """The table of faults: whether the check saw it, and what else spoke."""
    import shutil

    import pyarrow as pa

    from benchmarks.lint_faults import FAULTS
    from benchmarks.lint_material import Material
    from corpusmill.dataproc.datasets import read_batches
    from corpusmill.pipelines.inspect.lint import LintOptions, lint

    parts = sorted((work / "run/documents").glob("part-*.parquet"))
    table = pa.Table.from_batches([batch for part in parts for batch in read_batches(str(part))])
    every = max(1, round(1 / share))
    documents = table.take(np.arange(0, len(table), every)).combine_chunks().to_batches()[0]
    material = Material(
        documents=documents, tokenizer=str(work / "ours-8k"), other=str(work / "imported-small"), length=1024, rows=256
    )
    if not (work / "imported-small" / "training.json").exists():
        words = ["--counts", work / "gpt2-32k", "--pattern", "gpt2", "--special", "gpt2", "--vocab-size", "8000"]
        command("tokenizer", "train", *words, "--output", work / "imported-small")
    print(f"\n{len(documents):,} documents\n{'planted fault':<48} {'check':<24} {'seen':<8} other checks")
    missed = 0
    for number, fault in enumerate(FAULTS):
        for path in work.glob(f"faults/{number:02d}*"):
            shutil.rmtree(path)
        planted = fault.plant(work / "faults" / f"{number:02d}", material)
        options = LintOptions(**({"tokenizer": material.tokenizer} | planted.options))
        loud = [one for one in lint(str(planted.path), options).report.findings if one.severity != "note"]
        seen = [one.severity for one in loud if one.check == fault.check]
        missed += not seen
        others = sorted({one.check for one in loud} - {fault.check})
        print(f"{fault.what:<48} {fault.check:<24} {seen[0] if seen else 'MISSED':<8} {', '.join(others)}", flush=True)
    print(f"{missed} of {len(FAULTS)} missed")


def million(work: Path, sequences: int, length: int) -> None:
    """Writes a shard set of so many sequences (once), lints it, and prints time and peak memory."""
    import pyarrow as pa

    from corpusmill.dataproc.sequences.shards import ShardHeader, SpecialIds, segment_column, shard_name, write_shard

    vocabulary = 32768
    special = SpecialIds(eos=1, pad=2, bos=0)
    header = ShardHeader("made by a benchmark", length, special, vocabulary, vocabulary, 0, {"policy": "best-fit"})
    rows = (1 << 23) // length
    work.mkdir(parents=True, exist_ok=True)
    for number, first in enumerate(range(0, sequences, rows)):
        path, count = work / shard_name(number), min(rows, sequences - first)
        if path.exists():
            continue
        draw = np.random.default_rng(number)
        tokens = (3 + (vocabulary - 4) * draw.random((count, length)) ** 6).astype(np.int32)
        cut = draw.integers(length // 4, length // 2, (count, 1))
        lengths = np.hstack([cut, length - cut]).astype(np.int64)
        tokens[np.arange(count), cut[:, 0] - 1] = tokens[:, -1] = special.eos
        ids = pa.array([f"web/{number}#{document}" for document in range(2 * count)])
        sources = pa.array(["web", "code"]).take(pa.array(draw.integers(0, 2, 2 * count)))
        flat = np.zeros(2 * count, np.int64)
        bounds = 2 * np.arange(count + 1)
        segments = segment_column(bounds, ids, sources, flat, lengths.reshape(-1).astype(np.int32), flat.astype(bool))
        write_shard(str(path), header, tokens, segments)
    _, findings, totals, seconds = findings_of(work)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    peak, spent = used.ru_maxrss / 1024, used.ru_utime + used.ru_stime
    size = sum(path.stat().st_size for path in work.glob("*.arrow")) / 1e9
    print(f"{totals['sequences']:,} sequences, {totals['tokens']:,} tokens, {size:.1f} GB")
    rate = totals["tokens"] / spent / 1e6
    print(f"{seconds:.1f} s, {spent:.1f} s of processor ({rate:.0f} M tokens/s), peak {peak:,.0f} MB with mapped pages")
    print(", ".join(f"{one['severity']} {one['check']}" for one in findings) or "nothing found")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", nargs="?", help="a folder of *.jsonl.zst")
    parser.add_argument("--work", default="/tmp/lint-benchmark", help="folder for all that is made")
    parser.add_argument("--share", type=float, default=0.05, help="share of the documents that faults are planted in")
    parser.add_argument("--only", choices=["faults", "sound"], help="one of the two tables")
    parser.add_argument("--million", metavar="FOLDER", help="measure a large shard set, made there")
    parser.add_argument("--sequences", type=int, default=1_000_000)
    parser.add_argument("--sequence-length", type=int, default=512)
    arguments = parser.parse_args()
    if arguments.million:
        million(Path(arguments.million), arguments.sequences, arguments.sequence_length)
    if arguments.corpus:
        sys.path.insert(0, str(Path(__file__).parents[1]))
        prepare(Path(arguments.corpus), Path(arguments.work))
        if arguments.only != "faults":
            sound_sets(Path(arguments.work))
        if arguments.only != "sound":
            planted_faults(Path(arguments.work), arguments.share)


if __name__ == "__main__":
    main()
