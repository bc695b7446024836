"""The index by its commands: what is found and named, what a killed add leaves, and that what is retracted is gone."""

import json
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from corpusmill.dataproc import storage
from corpusmill.dataproc.dedup.banding import estimate_floor
from corpusmill.dataproc.dedup.bands import band_keys
from corpusmill.dataproc.dedup.index import Index
from corpusmill.dataproc.dedup.index_files import read_generation
from corpusmill.dataproc.dedup.minhash import signatures, similarity
from corpusmill.dataproc.errors import UserError
from corpusmill.pipelines.cli.index import app_for
from corpusmill.pipelines.cli.inspect import app_for as inspect_app
from corpusmill.pipelines.engine.executor import make_executor
from corpusmill.pipelines.engine.scheduler import StageFailed
from corpusmill.pipelines.engine.stage import Session, run_stage
from corpusmill.pipelines.inspect.places import recognise
from corpusmill.pipelines.inspect.verify import verify
from corpusmill.pipelines.settings import validate
from corpusmill.pipelines.stages.dedup.against import IndexView
from corpusmill.pipelines.stages.dedup.arguments import Matching
from corpusmill.pipelines.stages.dedup.plan import DedupSettings
from corpusmill.pipelines.stages.dedup.work import signing
from corpusmill.pipelines.stages.index import merging
from corpusmill.pipelines.stages.index.changes import add_dataset, retract_dataset, retract_ids, unfinished_segments
from corpusmill.pipelines.stages.index.merging import merge_all, merge_by_rule
from corpusmill.pipelines.stages.index.plan import QuerySettings, QueryStage
from tests.pipelines.test_stage_inputs import run

WORDS = [f"{first}{second}" for first in ("ba", "ke", "lo", "mu", "ti", "so") for second in ("na", "re", "vi", "do")]


def some_text(generator: random.Random, length: int = 60) -> str:
    return " ".join(generator.choices(WORDS, k=length))


def changed(text: str, generator: random.Random, times: int) -> str:
    words = text.split()
    for _ in range(times):
        words[generator.randrange(len(words))] = "changed"
    return " ".join(words)


def make_dataset(folder: Path, name: str, texts: list[str]) -> str:
    """A dataset with ids `name-0`, `name-1`, …, in three parts."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [json.dumps({"id": f"{name}-{row}", "text": text}) for row, text in enumerate(texts)]
    raw = [folder / f"{name}-{number}.jsonl" for number in range(3)]
    for number, path in enumerate(raw):
        path.write_text("\n".join(rows[len(rows) * number // 3 : len(rows) * (number + 1) // 3]))
    run("ingest", folder / name, inputs=[str(path) for path in raw])
    return str(folder / name)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """Texts of two old datasets and a new one, which repeats some of the old, to the letter and with changes."""
    generator = random.Random(7)
    first, second = ([some_text(generator) for _ in range(40)] for _ in range(2))
    second[5] = changed(first[5], generator, 1)
    second[6] = first[6]
    new = [some_text(generator) for _ in range(10)] + first[:3] + [""]
    new += [changed(text, generator, times) for text in first[3:9] + second[:9] for times in (1, 2, 4)]
    return {"first": first, "second": second, "new": new}


@pytest.fixture(scope="module")
def datasets(corpus: dict[str, list[str]], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("datasets")
    return {name: make_dataset(folder, name, texts) for name, texts in corpus.items()}


@pytest.fixture
def session() -> Iterator[Session]:
    with Session(make_executor=lambda: make_executor("local", workers=1)) as session:
        yield session


def query(index: str, dataset: str, output: Path, session: Session, **values: float) -> dict[str, tuple]:
    """{id: (matching id, matching dataset, similarity, method)}"""
    stage = QueryStage(validate(QuerySettings, {"index": index, "datasets": [dataset], **values}))
    done = run_stage(stage, str(output), session)
    table = pa.concat_tables([pq.read_table(output / part["path"]) for part in done.manifest["parts"]])
    assert table.num_rows == done.manifest["counts"]["duplicates"]
    assert len(done.manifest["parts"]) > 2
    return {row.pop("id"): tuple(row.values()) for row in table.to_pylist()}


def brute_force(index: str, corpus: dict[str, list[str]], olds: list[str], datasets: dict[str, str]) -> dict:
    """The best match of each new document, by comparing it with every old one that shares a band."""
    made = Index(index)
    floor = estimate_floor(made.settings["threshold"], made.minhash.permutations)
    old = [(f"{name}-{row}", datasets[name], text) for name in olds for row, text in enumerate(corpus[name])]
    signed = [
        signatures(pa.array(texts, pa.large_string()), made.minhash) for texts in ([o[2] for o in old], corpus["new"])
    ]
    keys = [band_keys(signatures, made.settings["bands"], made.settings["rows"]) for signatures in signed]
    matches = {}
    for row, text in enumerate(corpus["new"]):
        equal = [o for o in old if o[2] == text]
        if equal:
            matches[f"new-{row}"] = (*equal[0][:2], 1.0, "exact")
            continue
        near = np.flatnonzero((keys[0] == keys[1][row]).any(axis=1)) if text else np.zeros(0, np.int64)
        alike = similarity(signed[0], signed[1], near, np.full(len(near), row))
        if len(near) and alike.max() >= floor:
            matches[f"new-{row}"] = (*old[near[np.argmax(alike)]][:2], alike.max(), "minhash")
    return matches


def test_a_query_names_the_best_match_of_each_document(corpus, datasets, tmp_path, session) -> None:
    index = str(tmp_path / "index")
    for name in ("first", "second"):
        add_dataset(index, datasets[name], session)
    matches = query(index, datasets["new"], tmp_path / "matches", session)
    assert matches == brute_force(index, corpus, ["first", "second"], datasets)
    assert {method for *_, method in matches.values()} == {"exact", "minhash"}
    assert {dataset for _, dataset, *_ in matches.values()} == {datasets["first"], datasets["second"]}


def test_a_query_finds_all_that_de_duplicating_all_together_removes(corpus, datasets, tmp_path, session) -> None:
    index = str(tmp_path / "index")
    add_dataset(index, datasets["first"], session)
    matches = query(index, datasets["new"], tmp_path / "matches", session)
    run("dedup", tmp_path / "joint", datasets=[datasets["new"]], protect=[datasets["first"]])
    removed = pq.read_table(tmp_path / "joint/_duplicates").to_pylist()
    gone = {row["id"] for row in removed if row["survivor"].startswith("first")}

    def shingles(text: str) -> set[tuple[str, ...]]:
        words = text.split()
        return {tuple(words[at : at + 5]) for at in range(len(words) - 4)}

    def alike(name: str) -> float:
        own = shingles(corpus["new"][int(name.removeprefix("new-"))])
        return max(len(own & old) / len(own | old) for old in map(shingles, corpus["first"]))

    at_the_threshold = {name for name in matches if alike(name) >= 0.8}
    assert gone == at_the_threshold, "texts are compared there; by signatures, as here, some more pass"
    assert 0 < len(gone) < len(matches)


def test_retracting_a_dataset_leaves_the_index_as_without_it(corpus, datasets, tmp_path, session) -> None:
    index = str(tmp_path / "index")
    for name in ("first", "second"):
        add_dataset(index, datasets[name], session)
    entry = retract_dataset(index, datasets["first"])
    assert entry is not None and not (tmp_path / "index" / entry[0].folder).exists()
    assert query(index, datasets["new"], tmp_path / "one", session) == brute_force(index, corpus, ["second"], datasets)
    again = add_dataset(index, datasets["first"], session)
    assert again.entry.number == 2
    best = query(index, datasets["new"], tmp_path / "both", session)
    assert best == brute_force(index, corpus, ["second", "first"], datasets)


def test_retracted_ids_are_never_matched_again(corpus, datasets, tmp_path, session) -> None:
    index = str(tmp_path / "index")
    add_dataset(index, datasets["first"], session)
    before = query(index, datasets["new"], tmp_path / "before", session)
    assert before["new-10"][0] == "first-0"
    assert retract_ids(index, ["first-0", "first-4", "nobody"]) == (2, 1)
    assert retract_ids(index, ["first-0", "first-1"], datasets["first"]) == (1, 0)
    after = query(index, datasets["new"], tmp_path / "after", session)
    gone = {"first-0", "first-1", "first-4"}
    assert after == {name: match for name, match in before.items() if match[0] not in gone}


class Killed(KeyboardInterrupt):
    """Not an error of the task's: it goes through everything, as the end of the process would."""


def test_an_add_that_is_killed_at_any_commit_leaves_the_index_as_it_was(
    datasets, tmp_path, session, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = str(tmp_path / "index")
    add_dataset(index, datasets["first"], session)
    settled = read_generation(index)
    kills, real, left = 0, storage.require_commit, 0

    def killing() -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise Killed
        real()

    monkeypatch.setattr(storage, "require_commit", killing)
    while True:
        left = kills
        try:
            add_dataset(index, datasets["second"], session)
        except Killed:
            kills += 1
            assert read_generation(index) == settled
            if kills % 3:  # from where the killed one stopped, or anew
                storage.remove(f"{index}/segments/{unfinished_segments(index, settled)[0][0].split('/')[-1]}")
        else:
            break
    monkeypatch.undo()
    assert kills > 40
    generation = read_generation(index)
    assert generation is not None and [entry.dataset for entry in generation.segments] == [
        datasets["first"],
        datasets["second"],
    ]
    clean = str(tmp_path / "clean")
    for name in ("first", "second"):
        add_dataset(clean, datasets[name], session)
    for entry in generation.segments:
        files = {
            str(path.relative_to(tmp_path / "index")): path.read_bytes()
            for path in (tmp_path / "index" / entry.folder).rglob("*")
            if path.is_file() and "_state" not in path.parts
        }
        assert files and files == {name: (tmp_path / "clean" / name).read_bytes() for name in files}


def test_an_unfinished_add_is_shown_and_can_be_taken_back(
    datasets, tmp_path, session, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = str(tmp_path / "index")
    with monkeypatch.context() as patch:
        patch.setattr(signing, "text_digests", lambda *_: 1 / 0)
        with pytest.raises(StageFailed):
            add_dataset(index, datasets["first"], session)
    assert read_generation(index) is None
    assert [dataset for _, dataset in unfinished_segments(index, None)] == [datasets["first"]]
    assert retract_dataset(index, datasets["first"]) is None
    assert unfinished_segments(index, None) == []


def test_what_a_killed_retraction_leaves_is_removed_by_the_next_add(
    datasets, tmp_path, session, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = str(tmp_path / "index")
    entry = add_dataset(index, datasets["first"], session).entry
    retract_ids(index, ["first-0"])

    def kill(path: str) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(storage, "remove", kill)
        with pytest.raises(Killed):
            retract_dataset(index, datasets["first"])
    assert (tmp_path / "index" / entry.folder).exists()
    add_dataset(index, datasets["second"], session)
    assert [path.name.split("-")[0] for path in (tmp_path / "index/segments").iterdir()] == ["00001"]
    assert list((tmp_path / "index/tombstones").iterdir()) == []


def test_adding_again_costs_nothing_and_changes_nothing(datasets, tmp_path, session) -> None:
    index = str(tmp_path / "index")
    add_dataset(index, datasets["first"], session)
    again = add_dataset(index, datasets["first"], session)
    assert again.finished is None and again.entry.number == 0
    assert read_generation(index).number == 0  # type: ignore[union-attr]


def test_an_index_keeps_the_settings_that_it_was_made_with(datasets, tmp_path, session) -> None:
    index = str(tmp_path / "index")
    add_dataset(index, datasets["first"], session, {"threshold": 0.7, "ngram": 3, "normalise": ["case"]}, seed=4)
    made = add_dataset(index, datasets["second"], session)
    settings = read_generation(index).settings  # type: ignore[union-attr]
    assert made.entry.number == 1
    assert [settings[name] for name in ("threshold", "ngram", "normalise", "seed")] == [0.7, 3, ["case"], 4]
    for given, seed in (({"threshold": 0.8}, None), ({}, 5), ({"normalise": []}, None)):
        with pytest.raises(UserError, match="this index was made with"):
            add_dataset(index, datasets["new"], session, given, seed=seed)
    with pytest.raises(UserError, match=r"made for a threshold of 0\.7, not 0\.6"):
        query(index, datasets["new"], tmp_path / "low", session, threshold=0.6)
    strict = query(index, datasets["new"], tmp_path / "strict", session, threshold=0.95)
    loose = query(index, datasets["new"], tmp_path / "loose", session)
    assert len(strict) < len(loose) and strict.keys() <= loose.keys()


def test_de_duplication_can_be_matched_against_an_index_of_its_settings(datasets, tmp_path, session) -> None:
    index = str(tmp_path / "index")
    add_dataset(index, datasets["first"], session)
    settings = DedupSettings(datasets=(datasets["new"],))
    exact = settings.model_copy(update={"method": ("exact",)})
    wanted = Matching(index=index, generation=0, threshold=None)
    view = IndexView("seen", index)
    assert view.matching(settings, seed=0) == view.matching(exact, seed=0) == wanted
    assert list(view.identity()) == ["seen"]
    with pytest.raises(UserError, match="made with ngram 5, not 4"):
        view.matching(settings.model_copy(update={"ngram": 4}), seed=0)


def test_a_dataset_that_changed_has_to_be_retracted_first(tmp_path, session) -> None:
    index, folder = str(tmp_path / "index"), tmp_path / "data"
    dataset = make_dataset(folder, "a", ["one text"])
    add_dataset(index, dataset, session)
    storage.remove(dataset)
    make_dataset(folder, "a", ["another text", "and one more"])
    with pytest.raises(UserError, match="with different contents"):
        add_dataset(index, dataset, session)
    retract_dataset(index, dataset)
    assert add_dataset(index, dataset, session).entry.documents == 2


def test_an_index_in_an_object_store_finds_the_same(datasets, tmp_path, session) -> None:
    local, store = str(tmp_path / "index"), f"memory://{uuid4().hex}/index"
    for index in (local, store):
        for name in ("first", "second"):
            add_dataset(index, datasets[name], session)
        retract_ids(index, ["first-7"])
    one = query(local, datasets["new"], tmp_path / "one", session)
    assert query(store, datasets["new"], tmp_path / "two", session) == one != {}
    retract_dataset(store, datasets["second"])
    assert "second" not in {match[1] for match in query(store, datasets["new"], tmp_path / "3", session).values()}


def test_a_query_of_another_generation_is_another_query(datasets, tmp_path, session) -> None:
    index = str(tmp_path / "index")
    add_dataset(index, datasets["first"], session)
    query(index, datasets["new"], tmp_path / "out", session)
    add_dataset(index, datasets["second"], session)
    with pytest.raises(UserError, match="generation changed since"):
        query(index, datasets["new"], tmp_path / "out", session)


def test_the_commands_say_what_they_did(datasets, tmp_path) -> None:
    index, app, call = str(tmp_path / "index"), app_for("index"), CliRunner().invoke
    added = call(app, ["add", index, datasets["first"], datasets["second"], "--threshold", "0.75", "--workers", "1"])
    assert added.exit_code == 0 and "added as number 1; 40 documents" in added.stdout
    asked = call(app, ["query", index, datasets["new"], "--output", str(tmp_path / "out"), "--workers", "1"])
    assert asked.exit_code == 0
    (tmp_path / "ids").write_text("first-1\nnobody\n")
    retracted = call(app, ["retract", index, "--ids", str(tmp_path / "ids")])
    assert retracted.stdout == "1 documents retracted; 1 ids are not in the index\n"
    assert "number 2 retracted, 40 documents" in call(app, ["retract", index, datasets["second"]]).stdout
    shown = call(app, ["show", index]).stdout
    assert datasets["first"] in shown and "threshold 0.75" in shown and "change 4" in shown
    merged = call(app, ["merge", index, "--workers", "1"])
    assert merged.exit_code == 0 and "segments with 1 datasets merged as number 3" in merged.stdout
    assert "nothing to merge" in call(app, ["merge", index, "--workers", "1"]).stdout
    for command in (["add"], ["query"], ["retract"], ["merge"], ["show"], []):
        assert "Example: corpusmill index" in call(app, [*command, "--help"]).stdout


def test_a_merged_index_is_matched_against_as_before_and_holds_each_dataset(
    corpus, datasets, tmp_path, session
) -> None:
    index = str(tmp_path / "index")
    for name in ("first", "second"):
        add_dataset(index, datasets[name], session)
    retract_ids(index, ["first-1"])
    before = query(index, datasets["new"], tmp_path / "before", session)
    merged = merge_by_rule(index, session)
    assert merged is not None and merged.number == 2 and merged.documents == 79
    assert query(index, datasets["new"], tmp_path / "after", session) == before
    assert merge_by_rule(index, session) is None and merge_all(index, session) is None
    assert add_dataset(index, datasets["second"], session).finished is None
    generation = read_generation(index)
    assert generation is not None and len(generation.segments) == 1 and len(generation.merged) == 2
    add_dataset(index, datasets["new"], session)
    assert len(list((tmp_path / "index/segments").iterdir())) == 2  # files of the merged ones went with this change
    assert merge_all(index, session) is not None
    retract_dataset(index, datasets["first"])
    retract_dataset(index, datasets["new"])
    second = query(index, datasets["new"], tmp_path / "second", session)
    assert second == brute_force(index, corpus, ["second"], datasets)


def test_a_segment_that_loses_documents_while_it_is_merged_is_merged_anew(
    datasets, tmp_path, session, monkeypatch
) -> None:
    index = str(tmp_path / "index")
    for name in ("first", "second"):
        add_dataset(index, datasets[name], session)
    real, calls = merging.run_stage, []

    def slow(*arguments):
        done = real(*arguments)
        if not calls:
            retract_ids(index, ["second-3"])
        calls.append(arguments)
        return done

    monkeypatch.setattr(merging, "run_stage", slow)
    merged = merge_by_rule(index, session)
    assert merged is not None and merged.documents == 79 and len(calls) == 2
    assert unfinished_segments(index, read_generation(index)) == []


def test_verifying_an_index_names_each_damaged_file_and_no_other(datasets, tmp_path, session) -> None:
    index = tmp_path / "index"
    for name in ("first", "second"):
        add_dataset(str(index), datasets[name], session)
    retract_ids(str(index), ["first-1", "second-2"])
    done = verify(recognise(str(index)))
    assert len(done) == 3 and not [problem for one in done for problem in one.problems]
    assert done[1].files > 4 and done[1].rows == 40
    listed = sorted(path for path in (index / "segments").rglob("*") if path.is_file() and "_state" not in str(path))
    listed = [path for path in listed if path.name not in ("README.md", "_work")]
    for path in [*listed, *sorted((index / "tombstones").iterdir()), *sorted((index / "generations").iterdir())]:
        whole = path.read_bytes()
        place = len(whole) // 2
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        problems = {where for one in verify(recognise(str(index))) for where, _ in one.problems}
        assert problems == {str(path)}, path
        path.write_bytes(whole)
    shown = CliRunner().invoke(inspect_app("inspect"), ["verify", str(index)])
    assert shown.exit_code == 0 and "segment 1 (1 datasets)" in shown.stdout


def test_an_empty_dataset_can_be_added_and_asked_for(tmp_path, session) -> None:
    index = str(tmp_path / "index")
    empty = tmp_path / "empty.jsonl"
    empty.write_text("")
    run("ingest", tmp_path / "none", inputs=[str(empty)])
    assert add_dataset(index, str(tmp_path / "none"), session).entry.documents == 0
    stage = QueryStage(validate(QuerySettings, {"index": index, "datasets": [str(tmp_path / "none")]}))
    counts = run_stage(stage, str(tmp_path / "out"), session).manifest["counts"]
    assert counts == {"documents_in": 0, "kept": 0, "duplicates": 0, "quarantined": 0}


def test_other_folders_are_left_alone(datasets, tmp_path, session) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes/mine.txt").write_text("keep")
    with pytest.raises(UserError, match="contains other files"):
        add_dataset(str(tmp_path / "notes"), datasets["first"], session)
    with pytest.raises(UserError, match="not an index"):
        retract_dataset(str(tmp_path / "nothing"), datasets["first"])


@pytest.mark.slow
def test_several_who_add_at_once_all_get_in(datasets, tmp_path) -> None:
    index = str(tmp_path / "index")
    program = "import sys; from corpusmill.pipelines.cli.index import app_for; app_for('index')()"
    adders = [
        subprocess.Popen([sys.executable, "-c", program, "add", index, dataset, "--workers", "1"])
        for dataset in datasets.values()
    ]
    assert [adder.wait(timeout=120) for adder in adders] == [0, 0, 0]
    generation = read_generation(index)
    assert generation is not None
    listed = [one.path for entry in generation.segments for one in entry.datasets]
    assert sorted(listed) == sorted(datasets.values())
