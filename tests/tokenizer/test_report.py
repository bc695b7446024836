"""The report's numbers, held against plain Python over the same documents; other people's tokenizers beside ours."""

import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

from corpusmill.dataproc.errors import UserError
from corpusmill.tokenizer import Tokenizer
from corpusmill.tokenizer.measurable import HuggingFaceTokenizer, OurTokenizer
from corpusmill.tokenizer.report import LONGEST_COUNTED, RARE, Measures, measure, report
from tests.tokenizer.conftest import SCRIPTS

END = "<｜end▁of▁sentence｜>"


@pytest.fixture(scope="module")
def ours(folder: str) -> OurTokenizer:
    return OurTokenizer("ours", Tokenizer.load(folder))


@pytest.fixture(scope="module")
def theirs(folder: str) -> HuggingFaceTokenizer:
    return HuggingFaceTokenizer("theirs", f"{folder}/tokenizer.json")


def documents(texts: list[str], languages: list[str | None] | None = None) -> pa.RecordBatch:
    count = len(texts)
    return pa.RecordBatch.from_pydict(
        {
            "id": pa.array([f"d{number}" for number in range(count)], pa.string()),
            "text": pa.array(texts, pa.large_string()),
            "language": pa.array(languages or [["en", None, "ja"][number % 3] for number in range(count)], pa.string()),
            "source": pa.array([["web", "book"][number % 2] for number in range(count)], pa.string()),
            "kind": pa.array(["docs"] * count, pa.string()),
        }
    )


def plain_words(text: str) -> int:
    """By the filters' rule, for text without marks: runs of letters and numbers, each Han or kana one by itself."""
    words, open_word = 0, False
    for character in text:
        alone = character.isalnum() and bool(re.match("[\u3040-\u30ff\u4e00-\u9fff]", character))
        words += alone or (character.isalnum() and not open_word)
        open_word = character.isalnum() and not alone
    return words


def test_sums_are_those_of_plain_python(ours: OurTokenizer, source_texts: list[str]) -> None:
    texts = ["", "Hello, world 12", "春眠不觉晓。\n", "", *source_texts[:12]]
    texts = [re.sub("[^\x00-\x7f\u3040-\u30ff\u4e00-\u9fff。]", "", text) for text in texts]
    batch = documents(texts)
    measured = measure([ours], batch)
    ids = ours.tokenizer.encode(batch.column("text")).to_pylist()
    usage = Counter(number for row in ids for number in row)
    assert {number: int(count) for number, count in enumerate(measured.usage[0]) if count} == usage
    for name in ("language", "source", "kind"):
        expected: dict[str, list[int]] = {}
        for text, row, value in zip(texts, ids, batch.column(name).to_pylist(), strict=True):
            sums = expected.setdefault(value or "unknown", [0] * 5)
            more = [1, len(text.encode()), len(text), plain_words(text), len(row)]
            expected[value or "unknown"] = [a + b for a, b in zip(sums, more, strict=True)]
        assert {value: sums.tolist() for (column, value), sums in measured.groups.items() if column == name} == expected
    assert measured.totals.tolist() == [sum(sums[i] for sums in expected.values()) for i in range(5)]
    assert measured.lost == [[]] and measured.lost_documents.tolist() == [0]


def test_rates_and_shares_follow_from_the_sums(ours: OurTokenizer, source_texts: list[str]) -> None:
    texts = source_texts[:30]
    record = report([ours], measure([ours], documents(texts)))
    mine, size = record["tokenizers"][0], sum(len(text.encode()) for text in texts)
    ids = np.concatenate([np.array(row) for row in ours.tokenizer.encode(pa.array(texts)).to_pylist()])
    assert record["text"]["bytes"] == size and mine["tokens"] == len(ids)
    assert mine["bytes_per_token"] == round(size / len(ids), 4)
    assert mine["tokens_per_word"] == round(len(ids) / record["text"]["words"], 4)
    spelled = ours.spellings.to_pylist()
    joined = {number for number, token in enumerate(spelled) if re.fullmatch(rb" ?[!-/:-@\[-`{-~]+[\r\n]+", token)}
    assert mine["joined"]["tokens"] == sum(number in joined for number in ids.tolist()) > 0
    uses = Counter(ids.tolist())
    special = set(ours.tokenizer.special.ids.values())
    candidates = [number for number, token in enumerate(spelled) if number not in special and len(token) > 1]
    unused = [number for number in candidates if not uses[number]]
    rare = [number for number in candidates if 0 < uses[number] < RARE]
    assert (mine["never_used"]["ids"], mine["rarely_used"]["ids"]) == (len(unused), len(rare)) and unused and rare
    for name in ("kinds", "scripts"):
        assert sum(row["never_used"] for row in mine[name].values()) == len(unused)
    assert mine["never_used"]["share"] == round(len(unused) / len(candidates), 6)
    assert {entry["id"] for entry in mine["never_used"]["examples"]} <= set(unused)
    assert all(entry["used"] == uses[entry["id"]] for entry in mine["rarely_used"]["examples"])
    longest = [entry["bytes"] for entry in mine["longest"]]
    assert longest == sorted((len(spelled[number]) for number in candidates), reverse=True)[: len(longest)]
    lengths = Counter(
        min(len(spelled[number]), LONGEST_COUNTED) for number in range(len(spelled)) if number not in special
    )
    assert {size: count for size, count in enumerate(mine["lengths"]["ids"]) if count} == lengths
    assert sum(row["ids"] for row in mine["kinds"].values()) == mine["ids"] == len(spelled)
    assert sum(row["tokens"] for row in mine["kinds"].values()) == len(ids)
    assert mine["kinds"]["special"] == {"ids": len(special), "never_used": 0, "tokens": 0}
    assert (
        mine["usage"]["uses"][0] == max(uses.values()) and mine["usage"]["uses"] == sorted(mine["usage"]["uses"])[::-1]
    )
    assert json.loads(json.dumps(record)) == record


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from([*SCRIPTS, "", "x", END]), max_size=12), st.data())
def test_batches_add_up_in_any_order(ours: OurTokenizer, texts: list[str], data: st.DataObject) -> None:
    batch = documents(texts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(texts)), max_size=3)))
    pieces = [batch.slice(low, high - low) for low, high in zip([0, *cuts], [*cuts, len(texts)], strict=True)]
    whole, summed = measure([ours], batch), Measures.none([ours])
    for piece in data.draw(st.permutations(pieces)):
        summed.add(measure([ours], piece))
    assert report([ours], whole) == report([ours], summed)


class Lossy:
    """A tokenizer that forgets what it was told to."""

    name, byte_level = "lossy", True

    def __init__(self, ours: OurTokenizer, change) -> None:
        self.spellings, self.special, self._ours, self._change = ours.spellings, ours.special, ours, change

    def encode(self, texts: pa.Array) -> pa.LargeListArray:
        changed = [self._change(row) for row in self._ours.encode(texts).to_pylist()]
        return pa.array(changed, pa.large_list(pa.int32()))

    def decode(self, ids: pa.Array) -> pa.Array:
        raise AssertionError("the spellings tell")


@pytest.mark.parametrize(
    "change",
    [lambda row: row[:-1], lambda row: [*row, 40], lambda row: [40, *row[1:]], lambda row: [*row[:-1], 40, 41, 42]],
    ids=["too short", "too long", "another beginning", "another end"],
)
def test_documents_that_do_not_come_back_are_named(ours: OurTokenizer, change) -> None:
    texts = ["one two", "", "three four", "five"]
    lossy = Lossy(ours, lambda row: change(row) if row else row)
    entries = report([ours, lossy], measure([ours, lossy], documents(texts)))["tokenizers"]
    assert entries[0]["lost"] == {"documents": 0, "ids": []}
    assert entries[1]["lost"] == {"documents": 3, "ids": ["d0", "d2", "d3"]}


def test_hugging_faces_library_says_the_same_of_our_file(ours, theirs, source_texts) -> None:
    texts = [*SCRIPTS, f"text {END} text", *source_texts[:10]]
    assert theirs.spellings.to_pylist() == ours.spellings.to_pylist()
    assert theirs.byte_level
    first, second = report([ours, theirs], measure([ours, theirs], documents(texts)))["tokenizers"]
    assert second["kinds"]["special"]["tokens"] == 0, "a spelling in the text became a special id"
    # FIM, roles and tools are ordinary ids to Hugging Face: what is said of the vocabulary differs by those.
    for name in ("tokens", "groups", "lost", "joined"):
        assert first[name] == second[name]
    assert first["lost"]["documents"] == 0


def test_a_tokenizer_that_is_not_byte_level_is_asked_to_decode(tmp_path: Path) -> None:
    made = tokenizers.Tokenizer(models.WordLevel(unk_token="?"))
    made.normalizer = normalizers.Lowercase()
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.decoder = decoders.Metaspace()
    made.train_from_iterator(["some words"], trainers.WordLevelTrainer(special_tokens=["?"]))
    made.save(str(tmp_path / "tokenizer.json"))
    peer = HuggingFaceTokenizer("words", str(tmp_path / "tokenizer.json"))
    entry = report([peer], measure([peer], documents(["some words", "Some words", "other"])))["tokenizers"][0]
    assert not peer.byte_level and entry["tokens"] == 5
    assert entry["lost"] == {"documents": 2, "ids": ["d1", "d2"]}


def test_a_file_that_is_no_tokenizer_is_a_line(tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(UserError, match="not a tokenizer file that Hugging Face's library reads"):
        HuggingFaceTokenizer("other", str(tmp_path / "other.json"))


def test_no_documents_leave_nothing_to_divide(ours: OurTokenizer) -> None:
    mine = report([ours], measure([ours], documents([])))["tokenizers"][0]
    assert (mine["tokens"], mine["bytes_per_token"], mine["tokens_per_word"]) == (0, None, None)


def test_ours_and_theirs_decode_alike(
    ours: OurTokenizer, theirs: HuggingFaceTokenizer, source_texts: list[str]
) -> None:
    texts = pa.array([*SCRIPTS, *source_texts[:5], f"a{END}b"], pa.large_string())
    ids = ours.encode(texts)
    assert ours.decode(ids).equals(texts) and theirs.decode(ids).equals(texts)
