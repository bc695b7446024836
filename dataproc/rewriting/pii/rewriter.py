"""Personal data and secrets masked in the text: addresses of mail, public IP addresses, telephones, keys and tokens.

A pass over the bytes finds candidates (`pii_scan`), each is checked within some hundred bytes around it (`pii_emails`,
`pii_addresses`, `pii_phones`, `pii_keys`, which say what counts), and what is left is replaced. So a text without
candidates costs one pass at 0.6 to 1.1 GB/s, and comes back as it is.

What it is replaced by is a tag for each kind (`<EMAIL>`, as StarCoder has it), a placeholder that could be real (as
FineWeb has it), or strings of the user's. Of several strings, which one it is depends on what is replaced: the same
address becomes the same string in all documents, in whatever order they come.

Rewriting twice is rewriting once: what equals a replacement is left alone, and our tags are nothing that is looked
for.

Memory: a copy of the batch's text where there are findings, and 70 bytes a finding; candidates are checked some
thousands at a time. Cost: see `benchmarks/rewriting.py`, which also lists what is found, to be looked at.
"""

from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import ClassVar, Literal, NamedTuple

import numpy as np
import pyarrow as pa
import xxhash

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.kernels.buffers import text_buffers
from corpusmill.dataproc.measures.columns import Column, Rewritten
from corpusmill.dataproc.rewriting.pii.addresses import find_address
from corpusmill.dataproc.rewriting.pii.emails import find_email
from corpusmill.dataproc.rewriting.pii.keys import find_block, find_secret, find_token
from corpusmill.dataproc.rewriting.pii.phones import find_phone
from corpusmill.dataproc.rewriting.pii.window import (
    ADDRESS,
    BEFORE,
    BEHIND,
    BLOCK,
    EMAIL,
    PHONE,
    SECRET,
    TOKEN,
    Span,
    Window,
)
from corpusmill.dataproc.rewriting.texts import check_settings, number_rows, spared_rows, text_array

KINDS = ("email", "ip", "phone", "key")

TAGS = {"email": ("<EMAIL>",), "ip": ("<IP_ADDRESS>",), "phone": ("<PHONE>",), "key": ("<KEY>",)}
PLACEHOLDERS = {
    "email": ("email@example.com", "firstname.lastname@example.org"),
    "ip": (
        "22.214.171.124",
        "126.96.36.199",
        "188.8.131.52",
        "184.108.40.206",
        "220.127.116.11",
        "18.104.22.168",
    ),
    "phone": ("+1-202-555-0123", "+1-202-555-0187"),
    "key": ("<KEY>",),
}
"""Those of datatrove for mail and IP, which belong to nobody or did not answer; numbers reserved for examples."""

_CHECKS: dict[int, tuple[tuple[str, Callable[[Window], Span | None]], ...]] = {
    EMAIL: (("email", find_email),),
    ADDRESS: (("ip", find_address), ("phone", find_phone)),
    PHONE: (("phone", find_phone),),
    TOKEN: (("key", find_token),),
    SECRET: (("key", find_secret),),
}
_ROOM = 1 << 12
"""Candidates in memory at once."""

_LONG_TOKEN = 4096
"""Bytes behind the start of a token that are looked at: a JSON Web Token may be long."""


class Findings(NamedTuple):
    """Findings in a batch of texts: arrays of shape (F,), sorted by place, none overlapping.

    Attributes:
        rows: int64, row of the text.
        starts, ends: int64, bytes of the batch's array of bytes.
        kinds: int64, place in `KINDS`.
    """

    rows: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    kinds: np.ndarray


@dataclass(frozen=True, kw_only=True)
class PersonalData:
    """Masks personal data.

    Attributes:
        kinds: what is looked for, of "email", "ip", "phone", "key"; the numbers of the others are 0.
        style: what it becomes: "tags" like <EMAIL>, or "placeholders" like email@example.com.
        replacements: strings of one's own by kind, before those of the style.
        not_kinds: kinds of documents that keep their text; all their numbers are 0.
    """

    name: ClassVar[str] = "pii-mask"
    source: ClassVar[str] = (
        "Penedo et al. 2024 (FineWeb), appendix on PII, datatrove PIIFormatter; Li et al. 2023 (StarCoder), section 4"
    )
    COLUMNS: ClassVar[tuple[Column, ...]] = (
        Column("pii_email_count", "addresses", "addresses of mail, but those reserved for examples", whole=True),
        Column("pii_ip_count", "addresses", "public IPv4 and IPv6 addresses", whole=True),
        Column("pii_phone_count", "numbers", "numbers of telephones", whole=True),
        Column("pii_key_count", "keys", "keys, tokens and assigned secrets", whole=True),
    )

    kinds: tuple[str, ...] = KINDS
    style: Literal["tags", "placeholders"] = "tags"
    replacements: dict[str, tuple[str, ...]] = field(default_factory=dict)
    not_kinds: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_settings(self)
        for place, named in (("kinds", self.kinds), ("replacements", tuple(self.replacements))):
            for kind in named:
                if kind not in KINDS:
                    where = f"{self.name}, setting '{place}'"
                    raise UserError(f"unknown kind '{kind}'", where, f"use some of {', '.join(KINDS)}")
        for kind, strings in self.replacements.items():
            if not strings:
                raise UserError("the replacement is missing", f"{self.name}, '{kind}'", "set a string, or omit it")

    @property
    def columns(self) -> tuple[Column, ...]:
        return self.COLUMNS

    def measure(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """How many of each kind are in each text."""
        return self._numbers(batch, self.find(batch))

    def rewrite(self, batch: pa.RecordBatch) -> Rewritten:
        """The texts with all findings replaced; the texts themselves if a batch has none."""
        findings = self.find(batch)
        texts = self._replaced(batch.column("text"), findings) if len(findings.rows) else batch.column("text")
        return Rewritten(texts, self._numbers(batch, findings))

    def find(self, batch: pa.RecordBatch) -> Findings:
        """All findings in the texts of a batch."""
        offsets, data = text_buffers(batch.column("text"))
        spared = spared_rows(batch, self.not_kinds)
        view = memoryview(data.data)
        known = {string.encode() for strings in self._strings().values() for string in strings}
        flat = array("q")  # rows of `Findings`
        rewritten, reached, last_row = b"", 0, -1  # what the text's last finding became, and where it ends
        for row, place, kind in _candidates(offsets, data):
            begin, stop = int(offsets[row]), int(offsets[row + 1])
            if row != last_row:
                rewritten, reached, last_row = b"", begin, row
            if place < reached or spared[row]:
                continue
            before = (rewritten + bytes(view[max(reached, place - BEFORE) : place]))[-BEFORE:]
            for name, start, end in _checked(view[begin:stop], place - begin, kind, before):
                start, end = start + begin, end + begin
                if name in self.kinds and start >= reached and bytes(view[start:end]) not in known:
                    flat.extend((row, start, end, KINDS.index(name)))
                    rewritten = (rewritten + bytes(view[max(reached, start - BEFORE) : start]))[-BEFORE:]
                    rewritten += self._replacement(name, view[start:end])
                    reached = end
                    break
        return Findings(*np.array(flat, np.int64).reshape(-1, 4).T)

    def _strings(self) -> dict[str, tuple[str, ...]]:
        return (TAGS if self.style == "tags" else PLACEHOLDERS) | self.replacements

    def _replacement(self, kind: str, value: memoryview) -> bytes:
        choices = self._strings()[kind]
        return choices[xxhash.xxh3_64_intdigest(value) % len(choices)].encode()

    def _replaced(self, texts: pa.Array, findings: Findings) -> pa.Array:
        offsets, data = text_buffers(texts)
        view, out = memoryview(data.data), bytearray()
        grown = np.zeros(len(findings.rows), np.int64)
        place = int(offsets[0])
        for number in range(len(findings.rows)):
            start, end = int(findings.starts[number]), int(findings.ends[number])
            replacement = self._replacement(KINDS[findings.kinds[number]], view[start:end])
            out += view[place:start]
            out += replacement
            grown[number] = len(replacement) - (end - start)
            place = end
        out += view[place : int(offsets[-1])]
        bounds = offsets - offsets[0]
        bounds[1:] += np.cumsum(np.bincount(findings.rows, grown, minlength=len(texts)).astype(np.int64))
        return text_array(bounds, np.frombuffer(out, np.uint8))

    def _numbers(self, batch: pa.RecordBatch, findings: Findings) -> pa.RecordBatch:
        counts = [
            np.bincount(findings.rows[findings.kinds == kind], minlength=batch.num_rows) for kind in range(len(KINDS))
        ]
        return number_rows(self.COLUMNS, counts)


def _candidates(offsets: np.ndarray, data: np.ndarray) -> Iterator[tuple[int, int, int]]:
    """(row, byte, kind) of each candidate, in order."""
    from corpusmill.dataproc.rewriting.pii.scan import find_candidates

    columns = np.empty((3, _ROOM), np.int64)
    document, position = np.int64(0), np.int64(0)
    while document < len(offsets) - 1:
        count, document, position = map(np.int64, find_candidates(offsets, data, document, position, *columns))
        yield from zip(*columns[:, :count].tolist(), strict=True)


def _checked(text: memoryview, at: int, kind: int, before: bytes) -> Iterator[tuple[str, int, int]]:
    """(name of the kind, start, end) of what a candidate at byte `at` of the text may be, `before` being before it."""
    if kind == BLOCK:
        span = find_block(text, at)
        if span:
            yield "key", *span
        return
    window = Window(before + bytes(text[at : at + (_LONG_TOKEN if kind == TOKEN else BEHIND)]), len(before))
    for name, find in _CHECKS[kind]:
        span = find(window)
        if span:
            yield name, span[0] + at - window.at, span[1] + at - window.at
