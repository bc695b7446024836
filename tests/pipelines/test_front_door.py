"""What commands print, at the widths of terminals and as JSON: whole numbers and names, lines that fit, stable keys."""

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from corpusmill.pipelines.cli.main import main
from corpusmill.pipelines.engine import messages, state
from tests.pipelines.small_run import make_run

WIDTHS = (60, 80, 130)
NUMBER = re.compile(r"\d(?:[\d,.:]*\d)?%?")
TIMES = re.compile(r"\b\d+:\d\d\b|[\d.]+ to [\d.]+ s|under 1 s")

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("door"))


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs a command in this process, at a width; gives exit code, stdout and stderr."""
    monkeypatch.setenv("CORPUSMILL_LOG_FORMAT", "")

    def run(*arguments: Any, width: int | None = None) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["corpusmill", *map(str, arguments)])
        if width is None:
            monkeypatch.delenv("COLUMNS", raising=False)
        else:
            monkeypatch.setenv("COLUMNS", str(width))
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        return (int(ended.value.code or 0), *capsys.readouterr())

    return run


@pytest.fixture
def recipe(made: Path, tmp_path: Path) -> Path:
    """The recipe of the run, as its folder keeps it."""
    path = tmp_path / "again.yaml"
    path.write_text((made / "report/recipe.yaml").read_text())
    return path


def numbers(text: str) -> set[str]:
    return set(NUMBER.findall(TIMES.sub("", text)))


def test_the_summary_is_whole_at_every_width(made: Path, recipe: Path, command: Command) -> None:
    arguments = ("run", recipe, "--allow-quarantine", "--workers", "1")
    _, wide, _ = command(*arguments)
    for width in WIDTHS:
        code, out, _ = command(*arguments, width=width)
        assert code == 0
        table = [line for line in out.splitlines() if str(made.parent) not in line]
        assert all(len(line) <= width for line in table)
        assert numbers("\n".join(table)) >= numbers("\n".join(line for line in wide.splitlines() if "/" not in line))
        assert table[0] == "small" and "documents kept" in table[1], "it begins with the outcome"
        assert any(line.split()[0] == "gopher-quality/words" for line in table if line.strip()), "rules are whole"
    assert re.search(r"rules broken, by share of documents\n +gopher-quality/[a-z-]+ +\d+ +\d+\.\d%", wide)


@pytest.mark.parametrize("arguments", [("status",), ("inspect",), ("inspect", "clean"), ("inspect", "clean/_rejected")])
def test_what_looks_into_a_run_is_whole_at_every_width(
    arguments: tuple[str, ...], made: Path, command: Command
) -> None:
    name, below = arguments[0], arguments[1] if len(arguments) > 1 else ""
    _, wide, _ = command(name, made / below)
    for width in WIDTHS:
        code, out, _ = command(name, made / below, width=width)
        assert code == 0
        lines = [
            line for line in out.splitlines() if not line.startswith("  corpusmill ")
        ]  # to be copied: never broken
        assert all(len(line) <= width for line in lines)
        assert numbers(wide.replace(str(made), "")) <= numbers(out.replace("\n", " "))


def test_the_plan_is_whole_at_every_width_and_gives_ranges(
    made: Path, recipe: Path, command: Command, tmp_path: Path
) -> None:
    for width in (*WIDTHS, None):
        code, out, _ = command("run", recipe, "--output", tmp_path / "new", "--dry-run", width=width)
        assert code == 0, out
        assert all(len(line) <= (width or 1000) for line in out.splitlines())
        assert re.search(r"[\d.]+ to [\d.]+ s|under 1 s", out)
    assert not (tmp_path / "new").exists(), "a dry run makes nothing"


def test_json_is_all_there_is_on_stdout_and_has_the_documented_keys(
    made: Path, recipe: Path, command: Command, tmp_path: Path
) -> None:
    code, out, _ = command("run", recipe, "--json", "--allow-quarantine")
    summary = json.loads(out)
    assert (code, summary["schema"], summary["exit_code"]) == (0, 1, 0)
    assert [stage["name"] for stage in summary["stages"]] == ["documents", "clean", "unique"]
    assert summary["stages"][1]["counts"]["rejected"] == 1 and summary["stages"][1]["was_done"]
    plan = json.loads(command("run", recipe, "--json", "--dry-run", "--output", tmp_path / "new")[1])
    assert {stage["estimated_by"] for stage in plan["stages"]} <= {"sample", "rates"}
    assert all(low <= high for low, high in [plan["seconds"], *(stage["seconds"] for stage in plan["stages"])])
    status = json.loads(command("status", made, "--json")[1])
    assert [stage["state"] for stage in status["stages"]] == ["done"] * 3
    assert status["stages"][1]["phases"] == [{"name": "measure", "finished": 1, "tasks": 1}]
    shown = json.loads(command("inspect", made / "clean", "--json")[1])
    assert (shown["what"], shown["stage"], shown["counts"]["rejected"]) == ("dataset", "filter", 1)
    assert json.loads(command("inspect", made, "--json")[1])["stages"][0]["name"] == "documents"
    part = json.loads(command("inspect", made / "clean/part-00000.parquet", "--json")[1])
    assert part["what"] == "parquet file" and part["columns"]["id"] == "string"
    code, out, _ = command("doctor", "--json")
    doctor = json.loads(out)
    assert doctor["healthy"] == (code == 0)
    assert {"name", "state", "detail"} == set(doctor["checks"][0])


def test_every_document_of_the_output_page_is_what_commands_print(made: Path, command: Command) -> None:
    page = (Path(__file__).parents[2] / "docs/output.md").read_text()
    for arguments in (("status", made), ("inspect", made), ("inspect", made / "clean"), ("doctor",)):
        values = json.loads(command(*arguments, "--json")[1])
        keys = set(values) | {key for entry in values.get("stages", values.get("checks", [])) for key in entry}
        missing = {key for key in keys if f"`{key}`" not in page}
        assert not missing, (arguments, missing)


def test_log_lines_and_errors_are_json_by_flag(recipe: Path, command: Command, tmp_path: Path) -> None:
    output = tmp_path / "logged"
    code, out, err = command("run", recipe, "--output", output, "--log-format", "json", "--workers", "1")
    lines = [json.loads(line) for line in err.splitlines()]
    assert code == 3
    assert [line["stage"] for line in lines if line["event"] == "stage"] == ["documents", "clean", "unique"]
    (quarantine,) = (line for line in lines if line["event"] == "quarantine")
    assert (quarantine["level"], quarantine["stage"], quarantine["quarantined"]) == ("error", "documents", 1)
    assert "small" in out, "the summary stays a table"
    code, _, err = command("run", tmp_path / "nowhere.yaml", "--log-format", "json")
    (line,) = map(json.loads, err.splitlines())
    assert (code, line["level"], line["event"], line["exit_code"]) == (2, "error", "error", 2)
    assert messages.in_json()


def test_a_run_keeps_the_recipe_that_it_was_made_by(made: Path, recipe: Path, command: Command, tmp_path: Path) -> None:
    kept = yaml.safe_load((made / "report/recipe.yaml").read_text())
    assert list(kept["stages"]) == ["documents", "clean", "unique"] and kept["output"] == str(made)
    output = tmp_path / "other"
    change = ("--set", "documents.source=elsewhere")
    command("run", recipe, "--output", output, *change, "--allow-quarantine", "--workers", "1")
    again = yaml.safe_load((output / "report/recipe.yaml").read_text())
    assert (again["output"], again["stages"]["documents"]["source"]) == (str(output), "elsewhere")
    assert command("run", output / "report/recipe.yaml", "--allow-quarantine")[1].rstrip().endswith("nothing was run.")


def test_a_stage_has_one_name_in_lines_tables_and_json(recipe: Path, command: Command, tmp_path: Path) -> None:
    changed = yaml.safe_load(recipe.read_text())
    changed["stages"] = {"texts": changed["stages"]["documents"]}
    recipe.write_text(yaml.safe_dump(changed))
    arguments = ("run", recipe, "--output", tmp_path / "o", "--allow-quarantine", "--workers", "1")
    _, out, err = command(*arguments)
    assert err.startswith("texts: ") and "ingest" not in err
    assert out.splitlines()[0] == "texts"
    assert json.loads(command("status", tmp_path / "o", "--json")[1])["stages"][0]["name"] == "texts"


def test_steps_stand_beside_their_times(tmp_path: Path, command: Command) -> None:
    (tmp_path / "_state").mkdir()
    plan = {"stage": "train", "stage_version": 1, "seed": 0, "settings": {"steps": 40}, "inputs": {}}
    (tmp_path / "_state/plan.json").write_bytes(state.to_json(plan))
    with (tmp_path / "metrics.jsonl").open("w") as metrics, (tmp_path / "_state/timing.jsonl").open("w") as timing:
        for step in range(1, 41):
            line = {"step": step, "loss": 7 - step / 10, "learning_rate": 1e-3, "gradient_norm": 0.5}
            metrics.write(json.dumps(line | ({"validation_loss": 6.5} if step % 10 == 0 else {})) + "\n")
            timing.write(json.dumps({"step": step, "seconds": 2.0, "tokens_per_second": 1234.0}) + "\n")
        metrics.write('{"step": 41, "lo')
    _, out, _ = command("inspect", "steps", tmp_path, "-n", "4")
    head, *rows = out.splitlines()
    assert head.split()[:2] == ["step", "loss"] and "tokens/s" in head
    assert [row.split()[0] for row in rows] == ["10", "20", "30", "40"], "those with a held-back loss"
    assert rows[-1].split() == ["40", "3.000", "6.500", "1.00e-03", "0.500", "1,234", "2.000", "1:20"]
    lines = [json.loads(line) for line in command("inspect", "steps", tmp_path, "-n", "0", "--json")[1].splitlines()]
    assert len(lines) == 40 and lines[9]["elapsed"] == 20.0
    assert command("inspect", "steps", tmp_path / "_state")[0] == 2


def test_the_version_and_the_completion_of_shells(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    code, out, _ = command("--version")
    assert code == 0 and re.fullmatch(r"corpusmill \d\S*\n", out)
    assert "--install-completion" in command("--help")[1]
    for typed, completions in (("ing", ["ingest"]), ("dedup --thr", ["--threshold"]), ("tokenizer enc", ["encode"])):
        monkeypatch.setenv("_CORPUSMILL_COMPLETE", "complete_bash")
        monkeypatch.setenv("COMP_WORDS", f"corpusmill {typed}")
        monkeypatch.setenv("COMP_CWORD", str(len(typed.split())))
        assert command()[1].split() == completions


def test_the_list_of_commands_is_whole_in_a_narrow_terminal(command: Command) -> None:
    out = command("--help", width=60)[1]
    assert "..." not in out.partition("Commands:")[2] and all(len(line) <= 60 for line in out.splitlines())
    assert "Find repeated substrings, paragraphs or lines; report, cut or remove." in " ".join(out.split())
