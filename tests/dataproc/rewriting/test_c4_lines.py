"""C4's rules for lines, held against datatrove's loop in plain Python with our words and sentences."""

import re
import unicodedata

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.rewriting.c4_kernel import CLOSING_QUOTES
from corpusmill.dataproc.rewriting.c4_lines import POLICY_PHRASES, C4Lines
from corpusmill.dataproc.text.scan import CLOSERS
from corpusmill.dataproc.text.unicode_tables import LETTER, TERMINAL, UNSPACED, load_tables

CITATION = re.compile(r"\[\d*]|\[edit]|\[citation needed]")
PIECES = (
    "a ", "one two three", "ends.", "ends...", "end!\"", "it's'", "[1]", "[edit]", "[citation needed]", "[", "]", "7",
    "\n", "\r\n", "\v", "\x85", "\u2028", " ", "\u00a0", "lorem ipsum", "Lorem IPSUM dolor", "javaScript", "java",
    "script ", "terms of use", "Privacy Policy ", "uses cookies", "{", "}", "x" * 12, "中文", "没有空格。",
    "สวัสดี ", "»",
    "?) ", "。”", "e.g. ", "\x1f", "\x01", "é", "२", ". . .", "\t", "K",
)  # fmt: skip
TEXTS = st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=30).map("".join)


def has(character: str, flag: int) -> bool:
    return bool(load_tables().classes[ord(character)] & flag)


def count_words(line: str) -> int:
    stretches = line.split()
    plain = sum(not any(has(c, UNSPACED) for c in stretch) for stretch in stretches)
    return plain + (sum(has(c, UNSPACED) for c in line) + 1) // 2


def longest_run(line: str) -> int:
    return max(map(len, "".join(" " if has(c, UNSPACED) else c for c in line).split()), default=0)


def count_sentences(line: str) -> int:
    count, left = 0, line
    terminal = "".join(re.escape(c) for c in set(line) if has(c, TERMINAL))
    if not terminal:
        return int(bool(line.strip()))
    closers = "".join(re.escape(c) for c in CLOSERS if unicodedata.category(c)[0] in "PS")
    for match in re.finditer(f"(?:[{terminal}][{closers}]*)+", line):
        wide = any(has(c, TERMINAL) and ord(c) >= 128 for c in match.group())
        following = line[match.end() : match.end() + 1]
        if wide or not following or following.isspace():
            count, left = count + 1, line[match.end() :]
    return count + bool(left.strip())


def lower(line: str) -> str:
    return line.translate({code: code + 32 for code in range(65, 91)})


def is_asked(text: str) -> bool:
    """Whether sentences end in . ? or !, by the definition."""
    plain = sum(
        c in ".?!" and (after.isspace() or not after) for c, after in zip(text, [*text[1:], ""], strict=bool(text))
    )
    others = sum(ord(c) >= 128 and has(c, TERMINAL) for c in text)
    letters = [has(c, UNSPACED) for c in text if has(c, LETTER)]
    return others <= plain and 2 * sum(letters) <= len(letters)


def oracle(text: str, rewriter: C4Lines) -> tuple[str, list[float]]:
    if rewriter.terminal == "c4" and not is_asked(text):
        return text, [0] * 6
    kept, sentences, lorems, brackets, words_before, words_kept = [], 0, 0, 0, 0, 0
    broken = False
    for line in text.splitlines():
        line = line.strip()
        if rewriter.blank_lines and not line:
            broken = bool(kept)
            continue
        words = count_words(line)
        words_before += words
        if 0 < rewriter.longest_word < longest_run(line):
            continue
        if rewriter.citations:
            line = CITATION.sub("", line)
        ends = {"c4": (".", "?", "!", '"', "'"), "none": ("",)}.get(rewriter.terminal)
        if ends is None:
            ends = tuple(c for c in set(line) if has(c, TERMINAL) or c in "\"'" + CLOSING_QUOTES) or ("missing",)
        if rewriter.terminal != "none" and (not line.endswith(ends) or line.endswith("...")):
            continue
        if words < rewriter.minimum_words:
            continue
        lorems += lower(line).count("lorem ipsum")
        if rewriter.javascript and "javascript" in lower(line):
            continue
        brackets += line.count("{")
        if any(phrase in lower(line) for phrase in rewriter.policy_phrases):
            continue
        sentences += count_sentences(line)
        words_kept += words
        kept.append("\n" + line if broken else line)
        broken = False
    removed = (words_before - words_kept) / words_before if words_before else 0.0
    return "\n".join(kept).strip(), [1, sentences, len(kept), lorems, brackets, removed]


def batch_of(texts: list[str], kind: str = "prose") -> pa.RecordBatch:
    return pa.record_batch(
        {"text": pa.array(texts, pa.large_string()), "kind": pa.array([kind] * len(texts), pa.string())}
    )


def rows(numbers: pa.RecordBatch) -> list[list[float]]:
    return [list(row.values()) for row in numbers.to_pylist()]


SETTINGS = st.builds(
    C4Lines,
    minimum_words=st.integers(0, 3),
    longest_word=st.sampled_from([0, 10, 1000]),
    terminal=st.sampled_from(["c4", "any-script", "none"]),
    citations=st.booleans(),
    javascript=st.booleans(),
    policy_phrases=st.sampled_from([POLICY_PHRASES, ()]),
    blank_lines=st.booleans(),
)


@settings(deadline=None, max_examples=400)
@given(st.lists(TEXTS, max_size=4), SETTINGS)
def test_lines_and_numbers_are_those_of_plain_python(texts, rewriter):
    rewritten = rewriter.rewrite(batch_of(texts))
    expected = [oracle(text, rewriter) for text in texts]
    assert rewritten.texts.to_pylist() == [text for text, _ in expected]
    assert rows(rewritten.numbers) == [numbers for _, numbers in expected]
    rewritten.texts.validate(full=True)


@settings(deadline=None)
@given(TEXTS.map(lambda text: text.replace("[", "(")), SETTINGS)
def test_without_citations_rewriting_twice_is_rewriting_once(text, rewriter):
    once = rewriter.rewrite(batch_of([text]))
    twice = rewriter.rewrite(pa.record_batch({"text": once.texts, "kind": ["prose"]}))
    assert twice.texts == once.texts
    assert rows(twice.numbers)[0][0] == rows(once.numbers)[0][0]


def test_lines_of_prose_stay_and_menus_scripts_and_notices_go():
    page = (
        "Home | About us\nThe ship came in at noon.\nIt was late...\nNo way!\nThis site uses cookies to serve you.\n"
        'Please enable JavaScript to read on.\n  He said "it is the sea"\nWe were glad[2] of it.[1]\n'
    )
    rewritten = C4Lines().rewrite(batch_of([page]))
    assert rewritten.texts.to_pylist() == ['The ship came in at noon.\nHe said "it is the sea"\nWe were glad of it.']
    assert rows(rewritten.numbers)[0][:5] == [1, 3, 3, 0, 0]


def test_lorem_ipsum_and_brackets_count_only_where_c4_would_look():
    texts = [
        "lorem ipsum on a line without an end\nLorem ipsum is on this line.",
        "a { b in a menu\nThe function f { is here.\nWith javascript { in it.\nPrivacy policy { has one too.",
    ]
    numbers = C4Lines().measure(batch_of(texts))
    assert numbers.column("c4_lorem_ipsum_count").to_pylist() == [1, 0]
    assert numbers.column("c4_curly_bracket_count").to_pylist() == [0, 2]


def test_a_blank_before_a_citation_at_the_end_loses_the_line_as_in_datatrove():
    assert C4Lines().rewrite(batch_of(["One two three. [1]"])).texts.to_pylist() == [""]


def test_text_without_spaces_is_kept_where_marks_of_any_script_are_taken():
    text = "这是一个很长的句子，没有空格。\n首页"
    assert C4Lines().rewrite(batch_of([text])).texts.to_pylist() == [text]
    assert C4Lines(terminal="any-script").rewrite(batch_of([text])).texts.to_pylist() == [
        "这是一个很长的句子，没有空格。"
    ]


def test_code_keeps_its_text_and_has_numbers_of_nothing():
    rewritten = C4Lines().rewrite(batch_of(["int main() {\n\n}\n"], "code"))
    assert rewritten.texts.to_pylist() == ["int main() {\n\n}\n"]
    assert rows(rewritten.numbers) == [[0, 0, 0, 0, 0, 0.0]]


def test_an_overlong_word_loses_its_line_at_one_character_more_than_allowed():
    texts = [f"see {'x' * size} here." for size in (1000, 1001)]
    assert C4Lines().measure(batch_of(texts)).column("c4_kept_line_count").to_pylist() == [1, 0]


def test_one_line_of_a_megabyte_and_no_text_at_all_are_texts_like_others():
    long = "a word and " * 100_000 + "the end."
    rewritten = C4Lines().rewrite(batch_of([long, "", "\n\n"]))
    assert rewritten.texts.to_pylist() == [long, "", ""]


def test_a_row_depends_on_its_own_text_alone():
    texts = ["One two three.\nno", "", "Four five six. Seven.", "{"]
    whole = C4Lines().rewrite(batch_of(texts))
    parts = [C4Lines().rewrite(batch_of(texts).slice(start, 1)) for start in range(4)]
    assert whole.texts == pa.concat_arrays([part.texts for part in parts])
    assert rows(whole.numbers) == [row for part in parts for row in rows(part.numbers)]


@settings(deadline=None)
@given(st.lists(st.sampled_from([b"a b c.", b"\n", b"\xff", b"\xe4\xb8", b" ", b"\xc3(", b"[1]", b"!"])).map(b"".join))
def test_bytes_that_are_no_utf8_are_copied_as_they_are(data):
    raw = pa.array([data], pa.large_binary())
    texts = pa.LargeStringArray.from_buffers(1, raw.buffers()[1], raw.buffers()[2])
    rewriter = C4Lines(minimum_words=0, terminal="none", citations=False)
    rewritten = rewriter.rewrite(pa.record_batch({"text": texts, "kind": ["prose"]})).texts
    lines = [line.strip() for line in data.split(b"\n")]
    assert rewritten.cast(pa.large_binary()).to_pylist() == [b"\n".join(lines).strip()]


def test_settings_are_checked_before_anything_runs():
    assert C4Lines(policy_phrases=["our cookies"]).policy_phrases == ("our cookies",)
    with pytest.raises(
        UserError, match="c4-lines, setting 'terminal': 'all' is not one of the choices; use one of c4, "
    ):
        C4Lines(terminal="all")
    with pytest.raises(UserError, match="'minimum_words': must not be negative"):
        C4Lines(minimum_words=-1)
    with pytest.raises(UserError, match="'minimum_words': must be a whole number, not '3'"):
        C4Lines(minimum_words="3")
    with pytest.raises(UserError, match="'policy_phrases': an entry is blank or not a string"):
        C4Lines(policy_phrases=[" "])
    with pytest.raises(UserError, match="'not_kinds': must be a list of strings, not 'code'"):
        C4Lines(not_kinds="code")


OTHERWISE = {
    "zh": "这是第一句话。这是第二句话！今天天气很好，我们去公园散步。公园里有很多人。",
    "ja": "これは最初の文です。今日は天気がいいです。Pythonを使います。",
    "th": "นี่คือประโยคแรก นี่คือประโยคที่สอง วันนี้อากาศดีมาก 3.5 km",
    "km": "នេះជាប្រយោគទីមួយ។ នេះជាប្រយោគទីពីរ។",
    "my": "ဤသည်မှာ ပထမစာကြောင်းဖြစ်သည်။ ဒုတိယစာကြောင်းဖြစ်သည်။",
    "bo": "བོད་སྐད་ནི་སྐད་ཅིག་ཡིན། འདི་ནི་ཚིག་གྲུབ་ཡིན།",
    "hi": "यह पहला वाक्य है। यह दूसरा वाक्य है। v1.2 नया है।",
    "ur": "یہ پہلا جملہ ہے۔ یہ دوسرا جملہ ہے۔",
    "am": "ይህ የመጀመሪያው ዓረፍተ ነገር ነው። ይህ ሁለተኛው ነው።",
    "hy": "Սա առաջին նախադասությունն է։ Սա երկրորդն է։",
}
LIKE_ENGLISH = {
    "en": "This is the first sentence. This is the second one!",
    "ru": "Это первое предложение. Это второе предложение?",
    "ar": "هذه هي الجملة الأولى. هذه هي الجملة الثانية.",
    "el": "Αυτή είναι η πρώτη πρόταση. Αυτή είναι η δεύτερη.",
    "mr": "हे पहिले वाक्य आहे. हे दुसरे वाक्य आहे.",
    "ko": "이것은 첫 번째 문장입니다. 이것은 두 번째 문장입니다.",
    "none": "1 2 3",
    "quoting": "The proverb 「天」 has a mark。 It is quoted here. And here.",
}


def test_texts_that_end_sentences_otherwise_are_not_asked_and_stay_as_they_are() -> None:
    texts = [f"{text}\nmenu\n" for text in (*OTHERWISE.values(), *LIKE_ENGLISH.values())]
    done = C4Lines().rewrite(batch_of(texts))
    asked = done.numbers.column("c4_asked").to_pylist()
    assert asked == [0] * len(OTHERWISE) + [1] * len(LIKE_ENGLISH)
    assert done.texts.to_pylist()[: len(OTHERWISE)] == texts[: len(OTHERWISE)]
    assert C4Lines(terminal="any-script").measure(batch_of(texts)).column("c4_asked").to_pylist() == [1] * len(texts)
