"""The warm table changes no id, and a file that is not this tokenizer's is refused."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.storage import join, read_bytes
from corpusmill.tokenizer import Tokenizer
from corpusmill.tokenizer.counting.counts import PretokenCounts, count_pretokens
from corpusmill.tokenizer.formats.files import write_tokenizer
from corpusmill.tokenizer.pretokens import pretokens
from corpusmill.tokenizer.vocabulary import Vocabulary
from corpusmill.tokenizer.warm import WARM, read_warm_table, table_of
from corpusmill.tokenizer.warming import common_pieces, write_warm_table


@pytest.fixture
def own_folder(trained: Vocabulary, tmp_path: Path) -> str:
    """A tokenizer folder that a test may write to."""
    write_tokenizer(str(tmp_path / "own"), trained, "deepseek-v3", "deepseek-v3", {})
    return str(tmp_path / "own")


@pytest.fixture(scope="module")
def counts(source_texts: list[str]) -> PretokenCounts:
    return count_pretokens(pa.array(source_texts, pa.large_string()))


@pytest.mark.parametrize("limit", [1, 1000, 10**6])
def test_ids_are_the_same_with_the_table_as_without(
    own_folder: str, counts: PretokenCounts, source_texts: list[str], limit: int
) -> None:
    texts = pa.array([*source_texts, "=" * 300, "中" * 500, "zweiundvierzig" * 5], pa.large_string())
    cold = Tokenizer.load(own_folder)
    assert cold.warm.pretokens == 0
    expected = cold.encode(texts)
    written = write_warm_table(own_folder, cold, counts, limit)
    warm = Tokenizer.load(own_folder)
    assert warm.warm.pretokens == written.pretokens == min(limit, written.pretokens) > 0
    assert warm.encode(texts).equals(expected)
    assert warm.encode(texts).equals(expected)


def test_ids_come_out_of_the_table(own_folder: str) -> None:
    """With wrong ids in it, wrong ids come out: so it is looked in, for short pretokens, long ones, many ids."""
    texts = ["the", "a_pretoken_of_more_than_sixteen_bytes", "ab"]
    wrong = pa.array([[7], [8, 9], [1, 2, 3, 4, 5]], pa.large_list(pa.int32()))
    plain = Tokenizer.load(own_folder)
    parts = plain.vocabulary, plain.special, plain.pattern, plain.fingerprint
    tokenizer = Tokenizer(*parts, table_of(pa.array(texts).cast(pa.large_binary()), wrong))
    assert tokenizer.encode_pieces(pa.array(texts)).equals(wrong)
    others = pa.array(["th", "thee", "a_pretoken_of_more_than_sixteen_bytez", "ba"])
    assert tokenizer.encode_pieces(others).equals(plain.encode_pieces(others))


def test_the_commonest_pretokens_come_first_and_runs_of_han_in_pieces(own_folder: str) -> None:
    tokenizer = Tokenizer.load(own_folder)
    text = "one one one two two three 中文好中文好中文好中文好"
    pieces = common_pieces(tokenizer, count_pretokens(pa.array([text])), 100).to_pylist()
    counted = [piece for piece in pieces if piece.isascii()]
    assert counted == [b" one", b" two", b" ", b" three", b"one"]
    (clause,) = [piece for piece in pretokens(text) if "中" in piece]
    cut = [piece for piece in pieces if not piece.isascii()]
    joined = tokenizer.encode_pieces(pa.array([clause])).to_pylist()[0]
    in_pieces = {piece: tokenizer.encode_pieces(pa.array([piece])).to_pylist()[0] for piece in cut}
    assert set(joined) == {token for ids in in_pieces.values() for token in ids}


def test_the_file_is_mapped_with_slots_at_cache_lines(own_folder: str, counts: PretokenCounts) -> None:
    tokenizer = Tokenizer.load(own_folder)
    write_warm_table(own_folder, tokenizer, counts, 100)
    allocated = pa.total_allocated_bytes()
    table = Tokenizer.load(own_folder).warm.table
    assert pa.total_allocated_bytes() - allocated < table.slots.nbytes + 5_000_000
    assert table.slots.ctypes.data % 64 == 0
    assert not table.slots.flags.writeable and not table.arena.flags.writeable
    first = read_bytes(join(own_folder, WARM))
    write_warm_table(own_folder, tokenizer, counts, 100)
    assert read_bytes(join(own_folder, WARM)) == first


def test_it_is_read_from_a_url(own_folder: str, counts: PretokenCounts) -> None:
    import fsspec

    tokenizer = Tokenizer.load(own_folder)
    write_warm_table("memory://warm-test", tokenizer, counts, 50)
    table = read_warm_table("memory://warm-test/" + WARM, tokenizer.fingerprint)
    assert table.pretokens == 50
    fsspec.filesystem("memory").rm("/warm-test", recursive=True)


@pytest.mark.parametrize("damage", ["cut off", "changed", "empty", "no table"])
def test_a_damaged_file_is_named_with_the_mend(own_folder: str, counts: PretokenCounts, damage: str) -> None:
    write_warm_table(own_folder, Tokenizer.load(own_folder), counts, 1000)
    path = Path(own_folder) / WARM
    content = bytearray(path.read_bytes())
    if damage == "cut off":
        content = content[: len(content) // 2]
    elif damage == "changed":
        content[len(content) // 2] ^= 1
    elif damage == "empty":
        content = bytearray()
    else:
        content = bytearray(b"not Arrow " * 1000)
    path.write_bytes(content)
    with pytest.raises(UserError, match="damaged") as caught:
        Tokenizer.load(own_folder)
    assert str(path) in str(caught.value) and "delete it" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_another_tokenizers_table_is_refused(own_folder: str, counts: PretokenCounts, trained: Vocabulary) -> None:
    other = Path(own_folder).with_name("other")
    write_tokenizer(str(other), trained.prefix(2000), "deepseek-v3", "deepseek-v3", {})
    write_warm_table(str(other), Tokenizer.load(str(other)), counts, 100)
    (Path(own_folder) / WARM).write_bytes((other / WARM).read_bytes())
    with pytest.raises(UserError, match="another tokenizer"):
        Tokenizer.load(own_folder)


def test_whole_tokens_come_before_merges(trained: Vocabulary, own_folder: str, counts: PretokenCounts) -> None:
    from dataclasses import replace

    plain = Tokenizer.load(own_folder)
    tokens = trained.tokens.to_pylist()
    without = trained.merges[trained.merges[:, 2] != tokens.index(b" import")]  # merging no longer reaches it
    parts = plain.special, plain.pattern, plain.fingerprint
    merged, whole = (Tokenizer(replace(trained, merges=without, whole_first=first), *parts) for first in (False, True))
    text = pa.array(["x import y", " import"])
    token = tokens.index(b" import")
    assert all(token not in row for row in merged.encode(text).to_pylist())
    assert [row.count(token) for row in whole.encode(text).to_pylist()] == [1, 1]
    write_warm_table(own_folder, whole, counts, 10)
    again = Tokenizer(whole.vocabulary, *parts, read_warm_table(join(own_folder, WARM), plain.fingerprint))
    assert again.encode(text).equals(whole.encode(text))
    assert np.array_equal(again.encode(text).values, whole.encode(text).values)
