"""After the warm-up, no kernel is compiled for other types."""

import importlib

import pyarrow as pa
from numba.core.dispatcher import Dispatcher

from corpusmill.dataproc.randomness import random_keys
from corpusmill.tokenizer import Tokenizer
from corpusmill.tokenizer.boundary import boundary_table, split_joined
from corpusmill.tokenizer.counting.counts import count_pretokens, merge, partition
from corpusmill.tokenizer.learning.bpe import train_merges
from corpusmill.tokenizer.warmup import compile_kernels

MODULES = (
    *("keys", "pretokens", "ranks", "cuts", "lookup", "encoder", "boundary"),
    *("counting.table", "counting.merging", "counting.byte_order", "counting.weighing"),
    *("learning.pairs", "learning.merges", "learning.words", "learning.spellings"),
)
ON_FIRST_USE = {"walk_gpt2", "walk_words", "walk_cased_words"}  # the walkers of patterns that few train with


def signatures() -> dict[str, int]:
    kernels = {}
    for module in MODULES:
        for name, value in vars(importlib.import_module(f"corpusmill.tokenizer.{module}")).items():
            called_from_python = isinstance(value, Dispatcher) and "no_cpython_wrapper" not in value.targetoptions
            if called_from_python and value.__module__.startswith("corpusmill.tokenizer") and name not in ON_FIRST_USE:
                kernels[name] = len(value.signatures)
    return kernels


def test_every_kernel_is_compiled_and_none_again(source_texts: list[str], folder: str) -> None:
    compile_kernels()
    before = signatures()
    texts = pa.array(source_texts[:20], pa.large_string())
    table = merge(partition(count_pretokens(texts), 3))
    train_merges(table, 2000, ["<｜x｜>"])
    tokenizer = Tokenizer.load(folder)
    rows = tokenizer.encode(pa.array(source_texts[:3])[1:])
    keys = random_keys(1, "boundary", pa.array(["a", "b"]))
    split, _ = split_joined(rows, keys, 0.1, boundary_table(tokenizer))
    tokenizer.decode(split.values.to_numpy())
    assert signatures() == before
    assert {"encode_spans", "fill_table", "mark_joined", "count_spans", "walk_deepseek_v3"} <= set(before), before
    assert set(before.values()) == {1}, {name for name, number in before.items() if number != 1}
