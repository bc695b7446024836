"""Pretokens of batches of documents, and the table of Unicode classes behind them. The cuts: `test_walkers.py`."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from corpusmill.dataproc.errors import UserError
from corpusmill.tokenizer import pretokens, unicode
from corpusmill.tokenizer.patterns import (
    CONTRACTIONS,
    DEEPSEEK_V3,
    EXPANDED_CONTRACTIONS,
    PATTERNS,
    QWEN2,
    Pattern,
    pattern_of_json,
    pre_tokenizer_json,
)


def test_a_pattern_goes_by_its_expressions_whatever_its_name() -> None:
    assert all(pretokens.is_fast(name) for name in PATTERNS)
    assert pretokens.is_fast(Pattern("custom", DEEPSEEK_V3.splits))
    assert not pretokens.is_fast(Pattern("deepseek-v3", ("[a-z]+",)))
    expanded = QWEN2.splits[0].replace(CONTRACTIONS, EXPANDED_CONTRACTIONS)
    step = {"type": "Split", "pattern": {"Regex": expanded}, "behavior": "Removed", "invert": True}
    steps = [step, pre_tokenizer_json(QWEN2)["pretokenizers"][-1]]
    read = pattern_of_json({"type": "Sequence", "pretokenizers": steps}, "here")
    assert read == Pattern("custom", (expanded,)) and pretokens.is_fast(read)
    assert pretokens.pretokens("ab1cd", Pattern("custom", ("[a-z]+",))) == ["ab", "1", "cd"]


def test_a_slice_is_read_where_it_lies() -> None:
    for pattern in (*PATTERNS, Pattern("custom", (r" ?\w+",))):
        offsets, data = pretokens.read_text(pa.array(["skipped", "one two", "skipped too"], pa.large_string())[1:2])
        ((start, ends),) = pretokens.pretoken_blocks(offsets, data, pattern)
        assert (start, ends.tolist()) == (7, [10, 14])


def test_pretokens_of_a_text() -> None:
    assert pretokens.pretokens("Don't panic: 12345 中文!\n") == [
        *("Don", "'t", " panic", ":", " ", "123", "45", " ", "中文", "!\n")
    ]
    with pytest.raises(UserError, match="unknown pretoken pattern"):
        pretokens.pretokens("x", pattern="none")


def test_classes_are_cached_whole_and_remade_when_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORPUSMILL_CACHE", str(tmp_path))
    known = unicode.unicode_classes()
    built = []
    monkeypatch.setattr(unicode, "build_classes", lambda: built.append(1) or known.copy())
    load = unicode.unicode_classes.__wrapped__
    assert np.array_equal(load(), known) and np.array_equal(load(), known)
    assert len(built) == 1
    (path,) = (tmp_path / "unicode").iterdir()
    path.write_bytes(path.read_bytes()[:1000])
    assert np.array_equal(load(), known)
    assert len(built) == 2


def test_classes_without_a_cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("CORPUSMILL_CACHE", str(tmp_path / "file"))
    known = unicode.unicode_classes()
    monkeypatch.setattr(unicode, "build_classes", lambda: known.copy())
    assert np.array_equal(unicode.unicode_classes.__wrapped__(), known)


def test_nothing_is_built_at_import() -> None:
    code = (
        "import sys, tokenizer, tokenizer.pretokens, tokenizer.unicode as p; assert 'tokenizers' not in sys.modules;"
        "print(p.unicode_classes.cache_info().currsize)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "0\n"
