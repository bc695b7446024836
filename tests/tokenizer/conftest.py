"""Text for these tests: the standard library's own sources and documentation strings, with other scripts mixed in."""

import sysconfig
from pathlib import Path

import pyarrow as pa
import pytest

from corpusmill.tokenizer.counting.counts import count_pretokens
from corpusmill.tokenizer.formats.files import write_tokenizer
from corpusmill.tokenizer.learning.bpe import train_merges
from corpusmill.tokenizer.special import layout_named
from corpusmill.tokenizer.vocabulary import Vocabulary

SCRIPTS = (
    "敏捷的棕色狐狸跳过了懒狗。春眠不觉晓，处处闻啼鸟。\n夜来风雨声，花落知多少。",
    "いろはにほへと ちりぬるを、ガタカナ・テスト゛゜ー『引用』。",
    "다람쥐 헌 쳇바퀴에 타고파. 키스의 고유조건은 입술끼리 만나야 하고",
    "Съешь же ещё этих мягких французских булок, да выпей чаю.",
    "هذا نصٌّ عربيّ مع حركات ١٢٣٤٥، وفاصلة؛ وسؤال؟",
    "यह हिन्दी वाक्य है — १२३४ संख्याएँ।",
    "Zażółć gęślą jaźń; l'été, naïve façade, Straße 12345,67 €.",
    "😀👩‍👩‍👧 🇫🇷 x̧̄ a\u0301 \u200b\u00a0\u3000\u2028end\x01\x02 \x7f",
)


@pytest.fixture(scope="session")
def source_texts() -> list[str]:
    """About 4 MB of text in some hundred documents, the same on every run."""
    folder = Path(sysconfig.get_path("stdlib"))
    names = sorted(
        path for part in (".", "email", "json", "asyncio", "unittest") for path in (folder / part).glob("*.py")
    )
    texts = [path.read_text("utf-8", errors="replace") for path in names]
    for number, text in enumerate(SCRIPTS):
        texts.insert(number * 7 + 1, (text + "\n\n") * (number + 1))
    kept: list[str] = []
    size = 0
    for text in texts:
        if size < 4_000_000:
            kept.append(text)
            size += len(text)
    return kept


@pytest.fixture(scope="session")
def trained(source_texts: list[str]) -> Vocabulary:
    """3,000 ids of a BPE model, the first three special, learned from the sources."""
    counts = count_pretokens(pa.array(source_texts, pa.large_string()))
    return train_merges(counts, 3000, list(layout_named("deepseek-v3").first))


@pytest.fixture(scope="session")
def folder(trained: Vocabulary, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tokenizer folder in DeepSeek-V3's layout."""
    path = str(tmp_path_factory.mktemp("tokenizer") / "folder")
    write_tokenizer(path, trained, "deepseek-v3", "deepseek-v3", {"seed": 1})
    return path
