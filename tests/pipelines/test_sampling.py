"""Samples for `--dry-run`: real stages on some of the real input, which leave nothing and change nothing."""

import json
from pathlib import Path

import pytest

from corpusmill.pipelines import kernels
from corpusmill.pipelines.options import RunOptions
from corpusmill.pipelines.planning import estimate, time_text, total_range
from corpusmill.pipelines.recipe import NamedStage, Recipe
from corpusmill.pipelines.registry import stage_type
from corpusmill.pipelines.sampling import Samples
from corpusmill.pipelines.settings import validate
from tests.pipelines.small_run import prose


def ingest(tmp_path: Path, documents: int = 400, **settings: object) -> NamedStage:
    raw = tmp_path / "raw"
    raw.mkdir(exist_ok=True)
    for number in range(4):
        lines = [json.dumps({"id": f"{number}-{row}", "text": prose(row)}) for row in range(documents)]
        (raw / f"{number}.jsonl").write_text("\n".join(lines) + "\n")
    made_of = stage_type("ingest")
    stage = made_of(validate(made_of.Settings, {"inputs": [str(raw)], **settings}))
    return NamedStage(name="documents", folder=str(tmp_path / "documents"), stage=stage)


def test_ingest_is_read_and_says_what_comes_out(tmp_path: Path) -> None:
    named = ingest(tmp_path)
    with Samples() as samples:
        sampled = samples.of(named)
        assert sampled is not None and sampled.seconds > 0 and sampled.disk > 0
        raw = sum(path.stat().st_size for path in (tmp_path / "raw").iterdir())
        assert 0.5 * raw < sampled.text_out < 1.5 * raw
        assert samples.share["documents"] == pytest.approx(1.0, abs=0.05), "all of a small input"
        folder = Path(samples.folder)
        assert list(folder.iterdir())
    assert not folder.exists() and not (tmp_path / "documents").exists()


def test_what_comes_out_of_one_stage_is_the_sample_of_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    documents, filtering = ingest(tmp_path), stage_type("filter")
    stage = filtering(
        validate(filtering.Settings, {"datasets": ["documents"], "rules": ["gopher-quality/words"]}),
        resolve={"documents": documents.folder}.__getitem__,
    )
    clean = NamedStage(name="clean", folder=str(tmp_path / "clean"), stage=stage)
    recipe = Recipe(name="r", output=str(tmp_path), seed=0, stages=(documents, clean))
    kernels.compile_if_needed(print, stage.kernels)
    first, second = estimate(recipe, RunOptions(engine="local", workers=1))
    assert (first.by, second.by) == ("sample", "sample")
    assert second.bytes == pytest.approx(sum(p.stat().st_size for p in (tmp_path / "raw").iterdir()), rel=0.5)
    assert second.seconds > 0
    low, high = total_range([first, second])
    assert 0 < low < high
    monkeypatch.setattr(kernels, "is_compiled", lambda warmup: False)
    assert estimate(recipe, RunOptions(engine="local", workers=1))[1].by == "rates", "nothing is compiled for a plan"


def test_what_cannot_be_read_is_no_sample(tmp_path: Path) -> None:
    named = ingest(tmp_path)
    for path in (tmp_path / "raw").iterdir():
        path.write_text("not json\n" * 10)
    with Samples() as samples:
        sampled = samples.of(named)
        assert sampled is None or sampled.text_out == 0


def test_times_are_ranges_in_one_unit() -> None:
    assert [time_text(*pair) for pair in ((0.0, 0.0), (0.2, 0.9), (1.24, 5.0), (20.4, 45.0), (80.0, 200.0))] == [
        *("0 s", "under 1 s", "1.2 to 5.0 s", "20 to 45 s", "1:20 to 3:20")
    ]
