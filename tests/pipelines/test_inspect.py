"""`corpusmill inspect`, as it is typed: what it says of folders, documents and sequences, and what it must not do."""

import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpusmill.dataproc.sequences.packing import pack
from corpusmill.dataproc.sequences.shards import ShardHeader, SpecialIds, segment_column, shard_name, write_shard
from corpusmill.pipelines.engine import state
from corpusmill.pipelines.inspect import coverage
from corpusmill.pipelines.inspect.coverage import coverage_problems
from corpusmill.pipelines.inspect.documents import draw_rows
from corpusmill.pipelines.inspect.places import recognise, run_stages
from corpusmill.pipelines.visible import one_line, visible
from tests.pipelines.inspecting import Command, command
from tests.pipelines.small_run import GOOD, add_shards, make_run, prose, write_manifest


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = make_run(tmp_path_factory.mktemp("inspect"))
    add_shards(run)
    return run


@pytest.fixture
def copied(made: Path, tmp_path: Path) -> Path:
    """A run that the test may damage."""
    shutil.copytree(made, tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture
def inspect(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return command(monkeypatch, capsys)


def test_stages_are_in_the_order_in_which_they_take_each_other(made: Path) -> None:
    assert [name for name, _ in run_stages(str(made))] == ["documents", "clean", "unique", "shards"]
    assert run_stages(str(made / "clean")) == [("clean", str(made / "clean"))]


@pytest.mark.parametrize(
    ("path", "what"),
    [
        ("", "run"),
        ("clean", "dataset"),
        ("clean/_rejected", "parquet files"),
        ("clean/part-00000.parquet", "parquet file"),
        ("shards", "shards"),
        ("shards/shard-00000.arrow", "shard"),
    ],
)
def test_a_path_is_recognised_and_described(made: Path, inspect: Command, path: str, what: str) -> None:
    assert recognise(str(made / path)).what == what
    code, out, _ = inspect(made / path)
    assert code == 0
    assert str(made / path) in out


def test_the_overview_has_settings_counts_and_parts(made: Path, inspect: Command) -> None:
    _, out, _ = inspect(made / "clean")
    assert "dataset made by filter" in out
    assert "gopher-quality" in out
    assert "part-00000.parquet" in out
    lines = {" ".join(line.split()) for line in out.splitlines()}
    assert {f"documents in {GOOD + 3}", "rejected 1"} <= lines


def test_the_overview_of_shards_has_policy_costs_and_groups(copied: Path, inspect: Command) -> None:
    _, plain, _ = inspect(copied / "shards")
    lines = {" ".join(line.split()) for line in plain.splitlines()}
    assert {"policy best-fit, 24 tokens in a sequence", "storage plain", "documents cut 0"} <= lines
    assert "all 2 sequences 41 tokens 1 shard" in lines
    path = copied / "shards/_manifest.json"
    manifest = state.read_json(str(path))
    stream = {"cut": 7, "cut_needlessly": 5, "lost_context": 0.25}
    manifest["facts"]["packing"] = {"fill": 0.9, "padding": 5, "cut": 2, "cut_needlessly": 0, "concat": stream}
    manifest["settings"]["storage"] = "packed"
    manifest["parts"][0]["group"] = "tests:0-24"
    path.write_bytes(state.to_json(manifest))
    _, grouped, _ = inspect(copied / "shards")
    lines = {" ".join(line.split()) for line in grouped.splitlines()}
    assert {
        "storage packed",
        "documents cut 2 by cutting one stream: 7",
        "cut needlessly 0 by cutting one stream: 5",
    } <= lines
    assert {"fill 90.0000%, 5 tokens of padding", "tests:0-24 2 sequences 41 tokens 1 shard"} <= lines


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["nowhere"], "no such file or folder"),
        (["show", ""], "this is a whole run; name one of its stages"),
        (["show", "clean", "--row", "999"], "no row 999"),
        (["show", "clean", "--id", "nobody"], "no document with this id"),
        (["show", "clean", "--row", "1", "--id", "good-1"], "a row and an id cannot both be given"),
        (["show", "clean", "--tokens"], "documents have no tokens"),
        (["show", "shards", "--row", "2"], "no sequence 2; sequences are 0 to 1"),
        (["why", "", "nobody"], "no stage of this run has seen a document with this id"),
        (["why", "clean", "nobody"], "this stage has not seen a document with this id"),
        (["verify", "clean/_rejected"], "has no manifest; verify the folder above it"),
    ],
)
def test_a_mistake_is_one_line(made: Path, inspect: Command, arguments: list[str], line: str) -> None:
    command = [argument for argument in arguments if argument in ("show", "why", "verify")]
    path, *rest = arguments[len(command) :]
    code, out, error = inspect(*command, made / path, *rest)
    assert code == 2
    assert not out
    assert line in error
    assert error.count("\n") == 1


def test_every_command_has_help_with_an_example(inspect: Command) -> None:
    for words in ([], ["show"], ["sample"], ["why"], ["verify"], ["trace"], ["sql"], ["diff"], ["lint"], ["serve"]):
        code, out, _ = inspect(*words, "--help")
        assert code == 0
        assert "Example: corpusmill inspect" in out


def test_a_document_is_found_by_row_and_by_id(made: Path, inspect: Command) -> None:
    _, by_id, _ = inspect("show", made / "documents", "--id", "good-5")
    assert prose(5) in by_id
    _, by_row, _ = inspect("show", made / "documents", "--row", "5")
    assert by_row == by_id


def test_a_document_cannot_drive_the_terminal(made: Path, inspect: Command) -> None:
    _, out, _ = inspect("show", made / "documents", "--id", "hostile<b>")
    assert "␛]0;owned␇" in out
    assert "\\u202etxt.exe" in out
    assert not {"\x1b", "\x07", "\u202e"} & set(out)
    _, sequence, _ = inspect("show", made / "shards", "--row", "0")
    assert "␛[2J" in sequence
    assert "\x1b" not in sequence


@given(st.text())
def test_visible_text_has_no_controls_and_loses_nothing(text: str) -> None:
    shown = visible(text)
    assert not [
        character
        for character in shown
        if (ord(character) < 32 and character not in "\n\t") or 0x7F <= ord(character) < 0xA0
    ]
    assert "\n" not in one_line(text)
    assert shown == "".join(visible(word) for word in text)
    assert all(visible(word) == word for word in text if word.isprintable())


def test_a_sequence_shows_its_segments_and_markers_apart_from_text_that_spells_them(
    made: Path, inspect: Command
) -> None:
    _, first, _ = inspect("show", made / "shards")
    assert "segment 0: good-2 (tests)" in first
    assert "\n<｜fim▁end｜>" in first, "spelled in the text, so not between ⟦ and ⟧"
    _, second, _ = inspect("show", made / "shards", "--row", "1")
    assert "segment 0: good-3 (tests), its tokens 0 to 13, fill in the middle" in second
    assert "⟦<｜fim▁begin｜>⟧pre⟦<｜fim▁hole｜>⟧suf⟦<｜fim▁end｜>⟧mid⟦<｜end｜>⟧" in second
    assert "segment 1: good-4" in second
    assert "padding, 5 tokens" in second
    assert inspect("show", made / "shards", "--id", "good-4")[1] == second
    _, tokens, _ = inspect("show", made / "shards", "--row", "1", "--tokens")
    assert "     112  'p'" in tokens
    assert "     258  ⟦<｜fim▁begin｜>⟧" in tokens


def test_a_sample_is_the_same_for_the_same_seed(made: Path, inspect: Command) -> None:
    one, two = (inspect("sample", made / "documents", "-n", 3, "--seed", seed)[1] for seed in (1, 2))
    assert one == inspect("sample", made / "documents", "-n", 3, "--seed", 1)[1]
    assert one != two
    assert one.count("more characters)") == 3


@given(st.integers(0, 50), st.integers(1, 60), st.integers(0, 5))
def test_a_sample_has_different_rows_and_as_many_as_there_are(total: int, count: int, seed: int) -> None:
    rows = draw_rows(total, count, seed)
    assert len(set(rows)) == len(rows) == min(total, count)
    assert all(0 <= row < total for row in rows)


def test_why_names_broken_rules_survivors_and_reasons(made: Path, inspect: Command) -> None:
    _, rejected, _ = inspect("why", made / "clean", "hostile<b>")
    assert rejected.startswith("hostile<b>: rejected")
    ledger = pq.read_table(made / "clean/_ledger").to_pylist()
    for row in ledger:
        assert f"{row['rule']}: {row['value']:.6g} is " in rejected
    assert "gopher-quality/words: " in rejected
    assert "below 50" in rejected
    _, kept, _ = inspect("why", made / "clean", "good-3")
    assert kept.startswith("good-3: kept")
    _, exact, _ = inspect("why", made / "unique", "twin")
    assert "exact duplicate of good-0 (the same text" in exact
    _, survivor, _ = inspect("why", made / "unique", "near")
    assert "survivor of 1 duplicates" in survivor, "the longer one stays"
    _, near, _ = inspect("why", made / "unique", "good-1")
    assert "minhash duplicate of near (similarity 0." in near
    (bad,) = pq.read_table(made / "documents/_quarantine").to_pylist()
    _, quarantined, _ = inspect("why", made / "documents", bad["id"])
    assert ": quarantined" in quarantined
    assert bad["reason"] in quarantined
    _, packed, _ = inspect("why", made / "shards", "good-3")
    assert "sequence 1: tokens 0 to 13, rearranged to fill in the middle" in packed


def test_a_whole_run_verifies(made: Path, inspect: Command) -> None:
    code, out, _ = inspect("verify", made)
    assert code == 0
    assert [line.split(":")[0] for line in out.splitlines()] == [
        "ok   documents",
        "ok   clean",
        "ok   unique",
        "ok   shards",
    ]
    assert inspect("verify", made / "clean/part-00000.parquet")[0] == 0


def damage(path: Path) -> None:
    """Turns one bit in the middle."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


@pytest.mark.parametrize(
    "name", ["clean/part-00000.parquet", "clean/_ledger/part-00000.parquet.side", "shards/shard-00000.arrow"]
)
def test_a_tampered_file_is_named(copied: Path, inspect: Command, name: str) -> None:
    damage(copied / name)
    code, out, _ = inspect("verify", copied)
    assert code == 1
    (bad,) = [line for line in out.splitlines() if line.startswith("BAD")]
    assert bad == f"BAD  {copied / name}: not the bytes that were written (the digest differs)"
    assert inspect("verify", copied / name)[0] == 1, "the file by itself is held against its folder's manifest"


def test_lost_files_strangers_and_broken_counts_are_named(copied: Path, inspect: Command) -> None:
    (copied / "clean/_statistics/part-00000.parquet.side").unlink()
    shutil.copy(copied / "clean/part-00000.parquet", copied / "clean/part-00099.parquet")
    manifest = state.read_json(str(copied / "unique/_manifest.json"))
    manifest["counts"]["duplicates"] -= 1
    (copied / "unique/_manifest.json").write_bytes(state.to_json(manifest))
    code, out, _ = inspect("verify", copied)
    assert code == 1
    assert "clean/_statistics/part-00000.parquet.side: not there" in out
    assert "clean/part-00099.parquet: not in the manifest" in out
    assert f"unique: {GOOD + 2} documents came in, but {GOOD + 1} are accounted for" in out
    assert "documents were duplicates and _duplicates/ has" in out
    assert "shards: its input unique was made again since" in out


def test_a_shard_whose_content_is_wrong_is_named_even_if_its_digest_is_right(copied: Path, inspect: Command) -> None:
    shard = copied / "shards/shard-00000.arrow"
    data = shard.read_bytes()
    token = (258).to_bytes(4, "little")
    assert data.count(token) == 1
    shard.write_bytes(data.replace(token, (9999).to_bytes(4, "little")))
    code, out, _ = inspect("verify", _without_manifest(copied, shard))
    assert code == 1
    assert "token ids outside the vocabulary: 1 (sequence 1)" in out


def _without_manifest(run: Path, shard: Path) -> Path:
    moved = run.parent / "elsewhere" / "alone"
    moved.mkdir(parents=True)
    shutil.copy(shard, moved)
    return moved / shard.name


# A shard set as plain lists, to be damaged and looked at as a whole.

EOS, PAD, BEGIN, HOLE, END, PLAIN = 90, 91, 92, 93, 94, 7
HEADER = ShardHeader(
    "f" * 32, 16, SpecialIds(eos=EOS, pad=PAD, fim_begin=BEGIN, fim_hole=HOLE, fim_end=END), 95, 128, seed=0
)


@dataclass
class Stretch:
    """A segment with its tokens."""

    document: str
    start: int
    tokens: list[int]
    fim: bool = False
    source: str = "web"


@dataclass
class PlainSet:
    """Rows of segments, by side: for training, held back. `cuts` are the rows at which shards begin."""

    kept: int
    rows: tuple[list[list[Stretch]], list[list[Stretch]]]
    cuts: tuple[int, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    header: ShardHeader = HEADER

    def write(self, folder: Path) -> Path:
        parts, files = [], []
        for side, entries in enumerate((parts, files)):
            rows = self.rows[side]
            edges = [0, *(cut for cut in self.cuts if 0 < cut < len(rows)), len(rows)] if rows else []
            for number, (first, last) in enumerate(pairwise(edges)):
                name = ("_validation/" if side else "") + shard_name(number)
                entries.append(self._write_shard(folder, name, rows[first:last]))
        counts = {"documents_in": self.kept, "kept": self.kept}
        write_manifest(
            folder, "pack", inputs={}, settings=self.settings, counts=counts, parts=parts, files=files, facts={}
        )
        return folder

    def _write_shard(self, folder: Path, name: str, rows: list[list[Stretch]]) -> dict[str, Any]:
        flat = [stretch for row in rows for stretch in row]
        segments = segment_column(
            np.cumsum([0, *map(len, rows)]),
            pa.array([stretch.document for stretch in flat], pa.string()),
            pa.array([stretch.source for stretch in flat], pa.string()),
            np.array([stretch.start for stretch in flat], np.int64),
            np.array([len(stretch.tokens) for stretch in flat], np.int32),
            np.array([stretch.fim for stretch in flat], bool),
        )
        tokens = np.full((len(rows), 16), PAD, np.int32)
        for place, row in enumerate(rows):
            row_tokens = [token for stretch in row for token in stretch.tokens]
            tokens[place, : len(row_tokens)] = row_tokens
        size, digest = write_shard(str(folder / name), self.header, tokens, segments)
        used = sum(len(stretch.tokens) for stretch in flat)
        entry = {"path": name, "rows": len(rows), "bytes": size, "digest": digest, "tokens": used}
        return entry | {"group": self.header.group}

    def problems(self) -> dict[str, int]:
        """Documents by kind of problem, as `coverage` finds them."""
        with tempfile.TemporaryDirectory() as folder:
            self.write(Path(folder))
            lines = coverage_problems(folder, state.read_json(f"{folder}/_manifest.json"))
        kinds = [line.partition(": ") for _, line in lines if ": " in line]
        return {kind: int(rest.partition(" ")[0].replace(",", "")) for kind, _, rest in kinds}


def packed_set(lengths: list[int], held_back: list[bool], policy: str, storage: str = "plain") -> PlainSet:
    """Documents packed by the real packer; every third that is long enough is rearranged."""
    rows: tuple[list[list[Stretch]], list[list[Stretch]]] = ([], [])
    for side in (0, 1):
        chosen = np.flatnonzero(np.array(held_back, bool) == bool(side))
        placed = pack(np.array(lengths, np.int64), 16, policy, chosen)
        rows[side].extend([] for _ in range(placed.sequences))
        for sequence, document, start, length in zip(*placed[:1], *placed[2:5], strict=True):
            size = lengths[document]
            fim = document % 3 == 0 and size >= 8
            tokens = [PLAIN] * (size - 1) + [EOS]
            if fim:
                tokens[0], tokens[2], tokens[size - 3] = BEGIN, HOLE, END
            stretch = Stretch(f"d{document}", int(start), tokens[start : start + length], bool(fim))
            rows[side][sequence].append(stretch)
    return PlainSet(len(lengths), rows, header=replace(HEADER, storage=storage))


def expected_problems(damaged: PlainSet) -> dict[str, int]:
    """The same by a look at each document on its own."""
    stretches: dict[str, list[tuple[int, Stretch]]] = {}
    for side in (0, 1):
        for row in damaged.rows[side]:
            for stretch in row:
                stretches.setdefault(stretch.document, []).append((side, stretch))
    kinds: dict[str, int] = {}
    for pieces in stretches.values():
        kind = _kind(sorted({side for side, _ in pieces}), [stretch for _, stretch in pieces])
        if kind:
            kinds[kind] = kinds.get(kind, 0) + 1
    return kinds


def _kind(sides: list[int], pieces: list[Stretch]) -> str:
    pieces = sorted(pieces, key=lambda stretch: stretch.start)
    pairs = list(pairwise(pieces))
    ends = [piece.tokens[-1] == EOS for piece in pieces]
    if len(sides) > 1:
        return coverage.BOTH_SIDES
    if any(one.start == two.start for one, two in pairs):
        return "documents some of whose tokens occur twice"
    if pieces[0].start:
        return "documents without their beginning"
    if any(two.start > one.start + len(one.tokens) for one, two in pairs):
        return "documents with a gap"
    if any(two.start < one.start + len(one.tokens) for one, two in pairs):
        return "documents with segments that overlap"
    if not ends[-1]:
        return "documents without their end"
    if any(ends[:-1]):
        return "documents that go on after their end"
    # Inside a segment `verify_shard` looks at how often and in which order they stand.
    markers = [token for piece in pieces for token in sorted({BEGIN, HOLE, END} & set(piece.tokens))]
    fim = {piece.fim for piece in pieces}
    balanced = fim == {False} or (fim == {True} and markers == [BEGIN, HOLE, END])
    return "" if balanced or len(pieces) == 1 else "documents with unbalanced FIM tokens"


SETS = st.builds(
    lambda documents, *how: packed_set([document for document, _ in documents], [side for _, side in documents], *how),
    st.lists(st.tuples(st.integers(1, 40), st.booleans()), min_size=1, max_size=12),
    st.sampled_from(["best-fit", "concat", "none"]),
    st.sampled_from(["plain", "packed", "zstd"]),
)


@given(SETS)
def test_a_packed_set_has_every_document_once(packed: PlainSet) -> None:
    assert packed.problems() == {}


@given(SETS, st.data())
def test_damage_is_found_as_a_look_at_each_document_finds_it(packed: PlainSet, data: st.DataObject) -> None:
    for _ in range(data.draw(st.integers(1, 3))):
        side = data.draw(st.sampled_from([side for side in (0, 1) if packed.rows[side]]))
        rows = packed.rows[side]
        row = data.draw(st.integers(0, len(rows) - 1))
        damage = data.draw(st.sampled_from(["shift", "copy", "move", "token", "flag"]))
        stretch = data.draw(st.sampled_from(rows[row]))
        if damage == "shift":
            stretch.start = max(0, stretch.start + data.draw(st.integers(-3, 3)))
        elif damage == "copy":
            rows.append([replace(stretch, tokens=list(stretch.tokens)) for stretch in rows[row]])
        elif damage == "move" and len(rows) > 1:
            packed.rows[1 - side].append(rows.pop(row))
        elif damage == "token":
            at = data.draw(st.sampled_from([0, len(stretch.tokens) - 1]))
            stretch.tokens[at] = data.draw(st.sampled_from([PLAIN, EOS, HOLE]))
        elif damage == "flag":
            stretch.fim = not stretch.fim
    whole, most = packed.problems(), coverage.MOST_SEGMENTS
    assert whole == expected_problems(packed)
    try:
        coverage.MOST_SEGMENTS = 3
        assert packed.problems() == whole, "in several passes as in one"
    finally:
        coverage.MOST_SEGMENTS = most


def fixed_set() -> PlainSet:
    """Three documents; the second one is cut: 16 tokens of it in one row and 4 in another."""
    text = [PLAIN] * 19 + [EOS]
    first = [Stretch("a", 0, [PLAIN, EOS]), Stretch("b", 16, text[16:])]
    return PlainSet(3, ([[Stretch("b", 0, text[:16])], first], [[Stretch("c", 0, [PLAIN, EOS])]]))


def _shifted(packed: PlainSet) -> None:
    packed.rows[0][1][1].start = 15


def _twice(packed: PlainSet) -> None:
    packed.rows[0][1].append(Stretch("a", 0, [PLAIN, EOS]))


def _missing(packed: PlainSet) -> None:
    del packed.rows[0][1][0]


def _on_both_sides(packed: PlainSet) -> None:
    packed.rows[1][0].append(packed.rows[0][1].pop())


def _cut_off(packed: PlainSet) -> None:
    packed.rows[0][1][0].tokens[1] = PLAIN


@pytest.mark.parametrize(
    ("damage", "line"),
    [
        (_shifted, "documents with segments that overlap: 1 (b in shard-00000.arrow row 0)"),
        (_twice, "documents some of whose tokens occur twice: 1 (a in shard-00000.arrow row 1)"),
        (_missing, "3 documents were kept, but 2 are in the shards"),
        (_on_both_sides, f"{coverage.BOTH_SIDES}: 1 (b in shard-00000.arrow row 0)"),
        (_cut_off, "documents without their end: 1 (a in shard-00000.arrow row 1)"),
    ],
)
def test_what_is_wrong_with_a_set_is_named(
    tmp_path: Path, inspect: Command, damage: Callable[[PlainSet], None], line: str
) -> None:
    packed = fixed_set()
    assert inspect("verify", packed.write(tmp_path / "whole"))[0] == 0
    damage(packed)
    folder = packed.write(tmp_path / "damaged")
    code, out, _ = inspect("verify", folder)
    assert (code, out) == (1, f"BAD  {folder}: {line}\n")


def test_documents_packed_without_their_ends_lack_none_and_may_be_empty(tmp_path: Path) -> None:
    rows = [[Stretch("a", 0, [PLAIN])]]
    assert PlainSet(1, (rows, [])).problems() == {"documents without their end": 1}
    for settings in ({"eos": False}, {"append_eos": False}):
        folder = PlainSet(2, (rows, []), settings=settings).write(tmp_path / str(settings))
        assert coverage_problems(str(folder), state.read_json(str(folder / "_manifest.json"))) == []


def test_many_bad_documents_are_counted_and_a_few_are_named(tmp_path: Path) -> None:
    rows = [[Stretch(f"d{number}", 1, [PLAIN, EOS])] for number in range(5)]
    folder = PlainSet(5, (rows, []), cuts=(2, 4)).write(tmp_path)
    ((_, line),) = coverage_problems(str(folder), state.read_json(str(folder / "_manifest.json")))
    named = "d0 in shard-00000.arrow row 0, d1 in shard-00000.arrow row 1, d2 in shard-00001.arrow row 0, …"
    assert line == f"documents without their beginning: 5 ({named})"


def test_shards_are_held_against_their_group_their_tokens_and_each_other(tmp_path: Path) -> None:
    grouped = replace(HEADER, group="web:0-16")
    settings = {"group_by": "source", "length_buckets": [16]}
    rows = [[Stretch(f"d{number}", 0, [EOS])] for number in range(6)]
    rows[3][0].source = "code"
    folder = PlainSet(6, (rows, []), (2, 5), settings, grouped).write(tmp_path)
    manifest = state.read_json(str(folder / "_manifest.json"))
    manifest["parts"][0] |= {"tokens": 3, "group": "web:17-"}
    assert coverage_problems(str(folder), manifest) == [
        (f"{folder}/shard-00000.arrow", "its segments have 2 tokens, but the manifest says 3"),
        (f"{folder}/shard-00000.arrow", "it is of group 'web:0-16', but the manifest says 'web:17-'"),
        (f"{folder}/shard-00001.arrow", "segments of other sources than its group's web: 1 (d3, …)"),
    ]


def test_only_the_last_shard_of_a_group_may_be_smaller(tmp_path: Path) -> None:
    def lines(*cuts: int) -> list[str]:
        rows = [[Stretch(f"d{number}", 0, [EOS])] for number in range(9)]
        folder = PlainSet(9, (rows, []), cuts).write(tmp_path / str(cuts))
        return [line for _, line in coverage_problems(str(folder), state.read_json(str(folder / "_manifest.json")))]

    assert lines(4, 8) == lines(3, 6) == lines() == []
    assert lines(2, 5) == ["shards of different sizes: 2, 3 sequences"]
    assert lines(4) == ["shard-00001.arrow has 5 sequences, and the shards before it 4"]


def test_verify_says_as_json_what_it_says_in_words(copied: Path, inspect: Command) -> None:
    code, out, _ = inspect("verify", copied / "clean", "--json")
    (line,) = map(json.loads, out.splitlines())
    assert (code, line["path"], line["problems"]) == (0, str(copied / "clean"), [])
    assert line["files"] > 1
    part = copied / "clean/part-00000.parquet"
    part.write_bytes(part.read_bytes()[:-1])
    code, out, _ = inspect("verify", copied / "clean", "--json")
    (line,) = map(json.loads, out.splitlines())
    assert code == 1
    assert any(problem["path"].endswith("part-00000.parquet") for problem in line["problems"])
