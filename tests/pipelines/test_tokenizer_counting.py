"""`tokenizer count` and `tokenizer train`: tables are the same however they came about, and are used without text."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tokenizers import Regex, pre_tokenizers

from corpusmill.dataproc.errors import UserError
from corpusmill.pipelines.engine.executor import make_executor
from corpusmill.pipelines.engine.scheduler import StageFailed
from corpusmill.pipelines.engine.stage import Finished, Session, run_stage
from corpusmill.pipelines.registry import stage_type
from corpusmill.pipelines.settings import validate
from corpusmill.pipelines.stages.tokenizer import counting
from corpusmill.pipelines.stages.tokenizer.work import counting as tasks
from corpusmill.tokenizer.encoder import Tokenizer
from corpusmill.tokenizer.patterns import pattern_named

REFERENCE = pre_tokenizers.Sequence(
    [pre_tokenizers.Split(Regex(split), "isolated") for split in pattern_named("deepseek-v3").splits]
)
LANGUAGES = {
    "en": "The quick brown fox {0} jumps over lazy dogs of {1}.\n",
    "zh": "敏捷的棕色狐狸{0}跳过{1}了懒狗。",
    None: "x{0}+y{1};\n",
}


def run(kind: str, folder: Path, workers: int = 1, **values: Any) -> Finished:
    made_of = stage_type(kind)
    stage = made_of(validate(made_of.Settings, values, "test"))
    stage.check()
    with Session(make_executor=lambda: make_executor("local", workers=workers)) as session:
        return run_stage(stage, str(folder), session)


def documents(first: int, last: int) -> list[dict[str, Any]]:
    made = []
    for number in range(first, last):
        language = [*LANGUAGES][number % 3]
        text = "".join(
            LANGUAGES[language].format(number * 7 + line, "ab" * (line % 5)) for line in range(60 + number % 3 * 90)
        )
        made.append({"id": f"d{number}", "text": text, "language": language})
    return made


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two datasets, the first of several parts."""
    folder = tmp_path_factory.mktemp("made")
    for name, (first, last) in {"one": (0, 60), "two": (60, 75)}.items():
        (folder / f"{name}.jsonl").write_bytes(
            b"\n".join(orjson.dumps(document) for document in documents(first, last))
        )
        run("ingest", folder / name, inputs=[str(folder / f"{name}.jsonl")], part_bytes="64KiB")
    assert len(list((folder / "one").glob("part-*"))) > 3
    return folder


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several partitions, and merges in two steps, for a few parts."""
    monkeypatch.setattr(counting, "PARTITION_TEXT_BYTES", 100_000)
    monkeypatch.setattr(counting, "MOST_RUNS", 3)


def table(folder: Path) -> list[tuple[bytes, str, int]]:
    return [
        (row["pretoken"], row["group"], row["count"])
        for path in sorted((folder / "counts").glob("*.parquet"))
        for row in pq.read_table(path).to_pylist()
    ]


def counts_files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((folder / "counts").glob("*.parquet"))}


def both(made: Path) -> list[str]:
    return [str(made / "one"), str(made / "two")]


@pytest.mark.usefixtures("small")
def test_a_table_is_what_the_library_tokenizers_cuts_counted_one_by_one(made: Path, tmp_path: Path) -> None:
    done = run("count", tmp_path / "counts", datasets=both(made), group_by="language")
    tally: Counter[tuple[bytes, str]] = Counter()
    for document in documents(0, 75):
        pieces = REFERENCE.pre_tokenize_str(document["text"])
        tally.update((piece.encode(), document["language"] or "") for piece, _ in pieces)
    assert sorted(table(tmp_path / "counts")) == sorted((*key, count) for key, count in tally.items())
    assert len(counts_files(tmp_path / "counts")) == done.manifest["facts"]["table"]["partitions"] > 1
    assert done.manifest["counts"] == {
        "documents_in": 75, "quarantined": 0, "pretokens": tally.total(), "rows": len(tally),
        "unique_pretokens": len({word for word, _ in tally}),
    }  # fmt: skip
    assert {name: group["pretokens"] for name, group in done.manifest["facts"]["table"]["groups"].items()} == {
        name: sum(count for (_, group), count in tally.items() if group == name) for name in ("", "en", "zh")
    }


@pytest.mark.usefixtures("small")
def test_bytes_are_the_same_for_other_workers_memory_and_steps(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("count", tmp_path / "a", datasets=both(made), group_by="language")
    run("count", tmp_path / "b", workers=2, datasets=both(made), group_by="language", memory="1MiB")
    monkeypatch.setattr(counting, "MOST_RUNS", 100)
    monkeypatch.setattr(counting, "FEW_TASKS", 2)
    monkeypatch.setattr("corpusmill.tokenizer.counting.counter.FIRST_SLOTS", 64)
    run("count", tmp_path / "c", datasets=both(made), group_by="language", memory="1MiB")
    assert counts_files(tmp_path / "a") == counts_files(tmp_path / "b") == counts_files(tmp_path / "c")


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("first", ["one", "two"])
def test_a_table_that_is_extended_is_the_one_counted_at_once(made: Path, tmp_path: Path, first: str) -> None:
    at_once = run("count", tmp_path / "whole", datasets=both(made), group_by="language")
    second = {"one": "two", "two": "one"}[first]
    part = run("count", tmp_path / "part", datasets=[str(made / first)], group_by="language")
    coarse, fine = (done.manifest["facts"]["table"]["partitions"] for done in (part, at_once))
    assert coarse < fine or first == "one"
    extended = run(
        "count", tmp_path / "more", datasets=[str(made / second)], extend=[str(tmp_path / "part")], group_by="language"
    )
    run("count", tmp_path / "other", datasets=[str(made / second)], group_by="language")
    tables = [str(tmp_path / "part"), str(tmp_path / "other")]
    joined = run("count", tmp_path / "joined", extend=tables, group_by="language")
    assert counts_files(tmp_path / "more") == counts_files(tmp_path / "joined") == counts_files(tmp_path / "whole")
    assert extended.manifest["facts"] == joined.manifest["facts"] == at_once.manifest["facts"]


def test_a_tokenizer_is_the_same_from_text_from_tables_and_from_another_tokenizers_counts(
    made: Path, tmp_path: Path
) -> None:
    options: dict[str, Any] = {"vocab_size": 500, "special": "compact", "group_by": "language", "temperature": 3}
    from_text = run("tokenizer", tmp_path / "text", datasets=both(made), **options)
    run("count", tmp_path / "one", datasets=[str(made / "one")], group_by="language")
    run("count", tmp_path / "two", datasets=[str(made / "two")], group_by="language")
    tables = [str(tmp_path / "one"), str(tmp_path / "two")]
    from_tables = run("tokenizer", tmp_path / "tables", counts=tables, **options)
    mixed = run("tokenizer", tmp_path / "mixed", datasets=[str(made / "two")], counts=tables[:1], **options)
    again = run("tokenizer", tmp_path / "again", counts=[str(tmp_path / "text")], **options)
    assert not (tmp_path / "again" / "counts").exists()
    for done in (from_tables, mixed, again):
        assert done.manifest["facts"]["fingerprint"] == from_text.manifest["facts"]["fingerprint"]
        assert done.manifest["facts"]["balance"] == from_text.manifest["facts"]["balance"]
    training = json.loads((tmp_path / "text" / "training.json").read_text())
    assert training["training"]["balance"] == from_text.manifest["facts"]["balance"]
    larger = run("tokenizer", tmp_path / "larger", counts=[str(tmp_path / "text")], vocab_size=600, special="compact")
    assert larger.manifest["facts"]["ids"] == 600


def test_weights_move_the_vocabulary(made: Path, tmp_path: Path) -> None:
    run("count", tmp_path / "counts", datasets=both(made), group_by="language")
    options: dict[str, Any] = {"counts": [str(tmp_path / "counts")], "vocab_size": 400, "special": "compact"}
    plain = run("tokenizer", tmp_path / "plain", **options)
    weighed = run("tokenizer", tmp_path / "weighed", **options, group_by="language", weights={"zh": 9.0, "": 0.0})
    assert set(plain.manifest["facts"]["balance"]["scales"].values()) == {1 << 20}
    scales = weighed.manifest["facts"]["balance"]["scales"]
    assert scales["zh"] > (1 << 20) > scales["en"] > scales[""] == 0
    chinese_and_code = pa.array([document["text"] for document in documents(1, 3)], pa.large_string())
    before, after = (Tokenizer.load(str(tmp_path / name)).encode(chinese_and_code) for name in ("plain", "weighed"))
    assert len(after[0]) < len(before[0]) and len(after[1]) > len(before[1])


def test_what_is_rare_is_left_out_and_told(made: Path, tmp_path: Path) -> None:
    whole = run("count", tmp_path / "whole", datasets=[str(made / "one")])
    done = run("count", tmp_path / "common", datasets=[str(made / "one")], min_count=3)
    rare = [(word, count) for word, _, count in table(tmp_path / "whole") if count < 3]
    size = sum(group["bytes"] for group in whole.manifest["facts"]["table"]["groups"].values())
    lost = sum(len(word) * count for word, count in rare)
    assert done.manifest["facts"]["table"]["dropped"] == {
        "unique": len(rare), "pretokens": sum(count for _, count in rare), "bytes": lost, "share": round(lost / size, 6)
    }  # fmt: skip
    assert sorted(table(tmp_path / "common") + [(word, "", count) for word, count in rare]) == table(tmp_path / "whole")
    options: dict[str, Any] = {"vocab_size": 400, "special": "compact"}
    learned = [
        run("tokenizer", tmp_path / name, **options, **more).manifest["facts"]
        for name, more in {
            "from_common": {"counts": [str(tmp_path / "common")]},
            "from_whole": {"counts": [str(tmp_path / "whole")], "min_count": 3},
            "from_text": {"datasets": [str(made / "one")], "min_count": 3},
        }.items()
    ]
    assert len({facts["fingerprint"] for facts in learned}) == 1
    assert all(facts["left_out"] == done.manifest["facts"]["table"]["dropped"] for facts in learned)


def test_a_stage_that_failed_goes_on_from_its_runs(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(task: object) -> None:
        raise RuntimeError("no merge today")

    with monkeypatch.context() as patch:
        patch.setattr(tasks, "merge_partition", broken)
        with pytest.raises(StageFailed, match="no merge today"):
            run("count", tmp_path / "counts", datasets=[str(made / "one")])
    markers = {path: path.stat().st_mtime_ns for path in (tmp_path / "counts").glob("_state/count/*.json")}
    assert markers
    run("count", tmp_path / "counts", datasets=[str(made / "one")])
    assert markers == {path: path.stat().st_mtime_ns for path in markers}
    run("count", tmp_path / "fresh", datasets=[str(made / "one")])
    assert counts_files(tmp_path / "counts") == counts_files(tmp_path / "fresh")
    assert not list((tmp_path / "counts").rglob("*.arrow")), "runs are gone"


def test_mistakes_end_in_a_line_before_any_work(made: Path, tmp_path: Path) -> None:
    one, two = both(made)
    run("count", tmp_path / "plain", datasets=[one])
    run("count", tmp_path / "gpt2", datasets=[two], pattern="gpt2")
    run("count", tmp_path / "rare", datasets=[two], min_count=2)
    run("count", tmp_path / "language", datasets=[two], group_by="language")
    plain, gpt2, rare, language = (str(tmp_path / name) for name in ("plain", "gpt2", "rare", "language"))
    for kind, values, match in (
        ("count", {"datasets": [two], "extend": [gpt2]}, "counted with the pattern gpt2, not deepseek-v3"),
        ("count", {"datasets": [one], "extend": [plain]}, "a dataset that has been counted already"),
        ("count", {"datasets": [one], "extend": [rare]}, "fewer than 2 were dropped"),
        ("count", {"datasets": [one], "extend": [language]}, "counted by language, not by none"),
        ("count", {"extend": [one]}, "no counts in this folder"),
        ("count", {"datasets": [plain]}, "holds counts of pretokens, not documents"),
        ("count", {"datasets": [one], "group_by": "language", "most_groups": 2}, "more than 2 groups"),
        ("count", {}, "nothing to count"),
        ("tokenizer", {}, "nothing to learn from"),
        ("tokenizer", {"counts": [plain, gpt2]}, "counted with the pattern gpt2"),
        ("tokenizer", {"counts": [plain], "group_by": "language"}, "counted by none, not by language"),
        ("tokenizer", {"counts": [language], "temperature": 2}, "for groups of documents"),
        ("tokenizer", {"counts": [language], "group_by": "language", "weights": {"fr": 1}}, "unknown group 'fr'"),
    ):
        with pytest.raises((UserError, StageFailed), match=match):
            run(kind, tmp_path / "out", **values)
        (tmp_path / "out").exists() and (tmp_path / "out").rename(tmp_path / f"out-{match[-5:]}")
