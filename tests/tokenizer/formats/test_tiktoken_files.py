"""tiktoken's one expression cuts text where a pattern's row of splits does; a folder is read by tiktoken itself."""

import hashlib
import random
from pathlib import Path

import pyarrow as pa
import pytest
import tokenizers
from tokenizers import pre_tokenizers

from corpusmill.dataproc.errors import UserError
from corpusmill.tokenizer.counting.counts import count_pretokens
from corpusmill.tokenizer.encoder import Tokenizer
from corpusmill.tokenizer.formats.files import write_tokenizer
from corpusmill.tokenizer.formats.tiktoken_files import one_expression, read_ranks, tiktoken_encoding
from corpusmill.tokenizer.learning.bpe import train_merges
from corpusmill.tokenizer.patterns import PATTERNS, Pattern
from corpusmill.tokenizer.special import layout_named

tiktoken = pytest.importorskip("tiktoken")
load = pytest.importorskip("tiktoken.load")

TELLING = (
    "  \t\n\r\u00a0\u3000\u2028\u0085\u000b\u200b\u0000\u0001\u00ad'sStTrReEvVmMlLdD\u017f0123456789½²Ⅷ١٢abcXYZéÉßǅʰªº"
    "中文字龥\u9fa6ぁゟ゠・ー゛゙ヿカ\u3040\u30ffあ.,;:!?/-_()「」。、€$+<|>~^`´\u0345\u0e31ไทยहिन्दी한국어ʼنصٌّ😀👩\u200d\U00020000"
)
"""Characters of every class that a pattern tells apart, and of the borders between them."""


def drawn(number: int) -> list[str]:
    """Short texts of telling characters, one in ten of any code point."""
    draw = random.Random(number)
    anything = [*range(0xD800), *range(0xE000, 0x20000)]
    return [
        "".join(
            draw.choice(TELLING) if draw.random() < 0.9 else chr(draw.choice(anything))
            for _ in range(draw.randint(1, 14))
        )
        for _ in range(1500)
    ]


PARTIAL = Pattern("custom", (r"\p{L}{1,3}|[0-9]",))


@pytest.mark.parametrize("pattern", [*PATTERNS.values(), PARTIAL], ids=lambda pattern: pattern.name)
def test_one_expression_cuts_as_the_row_of_splits(pattern: Pattern) -> None:
    texts = drawn(11)
    ranks = {bytes([byte]): byte for byte in range(256)}
    for text in texts:  # every stretch is a token, so that each piece becomes one id
        for first in range(len(text)):
            for last in range(first + 1, len(text) + 1):
                ranks.setdefault(text[first:last].encode(), len(ranks))
    encoding = tiktoken.Encoding("all", pat_str=one_expression(pattern), mergeable_ranks=ranks, special_tokens={})
    steps = [pre_tokenizers.Split(tokenizers.Regex(regex), "isolated") for regex in pattern.splits]
    original = pre_tokenizers.Sequence(steps)
    for text in texts:
        pieces = [encoding.decode_single_token_bytes(number).decode() for number in encoding.encode_ordinary(text)]
        assert pieces == [piece for piece, _ in original.pre_tokenize_str(text)], ascii(text)


@pytest.mark.parametrize("name", [*PATTERNS])
def test_a_trained_folder_gives_equal_ids_in_tiktoken(name: str, source_texts: list[str], tmp_path: Path) -> None:
    layout = layout_named("compact")
    counts = count_pretokens(pa.array(source_texts[:60], pa.large_string()), name)
    vocabulary = train_merges(counts, 1200, list(layout.first))
    write_tokenizer(str(tmp_path), vocabulary, layout, name, {})
    ours, encoding = Tokenizer.load(str(tmp_path)), tiktoken_encoding(str(tmp_path))
    texts = [*source_texts[60:90], *drawn(3)]
    rows = ours.encode(pa.array(texts, pa.large_string())).to_pylist()
    assert rows == [encoding.encode_ordinary(text) for text in texts]
    assert encoding.n_vocab == ours.vocab_size
    end = "<｜end▁of▁sentence｜>"
    assert encoding.encode(f"a{end}", allowed_special="all")[-1] == ours.special.eos
    assert encoding.decode(rows[0]) == texts[0]


def test_tiktoken_s_own_reader_takes_the_ranks(folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    content = (Path(folder) / "tokenizer.tiktoken").read_bytes()
    ranks = load.load_tiktoken_bpe(folder + "/tokenizer.tiktoken", hashlib.sha256(content).hexdigest())
    assert ranks == read_ranks(content, "here") and len(ranks) == 2997


def test_what_tiktoken_cannot_say_is_refused(folder: str, source_texts: list[str], tmp_path: Path) -> None:
    assert one_expression(Pattern("custom", ("a", "b"))) is None
    rows = Pattern("custom", (r"\d", r"\w+"))
    counts = count_pretokens(pa.array(source_texts[:10], pa.large_string()), rows)
    write_tokenizer(str(tmp_path / "rows"), train_merges(counts, 300, []), layout_named("gpt2"), rows, {})
    with pytest.raises(UserError, match="several expressions"):
        tiktoken_encoding(str(tmp_path / "rows"))
    with pytest.raises(UserError, match=r"no tiktoken\.json"):
        tiktoken_encoding(str(tmp_path))
