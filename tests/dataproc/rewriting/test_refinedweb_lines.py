"""RefinedWeb's rules for lines, held against the rules written out in plain Python."""

import re

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.dataproc.rewriting.refinedweb_kernel import COUNTED
from corpusmill.dataproc.rewriting.refinedweb_lines import RefinedWebLines
from corpusmill.dataproc.text.unicode_tables import NUMBER, UNSPACED, load_tables

PIECES = (
    "a ", "two words ", "items in cart", " Items in Cart", "items in ", "cart", "Sign-in", "sign-in ", "read more",
    "Read more...", " READ MORE…", "...", "3 likes", "1.2K views", "12", "1,000", " comments", "-", "_", "»",
    "ABC DEF ",
    "É", "ǅ", "½", "\n", "\r\n", "\x0c", "  ", "\u3000", "中文字", "首页",
    "one two three four five six seven eight nine ",
)  # fmt: skip
TEXTS = st.lists(st.sampled_from(PIECES) | st.text(max_size=2), max_size=25).map("".join)


def has(character: str, flag: int) -> bool:
    return bool(load_tables().classes[ord(character)] & flag)


def lower(line: str) -> str:
    return line.translate({code: code + 32 for code in range(65, 91)})


def count_words(line: str) -> int:
    plain = sum(not any(has(c, UNSPACED) for c in stretch) for stretch in line.split())
    return plain + (sum(has(c, UNSPACED) for c in line) + 1) // 2


def cut(line: str) -> str:
    while (at := lower(line).find("items in cart")) >= 0:
        line = line[:at].removesuffix(" ") + line[at + 13 :]
    while True:
        line = line.strip()
        if lower(line).startswith("sign-in"):
            line = line[7:]
            continue
        shorter = line.rstrip(".…")
        if not lower(shorter).endswith("read more"):
            return line
        line = shorter[:-9]


def is_number(character: str) -> bool:
    return has(character, NUMBER)


def is_counter(line: str) -> bool:
    spelled = "".join("0" if is_number(c) else c for c in lower(line))
    return re.fullmatch(rf"[^\w]*0[0,.]*[kmb]?\s+(?:{'|'.join(COUNTED)})[^\w]*", spelled) is not None


def is_dropped(text: str) -> bool:
    uppers = sum(c.lower()[0] != c for c in text)
    return 2 * uppers > len(text) or all(map(is_number, text)) or is_counter(text) or count_words(text) < 2


def oracle(text: str) -> tuple[str, float]:
    kept, before, after = [], 0, 0
    for line in text.splitlines(keepends=True):
        body = line.strip()
        before += count_words(body)
        if not body:
            kept.append(line)
            continue
        left = cut(body) if count_words(body) <= 10 else body
        if not left or is_dropped(left):
            continue
        after += count_words(left)
        ending = line[len(line.splitlines()[0]) :]
        kept.append(line if left == body else left + ending)
    return "".join(kept), (before - after) / before if before else 0.0


def batch_of(texts: list[str], kind: str = "web") -> pa.RecordBatch:
    return pa.record_batch(
        {"text": pa.array(texts, pa.large_string()), "kind": pa.array([kind] * len(texts), pa.string())}
    )


@settings(deadline=None, max_examples=500)
@given(st.lists(TEXTS, max_size=4))
def test_lines_and_numbers_are_those_of_plain_python(texts):
    rewritten = RefinedWebLines().rewrite(batch_of(texts))
    expected = [oracle(text) for text in texts]
    assert rewritten.texts.to_pylist() == [text for text, _ in expected]
    assert rewritten.numbers.column(0).to_pylist() == [removed for _, removed in expected]


@settings(deadline=None, max_examples=200)
@given(TEXTS)
def test_rewriting_twice_is_rewriting_once(text):
    once = RefinedWebLines().rewrite(batch_of([text])).texts
    twice = RefinedWebLines().rewrite(pa.record_batch({"text": once, "kind": ["web"]}))
    assert twice.texts == once and twice.numbers.column(0).to_pylist() == [0.0]


@settings(deadline=None)
@given(TEXTS.map(lambda text: re.sub("(?i)read more|sign-in|items in cart", "x", text)))
def test_without_phrases_the_bytes_of_kept_and_dropped_lines_are_those_that_came(text):
    left = RefinedWebLines().rewrite(batch_of([text])).texts.to_pylist()[0]
    place = dropped = 0
    for line in text.splitlines(keepends=True):
        if left.startswith(line, place) and not (line.strip() and is_dropped(line.strip())):
            place += len(line.encode().decode())
        else:
            dropped += len(line.encode())
    assert place == len(left)
    assert len(left.encode()) + dropped == len(text.encode())


def test_furniture_goes_and_prose_stays():
    page = (
        "BREAKING NEWS TODAY\n  The harbour was quiet at night.\n\n2,431 likes\n2023\nHome\nSign-in to see the prices\n"
        "12 items in cart\nThe council met on Monday. Read more...\n"
    )
    rewritten = RefinedWebLines().rewrite(batch_of([page]))
    assert rewritten.texts.to_pylist() == [
        "  The harbour was quiet at night.\n\nto see the prices\nThe council met on Monday.\n"
    ]


def test_a_phrase_in_a_line_of_more_than_ten_words_is_left():
    line = "sign-in " + "word " * 10 + "read more..."
    assert RefinedWebLines().rewrite(batch_of([line])).texts.to_pylist() == [line]


def test_words_are_counted_in_scripts_without_spaces():
    rewritten = RefinedWebLines().rewrite(batch_of(["首页\n欢迎来到我们的网站"]))
    assert rewritten.texts.to_pylist() == ["欢迎来到我们的网站"]


def test_a_batch_in_which_all_is_kept_comes_back_as_it_is():
    batch = batch_of(["Plain words here.\n", ""])
    assert RefinedWebLines().rewrite(batch).texts.buffers()[2].address == batch.column("text").buffers()[2].address


def test_code_keeps_its_text():
    rewritten = RefinedWebLines().rewrite(batch_of(["}\nMAX\n"], "code"))
    assert rewritten.texts.to_pylist() == ["}\nMAX\n"] and rewritten.numbers.column(0).to_pylist() == [0.0]


def test_phrases_are_cut_to_the_end_however_many_there_are():
    texts = ["sign-in" * 100_000 + " some words", "some words read more read more" + "." * 1_000_000]
    assert RefinedWebLines().rewrite(batch_of(texts)).texts.to_pylist() == ["some words", "some words"]
    assert RefinedWebLines().rewrite(batch_of(["Buy items in  items in cartcart now please"])).texts.to_pylist() == [
        "Buy now please"
    ]


@settings(deadline=None)
@given(st.lists(st.sampled_from([b"a bc", b"\n", b"\xff", b"\xe4\xb8", b" ", b"\xc3("])).map(b"".join))
def test_bytes_that_are_no_utf8_are_copied_as_they_are(data):
    raw = pa.array([data], pa.large_binary())
    texts = pa.LargeStringArray.from_buffers(1, raw.buffers()[1], raw.buffers()[2])
    rewritten = RefinedWebLines(minimum_words=0).rewrite(pa.record_batch({"text": texts, "kind": ["web"]})).texts
    assert rewritten.cast(pa.large_binary()).to_pylist() == [data]
