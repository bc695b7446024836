"""Ids that come back from their text, and ids that don't."""

import sysconfig
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from corpusmill.tokenizer.boundary import boundary_table, split_joined
from corpusmill.tokenizer.counting.counts import count_pretokens
from corpusmill.tokenizer.encoder import Tokenizer
from corpusmill.tokenizer.formats.files import write_tokenizer
from corpusmill.tokenizer.learning.bpe import train_merges
from corpusmill.tokenizer.round_trip import SAME, RoundTrip
from corpusmill.tokenizer.special import layout_named


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    folder = str(tmp_path_factory.mktemp("tokenizer"))
    special = layout_named("compact")
    counts = count_pretokens(texts(), "deepseek-v3")
    write_tokenizer(
        folder, train_merges(counts, special.model_size(900), list(special.first)), "compact", "deepseek-v3", {}
    )
    return Tokenizer.load(folder)


def texts() -> pa.LargeStringArray:
    source = (Path(sysconfig.get_path("stdlib")) / "argparse.py").read_text("utf-8")
    return pa.array(
        [source[at : at + 700] for at in range(0, 30_000, 700)] + ["", "中文。\n\nΕλλάδα"], pa.large_string()
    )


def test_what_the_tokenizer_gives_comes_back_split_at_boundaries_or_not(tokenizer: Tokenizer) -> None:
    lists, table = tokenizer.encode(texts()), boundary_table(tokenizer)
    keys = np.arange(len(lists), dtype=np.uint64)
    for share in (0.0, 0.5, 1.0):
        rows, splits = split_joined(lists, keys, share, table)
        assert bool(splits) == bool(share)
        assert RoundTrip(tokenizer, table)(rows).tolist() == [SAME] * len(lists)


def test_what_it_would_not_give_is_seen_with_how_much_of_its_end_comes_back(tokenizer: Tokenizer) -> None:
    lists = tokenizer.encode(texts()).to_pylist()
    byte_by_byte = tokenizer.encode_pieces(pa.array([b"d", b"e", b"f"], pa.large_binary())).values.to_pylist()
    assert len(tokenizer.encode("def")) < 3
    lists[3] = byte_by_byte + tokenizer.encode(" argument\n")
    lists[5] = lists[5][::-1]
    same = RoundTrip(tokenizer)(pa.array(lists, pa.large_list(pa.int32())))
    assert np.flatnonzero(same != SAME).tolist() == [3, 5]
    assert len(tokenizer.encode(" argument\n")) <= same[3] < len(lists[3])
