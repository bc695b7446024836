"""Masking personal data: what the scan of bytes finds is held against checks at every byte; the rest are laws."""

import re
import sys
from importlib import import_module

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.kernels.buffers import text_buffers
from corpusmill.dataproc.rewriting.pii.addresses import find_address
from corpusmill.dataproc.rewriting.pii.emails import AT_SIGNS, find_email
from corpusmill.dataproc.rewriting.pii.keys import find_block, find_secret, find_token
from corpusmill.dataproc.rewriting.pii.phones import find_phone
from corpusmill.dataproc.rewriting.pii.rewriter import KINDS, PLACEHOLDERS, TAGS, PersonalData
from corpusmill.dataproc.rewriting.pii.scan import TOKEN_MARKS, find_candidates
from corpusmill.dataproc.rewriting.pii.window import Window

KEY = "Zq7Rt2Lm9Xw4Kp8Vb3Nc6Hd1"
PIECES = (
    "a", " ", "\n", "@", ".", "anna.lind@mail.uni-bonn.de", "x@y.org", "@b.com", "91.198.174.192", "10.0.0.1",
    "1.2.3.4",
    ".5", "2620:0:861:ed1a::1", "2024:", "::", "+49 30 1234567", "(555) 234-5678", "Tel: ", "call ",
    "030 1234567", "-",
    "555-234-5678", "1-", "+", "(", "12", "电话", "ghp_", "ghp_" + KEY + KEY[:12], "AKIA",
    "AKIAQ7RT2LMXW4KPVBNC", "sk-",
    "api_key = ", "password: '", KEY, "'", "-----BEGIN PRIVATE KEY-----\n", KEY + "\n", "-----END PRIVATE KEY-----",
    "é", "_", "公", "рф", "%40", "&#64;", "＠", "&commat;", "&#x0040", ";", ".公司", "this", "=20", "\\n", "=",
    ":", "eyJhbGciOiJIUzI1.eyJzdWIiOiIxMjM0.Qw7Er5Ty2Ui9Op4A", "version ",
)  # fmt: skip
TEXTS = st.lists(st.sampled_from(PIECES) | st.text(max_size=2), max_size=16).map("".join)


def slow_mask(text: str) -> tuple[str, list[int]]:
    """The masked text and how many of each kind, by a check of each kind at each byte that it may begin at."""
    data, masked, reached, counts = text.encode(), b"", 0, dict.fromkeys(KINDS, 0)
    word = re.compile(rb"[0-9A-Za-z_]")
    for at in range(len(data)):
        if at < reached:
            continue
        here, before = data[at : at + 1], data[at - 1 : at] if at else b""
        left = (masked + data[reached:at])[-96:]
        window = Window(left + data[at : at + 4096], len(left))
        starts_word = not word.match(before)
        tried = []
        if AT_SIGNS.match(data, at):
            tried.append((find_email, "email"))
        if here == b":" or (here.isdigit() and starts_word and not re.search(rb"\d\.$", data[:at])):
            tried.append((find_address, "ip"))
        if here.isdigit() and starts_word:
            tried.append((find_phone, "phone"))
        if starts_word:
            tried.append((find_token, "key"))
        if re.search(rb"[=:][ \"'=>]{0,4}$", data[:at]):
            tried.append((find_secret, "key"))
        spans = [(check(window), kind) for check, kind in tried]
        spans = [((span[0] + at - len(left), span[1] + at - len(left)), kind) for span, kind in spans if span]
        if here == b"-" and (span := find_block(memoryview(data), at)):
            spans.append((span, "key"))
        for (start, end), kind in spans:
            if start >= reached:
                masked += data[reached:start] + TAGS[kind][0].encode()
                counts[kind] += 1
                reached = end
    return (masked + data[reached:]).decode(), list(counts.values())


def batch_of(texts: list[str], kind: str = "web") -> pa.RecordBatch:
    return pa.record_batch(
        {"text": pa.array(texts, pa.large_string()), "kind": pa.array([kind] * len(texts), pa.string())}
    )


def rows(numbers: pa.RecordBatch) -> list[list[int]]:
    return [list(row.values()) for row in numbers.to_pylist()]


@settings(deadline=None, max_examples=300)
@given(st.lists(TEXTS, max_size=4))
@example(["a'@b.com", "'root'@b.com", "a%@b.com", "a.@b.com", "o'neil@b.com", "a_@b.com", "a+@b.com", "a-@b.com"])
@example(["secret key 2024:AKIAQ7RT2LMXW4KPVBNCa"])  # a colon of an address, by its digits, and of a secret
def test_what_is_masked_is_what_the_checks_find_at_any_byte(texts):
    rewritten = PersonalData().rewrite(batch_of(texts))
    expected = [slow_mask(text) for text in texts]
    assert rewritten.texts.to_pylist() == [text for text, _ in expected]
    assert rows(rewritten.numbers) == [numbers for _, numbers in expected]
    rewritten.texts.validate(full=True)


@settings(deadline=None, max_examples=200)
@given(TEXTS, st.sampled_from(["tags", "placeholders"]))
def test_rewriting_twice_is_rewriting_once(text, style):
    once = PersonalData(style=style).rewrite(batch_of([text])).texts
    twice = PersonalData(style=style).rewrite(pa.record_batch({"text": once, "kind": ["web"]}))
    assert twice.texts == once
    assert rows(twice.numbers) == [[0, 0, 0, 0]]


def test_all_kinds_are_masked_and_what_surrounds_them_stays():
    text = f"Ann <ann@mail.org> (555) 234-5678 from 91.198.174.192, api_key={KEY}!\nNext line.\n"
    rewritten = PersonalData().rewrite(batch_of([text]))
    assert rewritten.texts.to_pylist() == ["Ann <<EMAIL>> <PHONE> from <IP_ADDRESS>, api_key=<KEY>!\nNext line.\n"]
    assert rows(rewritten.numbers) == [[1, 1, 1, 1]]


def test_a_batch_in_which_nothing_is_found_comes_back_as_it_is():
    batch = batch_of(["Version 1.2.3 of 2024-11-24 at 10:20, see icon@2x.png.", ""])
    rewritten = PersonalData().rewrite(batch)
    assert rewritten.texts.buffers()[2].address == batch.column("text").buffers()[2].address
    assert PersonalData().measure(batch) == rewritten.numbers


def test_only_the_kinds_asked_for_are_masked():
    text = "ann@mail.org and 91.198.174.192"
    assert PersonalData(kinds=["ip"]).rewrite(batch_of([text])).texts.to_pylist() == ["ann@mail.org and <IP_ADDRESS>"]


def test_the_same_address_becomes_the_same_placeholder_everywhere():
    names = [f"person{number}@mail.org" for number in range(40)]
    masked = PersonalData(style="placeholders").rewrite(batch_of(names)).texts.to_pylist()
    assert set(masked) == set(PLACEHOLDERS["email"])
    again = PersonalData(style="placeholders").rewrite(batch_of([", ".join(names[::-1])])).texts.to_pylist()
    assert again == [", ".join(masked[::-1])]


def test_replacements_of_ones_own_come_before_those_of_the_style():
    rewriter = PersonalData(replacements={"email": ["[mail]"]})
    assert rewriter.rewrite(batch_of(["ann@mail.org 91.198.174.192"])).texts.to_pylist() == ["[mail] <IP_ADDRESS>"]


def test_kinds_of_documents_can_be_left_alone():
    rewritten = PersonalData(not_kinds=["code"]).rewrite(batch_of(["ann@mail.org"], "code"))
    assert rewritten.texts.to_pylist() == ["ann@mail.org"] and rows(rewritten.numbers) == [[0, 0, 0, 0]]


def test_a_slice_of_a_batch_is_rewritten_from_its_own_first_byte():
    batch = batch_of(["first@mail.org", "a second@mail.org b", "third@mail.org"]).slice(1, 1)
    assert PersonalData().rewrite(batch).texts.to_pylist() == ["a <EMAIL> b"]


def test_nothing_is_read_from_the_text_before():
    assert rows(PersonalData().measure(batch_of(["Tel: ", "030 1234567", "ann", "@mail.org"]))) == [[0, 0, 0, 0]] * 4


@settings(deadline=None)
@given(st.lists(st.sampled_from([b"@b.com", b"a", b"\xff", b"\xc3", b"\xa9", b"\xe4\xb8", b"+49 30 1234567", b"\n"])))
def test_bytes_that_are_no_utf8_are_copied_as_they_are(pieces):
    data = b"".join(pieces)
    raw = pa.array([data], pa.large_binary())
    texts = pa.LargeStringArray.from_buffers(1, raw.buffers()[1], raw.buffers()[2])
    masked = PersonalData().rewrite(pa.record_batch({"text": texts, "kind": ["web"]})).texts
    (left,) = masked.cast(pa.large_binary()).to_pylist()
    assert re.sub(rb"<EMAIL>|<PHONE>", b"", left).count(b"\xff") == data.count(b"\xff")
    assert left.count(b"\n") == data.count(b"\n")


def patterns() -> list[re.Pattern[bytes] | re.Pattern[str]]:
    names = ("emails", "domains", "code", "addresses", "versions", "phones", "keys")
    modules = [import_module(f"corpusmill.dataproc.rewriting.pii.{name}") for name in names]
    return [value for module in modules for value in vars(module).values() if isinstance(value, re.Pattern)]


def test_no_expression_repeats_anything_without_a_bound():
    parser = sys.modules["re._parser"]

    def unbounded(parsed) -> bool:
        if isinstance(parsed, parser.SubPattern):
            return any(unbounded(item) for item in parsed)
        if isinstance(parsed, tuple):
            if len(parsed) == 3 and isinstance(parsed[1], int) and parsed[1] == parser.MAXREPEAT:
                return True
            return any(unbounded(item) for item in parsed)
        return isinstance(parsed, list) and any(unbounded(item) for item in parsed)

    assert unbounded(parser.parse("a+")) and not unbounded(parser.parse("(?:a{1,9}b?){2}"))
    assert len(patterns()) > 10
    assert not [pattern.pattern for pattern in patterns() if unbounded(parser.parse(pattern.pattern))]


@pytest.mark.parametrize(
    "unit",
    ["a@", "a@b.", "1.", "1.2.3.4", "555-", "+1 ", "tel 1 ", "2001:", ":", "-----BEGIN ", "key=", "eyJ.",
     "sk-a", "AKI", "@@", "%40", "&#64;a", "&c;", "＠a", "é@",
     "-----BEGIN PRIVATE KEY-----\n", "password=a1", "1234567 ", "a.b@c.com@"],
)  # fmt: skip
def test_hostile_texts_have_candidates_in_proportion_to_their_bytes(unit):
    text = unit * 20_000
    offsets, data = text_buffers(pa.array([text], pa.large_string()))
    columns = np.empty((3, len(text)), np.int64)
    count, *_ = find_candidates(offsets, data, np.int64(0), np.int64(0), *columns)
    assert count <= len(text) and (np.diff(columns[1, :count]) > 0).all()
    assert PersonalData().rewrite(batch_of([text[:20_000]])).texts.null_count == 0


def test_a_scan_goes_on_where_there_was_no_more_room():
    texts = pa.array(["a@b.com " * 5, "", "Tel 030 1234567", "x@y.org"], pa.large_string())
    offsets, data = text_buffers(texts)
    least, all_columns = np.empty((3, 2), np.int64), np.empty((3, 99), np.int64)
    count, *_ = find_candidates(offsets, data, np.int64(0), np.int64(0), *all_columns)
    columns, document, position = [], np.int64(0), np.int64(0)
    while document < len(texts):
        some, document, position = map(np.int64, find_candidates(offsets, data, document, position, *least))
        columns += least[:, :some].T.tolist()
    assert columns == all_columns[:, :count].T.tolist() and count == 8
    assert rows(PersonalData().measure(batch_of(["a@b.com " * 5_000]))) == [[5_000, 0, 0, 0]]


def test_marks_of_tokens_end_in_a_byte_that_the_scan_stops_at():
    assert {mark[-1] for mark in TOKEN_MARKS} <= set("IzJ_-")


def test_settings_are_checked_before_anything_runs():
    with pytest.raises(UserError, match="pii-mask, setting 'kinds': unknown kind 'name'; use some of email, ip"):
        PersonalData(kinds=["name"])
    with pytest.raises(UserError, match="setting 'style': 'mask' is not one of the choices"):
        PersonalData(style="mask")
    with pytest.raises(UserError, match="'email': the replacement is missing"):
        PersonalData(replacements={"email": []})
    with pytest.raises(UserError, match="setting 'replacements': unknown kind 'name'"):
        PersonalData(replacements={"name": ["x"]})
