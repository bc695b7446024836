"""Stages as functions of Python: settings in, manifest out, quietly, and mistakes as UserError."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from corpusmill import UserError
from corpusmill.pipelines import call_types, calls
from corpusmill.pipelines.calls import dedup, filter, ingest
from corpusmill.pipelines.registry import STAGES
from tests.pipelines.road import environment
from tests.pipelines.small_run import prose


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("raw") / "in.jsonl"
    texts = [prose(number) for number in range(6)] + [prose(0), "short"]
    path.write_text("".join(json.dumps({"id": str(number), "text": text}) + "\n" for number, text in enumerate(texts)))
    return path


def test_stages_run_one_after_the_other_and_return_their_manifests(raw: Path, tmp_path: Path, capfd) -> None:
    documents = ingest(raw, output=tmp_path / "documents", source="tests")
    assert documents["stage"] == "ingest" and documents["counts"]["kept"] == 8
    clean = filter(tmp_path / "documents", output=tmp_path / "clean", rules="gopher-quality")
    assert clean["counts"] == {"documents_in": 8, "kept": 7, "rejected": 1, "quarantined": 0}
    unique = dedup([tmp_path / "clean"], output=tmp_path / "unique", method="exact", seed=3)
    assert unique["counts"]["duplicates"] == 1 and unique["seed"] == 3
    assert unique == json.loads((tmp_path / "unique/_manifest.json").read_text())
    assert dedup(tmp_path / "clean", output=tmp_path / "unique", method=["exact"], seed=3) == unique  # it was done
    assert capfd.readouterr() == ("", "")


def test_a_call_and_a_command_make_the_same_and_go_on_with_each_other(raw: Path, tmp_path: Path) -> None:
    manifest = ingest(raw, output=tmp_path / "called", source="tests")
    line = [sys.executable, "-m", "corpusmill", "ingest", str(raw), "--source", "tests", "--output"]
    for output in ("commanded", "called"):
        done = subprocess.run([*line, str(tmp_path / output)], env=environment(), capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert json.loads((tmp_path / output / "_manifest.json").read_text()) == manifest
    assert "was already done" in done.stderr
    assert ingest(inputs=[raw], output=str(tmp_path / "commanded"), source="tests") == manifest


def test_mistakes_are_user_errors_in_one_line_and_nothing_ends(raw: Path, tmp_path: Path) -> None:
    documents = tmp_path / "documents"
    ingest(raw, output=documents, source="tests")
    for call, line in [
        (lambda: dedup(documents, output=tmp_path / "x", threshhold=0.5), "dedup.threshhold: no such setting"),
        (lambda: dedup(documents, output=tmp_path / "x", threshold=2), "dedup.threshold"),
        (lambda: dedup(output=tmp_path / "x"), "dedup.datasets: this setting is required"),
        (lambda: dedup(documents, documents, output=tmp_path / "x"), "2 settings were given without a name"),
        (lambda: dedup(tmp_path / "nowhere", output=tmp_path / "x"), "nowhere"),
        (lambda: dedup(documents, output=""), "an output needs a name"),
        (lambda: dedup(documents, output=documents), "documents"),
        (lambda: filter(documents, output=tmp_path / "x", rules=["nothing"]), "unknown rule or preset 'nothing'"),
        (lambda: ingest(raw, output=documents, source="others"), "already made with other settings"),
    ]:
        with pytest.raises(UserError, match=line) as caught:
            call()
        assert "\n" not in str(caught.value)
    assert ingest(raw, output=documents, source="others", overwrite=True)["settings"]["source"] == "others"


def test_every_stage_has_a_function_and_no_other_name_has_one() -> None:
    for stage in STAGES:
        function = getattr(calls, calls.function_name(stage))
        assert function.__doc__ is not None and function.__name__ == calls.function_name(stage)
    assert calls.quality_train.__name__ == "quality_train" and calls.import_.__name__ == "import_"
    assert set(dir(calls)) >= {"dedup", "filter", "pack", "train", "import_"}
    with pytest.raises(AttributeError, match="nothing_like_it"):
        calls.nothing_like_it  # noqa: B018


def test_the_types_are_those_of_the_models() -> None:
    path = Path(call_types.__file__).with_name("calls.pyi")
    assert path.read_text() == call_types.stub(), "python -m corpusmill.pipelines.call_types makes it anew"


def test_neither_the_command_line_nor_ray_is_imported(raw: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from corpusmill.pipelines.calls import ingest\n"
        f"ingest({str(raw)!r}, output='documents', source='tests')\n"
        "print([name for name in ('typer', 'click', 'ray', 'torch') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], env=environment(), cwd=tmp_path, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")
