"""Nothing that others wrote reaches a terminal as a control, and what storage refuses is one line."""

import io
import os
import sys
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest
from rich.table import Table

from corpusmill.dataproc.errors import UserError
from corpusmill.pipelines import guarded_streams
from corpusmill.pipelines.cli.main import main
from corpusmill.pipelines.engine.worker import describe
from corpusmill.pipelines.recipe import load_recipe
from corpusmill.pipelines.settings import validate
from corpusmill.pipelines.stages.filter.plan import FilterSettings
from corpusmill.pipelines.visible import visible

HOSTILE = "a\x1b[31m\x07\x9b2J\u202eb\u2066\u2028\x7f\r"
CONTROLS = [chr(code) for code in (*range(9), *range(11, 32), *range(127, 160))]
CONTROLS += [chr(code) for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x2028, 0x2029, 0xD800, 0xDFFF)]


def unsafe(text: str) -> list[str]:
    return [character for character in CONTROLS if character in text]


def test_the_streams_spell_out_every_control() -> None:
    out = io.StringIO()
    guarded = guarded_streams.GuardedStream(out)
    for control in CONTROLS:
        guarded.write(f"{control}\n\t")
    guarded.writelines([HOSTILE])
    assert not unsafe(out.getvalue()) and out.getvalue().count("\n\t") == len(CONTROLS)


def test_consoles_colour_by_themselves_alone() -> None:
    out = io.StringIO()
    console = guarded_streams.Console(file=out, force_terminal=True, color_system="standard", width=200)
    table = Table(HOSTILE)
    table.add_row(HOSTILE, style="red")
    console.print(table)
    console.print(HOSTILE, markup=False, highlight=False, style="bold")
    text = out.getvalue()
    assert "\x1b[1m" in text and "a␛[31m" in text
    plain = guarded_streams._COLOUR.sub("", text)
    assert not unsafe(plain) and plain.count(visible(HOSTILE)) == 3


def files_of(folder: Path) -> Path:
    folder.mkdir()
    name = "".join(character for character in HOSTILE if character != "/")
    rows = [{"id": HOSTILE, "text": "some text", HOSTILE: 1}, {"id": HOSTILE, "text": "more"}, {"no": HOSTILE}]
    (folder / f"{name}.jsonl").write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    (folder / f"{name}.bin").write_bytes(b"\xff")
    return folder


Call = Callable[..., tuple[int, str]]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Runs a command in this process: (exit code, all that it printed)."""

    def run(*arguments: str | Path) -> tuple[int, str]:
        for name in ("stdout", "stderr"):
            monkeypatch.setattr(sys, name, getattr(sys, name))  # which are put back afterwards
        monkeypatch.setattr(sys, "argv", ["corpusmill", *map(str, arguments)])
        try:
            main()
            code: object = 0
        except SystemExit as ended:
            code = ended.code
        return int(str(code or 0)), "".join(capsys.readouterr())

    return run


def test_a_run_over_hostile_names_prints_none_of_their_controls(call: Call, tmp_path: Path) -> None:
    files_of(tmp_path / "in")
    (tmp_path / f"{HOSTILE[:20]}.parquet").write_bytes(b"PAR1")
    for arguments in (
        ["ingest", tmp_path / "in", "--output", tmp_path / "out", "--source", "s\x1b[31m", "--workers", "1"],
        ["inspect", tmp_path / "out"],
        ["inspect", "why", tmp_path / "out", HOSTILE],
        ["inspect", "verify", tmp_path / "out"],
        ["ingest", tmp_path / f"{HOSTILE}.gone", "--output", tmp_path / "x"],
        ["filter", tmp_path / "out", "--output", tmp_path / "x", "--custom-rules", HOSTILE],
        ["status", tmp_path / f"{HOSTILE}"],
    ):
        _, said = call(*arguments)
        assert said and not unsafe(said), arguments
        assert "Traceback" not in said


@pytest.mark.parametrize("argument", ["a\udcff", "length > '\ud800'"])
def test_an_argument_that_is_not_utf8_is_one_line(
    argument: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["corpusmill", "filter", "x", "--output", "o", "--rules", argument])
    with pytest.raises(SystemExit, match="2"):
        main()
    err = capsys.readouterr().err
    assert "this argument is not UTF-8" in err and err.count("\n") == 1


def test_a_lone_surrogate_in_settings_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"filter\.rules: a lone surrogate"):
        validate(FilterSettings, {"datasets": ["x"], "rules": ["gopher", "\udc80"]}, "filter")
    recipe = tmp_path / "r.yaml"
    recipe.write_text('name: x\noutput: o\nstages:\n  filter:\n    datasets: [x]\n    rules: ["\\uD800"]\n')
    with pytest.raises(UserError, match="a lone surrogate"):
        load_recipe(str(recipe))


@pytest.mark.parametrize("error", ["EROFS", "ENAMETOOLONG", "EACCES", "EPERM", "ENOENT", "ENOTDIR", "EISDIR", "ELOOP"])
def test_what_storage_refuses_is_a_line(error: str) -> None:
    import errno

    number = getattr(errno, error)
    described = describe(OSError(number, os.strerror(number), "/some/file"))
    assert described.kind == "user" and described.message.startswith(f"/some/file: {os.strerror(number)}")


def test_a_name_that_is_too_long_is_one_line(call: Call, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "x"}\n')
    code, said = call("ingest", tmp_path / "a.jsonl", "--output", tmp_path / ("n" * 300))
    assert code in (1, 2) and "Traceback" not in said and "File name too long" in said
    code, said = call("ingest", "n" * 5000, "--output", tmp_path / "o")
    assert code == 2 and "Traceback" not in said


def test_what_is_visible_is_defined_once() -> None:
    assert not unsafe(visible("".join(CONTROLS)))
