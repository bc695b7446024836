"""`corpusmill inspect`, as it is typed: what it says of folders, documents and sequences, and what it must not do."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.cli.main import main
from pipelines.engine import state
from pipelines.inspect.documents import draw_rows
from pipelines.inspect.places import recognise, run_stages
from pipelines.inspect.visible import one_line, visible
from tests.pipelines.small_run import GOOD, add_shards, make_run, prose

Command = Callable[..., tuple[int, str, str]]


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
    """Runs `corpusmill inspect …`; gives (exit code, stdout, stderr)."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["corpusmill", "inspect", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        code = ended.value.code
        return (code if isinstance(code, int) else 0, *capsys.readouterr())

    return run


def test_stages_are_in_the_order_in_which_they_take_each_other(made: Path) -> None:
    assert [name for name, _ in run_stages(str(made))] == ["documents", "clean", "unique", "shards"]
    assert run_stages(str(made / "clean")) == [("clean", str(made / "clean"))]


@pytest.mark.parametrize(
    ("path", "what"),
    [
        ("", "run"),
        ("clean", "dataset"),
        ("clean/rejected", "parquet files"),
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


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["nowhere"], "no such file or folder"),
        (["show", ""], "this is a whole run; name one of its stages"),
        (["show", "clean", "--row", "999"], "no row 999"),
        (["show", "clean", "--id", "nobody"], "no document with this id"),
        (["show", "clean", "--row", "1", "--id", "good-1"], "a row and an id were both given"),
        (["show", "clean", "--tokens"], "documents have no tokens yet"),
        (["show", "shards", "--row", "2"], "no sequence 2; sequences are 0 to 1"),
        (["why", "", "good-1"], "this is a whole run"),
        (["why", "clean", "nobody"], "no such document came in here"),
        (["verify", "clean/rejected"], "has no manifest; verify the folder above it"),
    ],
)
def test_a_mistake_is_one_line(made: Path, inspect: Command, arguments: list[str], line: str) -> None:
    command = [each for each in arguments if each in ("show", "why", "verify")]
    path, *rest = arguments[len(command) :]
    code, out, error = inspect(*command, made / path, *rest)
    assert code == 2
    assert not out
    assert line in error
    assert error.count("\n") == 1


def test_every_command_has_help_with_an_example(inspect: Command) -> None:
    for command in ([], ["show"], ["sample"], ["why"], ["verify"]):
        code, out, _ = inspect(*command, "--help")
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
    assert not [each for each in shown if (ord(each) < 32 and each not in "\n\t") or 0x7F <= ord(each) < 0xA0]
    assert "\n" not in one_line(text)
    assert shown == "".join(visible(each) for each in text)
    assert all(visible(each) == each for each in text if each.isprintable())


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
    ledger = pq.read_table(made / "clean/ledger").to_pylist()
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
    (bad,) = pq.read_table(made / "documents/quarantine").to_pylist()
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
    "name", ["clean/part-00000.parquet", "clean/ledger/part-00000.parquet", "shards/shard-00000.arrow"]
)
def test_a_tampered_file_is_named(copied: Path, inspect: Command, name: str) -> None:
    damage(copied / name)
    code, out, _ = inspect("verify", copied)
    assert code == 1
    (bad,) = [line for line in out.splitlines() if line.startswith("BAD")]
    assert bad == f"BAD  {copied / name}: not the bytes that were written (the digest differs)"
    assert inspect("verify", copied / name)[0] == 1, "the file by itself is held against its folder's manifest"


def test_lost_files_strangers_and_broken_counts_are_named(copied: Path, inspect: Command) -> None:
    (copied / "clean/statistics/part-00000.parquet").unlink()
    shutil.copy(copied / "clean/part-00000.parquet", copied / "clean/part-00099.parquet")
    manifest = state.read_json(str(copied / "unique/_manifest.json"))
    manifest["counts"]["duplicates"] -= 1
    (copied / "unique/_manifest.json").write_bytes(state.to_json(manifest))
    code, out, _ = inspect("verify", copied)
    assert code == 1
    assert "clean/statistics/part-00000.parquet: not there" in out
    assert "clean/part-00099.parquet: not in the manifest" in out
    assert f"unique: {GOOD + 2} documents came in and {GOOD + 1} are accounted for" in out
    assert "documents were duplicates and duplicates/ has" in out
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
