"""Decontamination as a stage: what is planted is found and dealt with, and nothing else is touched."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from corpusmill.dataproc.errors import UserError
from corpusmill.pipelines.engine.executor import make_executor
from corpusmill.pipelines.engine.stage import Finished, Session, run_stage
from corpusmill.pipelines.inspect.places import recognise
from corpusmill.pipelines.inspect.verify import verify
from corpusmill.pipelines.inspect.why import explain
from corpusmill.pipelines.settings import validate
from corpusmill.pipelines.stages.decontaminate.plan import DecontaminateStage
from corpusmill.pipelines.summary import summary_rows
from tests.pipelines.road import final_bytes
from tests.pipelines.small_dataset import write_dataset

QUESTION = "Natalia sold clips to 48 of her friends in April, and then she sold half as many clips in May."
ANSWER = "Natalia sold 48/2 = 24 clips in May, which makes 72 clips altogether in April and May."
CHINESE = "请问在公元一九四九年十月一日的时候发生了什么重要的历史事件"
SHORT = "The mitochondrion is the powerhouse of the living cell."
LICENCE = "Permission is hereby granted, free of charge, to any person obtaining a copy of this software to use it."
Decontaminate = Callable[..., Finished]


def prose(seed: int, words: int = 90) -> str:
    draw = np.random.default_rng(seed)
    return " ".join("".join(map(chr, draw.integers(97, 123, draw.integers(2, 9)))) for _ in range(words))


DOCUMENTS = {
    "clean": prose(1),
    "quoted": f"{prose(2)} {QUESTION.upper().replace(' ', chr(10))} {prose(3)}",
    "both": f"{prose(4)} {QUESTION}\n{ANSWER} {prose(5)}",
    "half": f"{prose(6)} {' '.join(QUESTION.split()[:13])} {prose(7)}",
    "twelve": f"{prose(8)} {' '.join(QUESTION.split()[:12])} {prose(9)}",
    "chinese": f"{prose(10)}「{'、'.join(CHINESE)}」{prose(11)}",
    "short": f"{prose(12)} {SHORT} {prose(13)}",
    "nothing-left": f"Question: {QUESTION} {ANSWER}",
    **{f"licence-{number}": f"{prose(20 + number)} {LICENCE}" for number in range(5)},
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two datasets, and evaluation sets in four formats."""
    folder = tmp_path_factory.mktemp("decontaminate")
    rows = [{"id": name, "text": text} for name, text in DOCUMENTS.items()]
    write_dataset(folder / "a", rows[:4], rows[4:6])
    write_dataset(folder / "b", rows[6:])
    (folder / "maths.jsonl").write_text(
        json.dumps({"question": QUESTION, "answer": ANSWER}) + "\n" + json.dumps({"question": "2 + 2?", "answer": "4"})
    )
    pq.write_table(pa.table({"q": [CHINESE, prose(99)], "key": ["zh-0", "none"]}), folder / "history.parquet")
    (folder / "biology.txt").write_text(f"{SHORT}\n\n{prose(98, 20)}\n")
    (folder / "law.json").write_text(json.dumps([{"choices": {"text": [LICENCE, "no"]}, "id": 7}]))
    return folder


SETS = {"maths": "maths.jsonl", "history": "history.parquet", "biology": "biology.txt", "law": "law.json"}
FIELDS = {"maths": "question+answer", "history": "q", "law": "choices.text"}


@pytest.fixture
def decontaminate(made: Path, tmp_path: Path) -> Decontaminate:
    def go(name: str = "out", workers: int = 1, **settings: Any) -> Finished:
        values = {
            "datasets": [str(made / "a"), str(made / "b")],
            "against": {name: str(made / path) for name, path in SETS.items()},
            "fields": FIELDS,
            "ids": {"history": "key"},
            **settings,
        }
        stage = DecontaminateStage(validate(DecontaminateStage.Settings, values, "test"))
        stage.check()
        with Session(make_executor=lambda: make_executor("local", workers=workers)) as session:
            return run_stage(stage, str(tmp_path / name), session)

    return go


def rows(done: Finished, folder: str = "") -> list[dict[str, Any]]:
    entries = [*done.manifest["parts"], *done.manifest["files"]]
    chosen = [entry["path"] for entry in entries if entry["path"].rpartition("/")[0].removeprefix("_") == folder]
    return [row for path in chosen for row in pq.read_table(f"{done.folder}/{path}").to_pylist()]


def hits(done: Finished) -> dict[tuple[str, str, str], dict[str, Any]]:
    return {(row["id"], row["set"], row["item"]): row for row in rows(done, "hits")}


MATHS = ("maths", "maths.jsonl#0")
LAW = ("law", "7")
PLANTED = {
    ("quoted", *MATHS),
    ("both", *MATHS),
    ("half", *MATHS),
    ("nothing-left", *MATHS),
    ("chinese", "history", "zh-0"),
    ("short", "biology", "biology.txt#0"),
    *((f"licence-{number}", *LAW) for number in range(5)),
}


def test_a_report_tells_what_was_planted_and_leaves_every_document_as_it_is(decontaminate: Decontaminate) -> None:
    done = decontaminate()
    matches = hits(done)
    assert set(matches) == PLANTED
    assert {row["id"]: row["text"] for row in rows(done)} == DOCUMENTS
    assert not rows(done, "rejected") and not rows(done, "ledger")
    for (name, _, _), hit in matches.items():
        text = DOCUMENTS[name]
        assert (
            text.encode()[hit["start"] : hit["stop"]].decode() == text[hit["start_character"] : hit["stop_character"]]
        )
    words = len(QUESTION.split()) + len(ANSWER.replace("/", " ").replace("= ", "").split())
    assert matches["both", *MATHS]["share"] == 1.0
    assert matches["half", *MATHS]["share"] == 13 / words and matches["half", *MATHS]["ngrams"] == 1
    assert explain(recognise(done.folder), "half").lines[1].startswith("  maths: maths.jsonl#0 (35% of it), bytes ")
    assert explain(recognise(done.folder), "clean").lines[1:] == ["no evaluation item found"]
    assert DOCUMENTS["chinese"][matches["chinese", "history", "zh-0"]["start_character"]] == CHINESE[0]


def test_items_are_told_with_what_the_corpus_holds_of_them(decontaminate: Decontaminate) -> None:
    done = decontaminate(share=0.9)
    items = {(row["set"], row["item"]): row for row in rows(done, "items")}
    assert len(items) == 7
    maths = items[MATHS]
    assert (maths["documents"], maths["contaminated"], maths["share"]) == (4, 2, 1.0)
    assert not items["maths", "maths.jsonl#1"]["looked_for"] and items["maths", "maths.jsonl#1"]["words"] == 3
    assert items["history", "none"]["documents"] == 0
    assert done.manifest["facts"]["sets"]["maths"] == {
        "items": 2, "looked_for": 1, "too_short": 1, "found": 1, "contaminated": 1,
    }  # fmt: skip


def test_remove_rejects_with_the_share_in_the_ledger(decontaminate: Decontaminate) -> None:
    done = decontaminate(action="remove", share=0.5)
    gone = {row["id"]: row["broken_rules"] for row in rows(done, "rejected")}
    licences = {f"licence-{number}" for number in range(5)}
    assert set(gone) == {"both", "nothing-left", "quoted", "chinese", "short"} | licences
    assert gone["chinese"] == "decontaminate/history"
    ledger = {row["id"]: row for row in rows(done, "ledger")}
    assert ledger["both"] == {"id": "both", "rule": "decontaminate/maths", "value": 1.0, "threshold": 0.5}
    assert {row["id"]: row["text"] for row in rows(done)} == {k: v for k, v in DOCUMENTS.items() if k not in gone}
    assert {key[0] for key in hits(done)} == {key[0] for key in PLANTED}, "hits below the share are told, too"
    assert done.manifest["counts"] == {"documents_in": 13, "kept": 3, "rejected": 10, "quarantined": 0}
    assert done.manifest["facts"]["documents_that_broke"]["decontaminate/maths"] == 3
    assert explain(recognise(done.folder), "both").lines == ["decontaminate/maths: 1 is above 0.5"]
    assert not [problem for folder in verify(recognise(done.folder)) for problem in folder.problems]
    assert ("documents with items", "10") in summary_rows(done.manifest)


def test_a_cut_takes_the_place_with_its_margin_out_and_nothing_of_it_is_found_again(
    decontaminate: Decontaminate, made: Path, tmp_path: Path
) -> None:
    done = decontaminate(action="cut", margin=20, least_piece=30)
    kept = {row["id"]: row["text"] for row in rows(done)}
    assert set(kept) == set(DOCUMENTS) - {"nothing-left"}
    for name in ("clean", "twelve"):
        assert kept[name] == DOCUMENTS[name]
    before, _, after = DOCUMENTS["short"].partition(SHORT)
    first, _, second = kept["short"].partition("\n\n")
    assert before.startswith(first) and after.endswith(second)
    assert 20 <= len(before) - len(first) <= 30 and 20 <= len(after) - len(second) <= 30
    assert before[len(first)] == " " and after[-len(second) - 1] == " ", "no word is cut in half"
    assert rows(done, "ledger") == [
        {"id": "nothing-left", "rule": "decontaminate/pieces", "value": 0.0, "threshold": 1.0}
    ]
    changed = {row["id"]: (row["rule"], row["bytes_before"], row["bytes_after"]) for row in rows(done, "rewrites")}
    assert changed == {
        name: ("decontaminate", len(DOCUMENTS[name].encode()), len(text.encode()))
        for name, text in kept.items()
        if text != DOCUMENTS[name]
    }
    again = decontaminate("again", datasets=[done.folder])
    assert hits(again) == {}
    facts = done.manifest["facts"]
    assert facts["bytes_in"] == sum(len(text.encode()) for text in DOCUMENTS.values())
    assert facts["bytes_cut"] == sum(before - after for _, before, after in changed.values())


def test_what_many_documents_hold_or_a_file_allows_is_no_sign_of_an_item(
    decontaminate: Decontaminate, tmp_path: Path
) -> None:
    others = {key for key in PLANTED if key[1] != "law"}
    common = decontaminate("common", maximum_documents=4)
    assert set(hits(common)) == others
    left_out = common.manifest["facts"]["left_out"]["common"]
    assert left_out["ngrams"] == len(LICENCE.split()) - 13 + 1
    assert left_out["such_as"][0][1] == 5
    assert set(hits(decontaminate("five", maximum_documents=5))) == PLANTED
    (tmp_path / "licence.txt").write_text(f"# our licence\n{LICENCE.upper()}")
    assert set(hits(decontaminate("allowed", allow=[str(tmp_path / "licence.txt")]))) == others


def test_what_the_items_of_a_set_share_is_its_template(decontaminate: Decontaminate, tmp_path: Path) -> None:
    template = "Choose the best of the following four answers to the question that is asked below now"
    lines = [json.dumps({"text": f"{template}: {prose(200 + number, 15)}"}) for number in range(4)]
    (tmp_path / "set.jsonl").write_text("\n".join(lines))
    write_dataset(tmp_path / "page", [{"id": "page", "text": f"{template} {prose(202, 15)}"}])
    settings = {
        "datasets": [str(tmp_path / "page")],
        "against": {"s": str(tmp_path / "set.jsonl")},
        "fields": {},
        "ids": {},
    }
    assert {key[2] for key in hits(decontaminate("all", **settings))} == {f"set.jsonl#{n}" for n in range(4)}
    (hit,) = hits(decontaminate("template", maximum_items=3, **settings)).values()
    assert hit["item"] == "set.jsonl#2"


def test_workers_and_parts_leave_no_trace_in_the_bytes(decontaminate: Decontaminate, tmp_path: Path) -> None:
    settings = {"action": "cut", "maximum_documents": 4, "margin": 10, "least_piece": 10}
    one, two = decontaminate("one", **settings), decontaminate("two", workers=2, **settings)
    assert final_bytes(Path(one.folder)) == final_bytes(Path(two.folder))
    assert decontaminate("one", **settings).was_done


def test_a_folder_is_a_set_without_what_else_lies_in_it(decontaminate: Decontaminate, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "README.md").write_text(LICENCE)
    (folder / "test.txt").write_text(SHORT)
    done = decontaminate(against={"b": str(folder)}, fields={}, ids={})
    assert {key[1:] for key in hits(done)} == {("b", "test.txt#0")}
    (folder / "test.txt").unlink()
    with pytest.raises(UserError, match="no file here can be read as an evaluation set"):
        decontaminate("none", against={"b": str(folder)}, fields={}, ids={})


def test_a_dataset_may_be_the_set(decontaminate: Decontaminate, made: Path) -> None:
    done = decontaminate(datasets=[str(made / "b")], against={"a": str(made / "a")}, fields={}, ids={}, share=0.5)
    assert rows(done, "items")[0]["item"] == "clean"
    assert {key[2] for key in hits(done)} >= {"both", "quoted"}


def test_mistakes_are_said_before_anything_is_written(decontaminate: Decontaminate, made: Path, tmp_path: Path) -> None:
    for match, settings in (
        ("no evaluation set 'gsm'", {"fields": {"gsm": "question"}}),
        ("no file matches", {"against": {"x": str(made / "nowhere.jsonl")}, "fields": {}, "ids": {}}),
        ("minimum", {"minimum": 14}),
        ("cannot be the name", {"against": {"a,b": "x"}}),
        ("give at least one set", {"against": {}}),
    ):
        with pytest.raises(UserError, match=match):
            decontaminate(**settings)
    assert not (tmp_path / "out").exists()
    with pytest.raises(Exception, match=r"no record has a text in the field 'prompt'.*question, answer"):
        decontaminate(against={"maths": str(made / "maths.jsonl")}, fields={"maths": "prompt"}, ids={})
