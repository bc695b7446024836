"""De-duplication as a stage: every row is accounted for, whatever the blocks, partitions, workers and file order."""

import json
import random
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from corpusmill.dataproc.errors import UserError
from corpusmill.pipelines.engine.executor import make_executor
from corpusmill.pipelines.engine.stage import Session, run_stage
from corpusmill.pipelines.registry import stage_type
from corpusmill.pipelines.settings import validate
from corpusmill.pipelines.stages import blocks as blocks_module
from corpusmill.pipelines.stages.blocks import block_numbers
from corpusmill.pipelines.stages.dedup import plan as stage
from corpusmill.pipelines.stages.dedup.work import signing, surviving
from corpusmill.pipelines.stages.index.changes import add_dataset
from tests.pipelines.test_stage_inputs import run

WORDS = [f"{a}{b}{c}" for a in "bdfgklmnprst" for b in "aeiou" for c in "lmnrst"]


def sentence(seed: int, words: int = 60) -> list[str]:
    return random.Random(seed).choices(WORDS, k=words)


def changed(words: list[str], count: int, seed: int = 0) -> str:
    """The words with some of them replaced, evenly spread: `count` of 60 leave a Jaccard similarity of 5-word
    shingles near (56 - 5 count) / (56 + 5 count)."""
    words = list(words)
    for number in range(count):
        words[(int((number + 0.5) * len(words) / count) + 11 * seed) % len(words)] = f"changed{seed}x{number}"
    return " ".join(words)


def corpus() -> list[dict[str, Any]]:
    """Clusters of near copies, exact copies, copies that differ in case only, and lone documents; in two sources."""
    rows = []
    for cluster in range(12):
        words = sentence(cluster)
        rows.append({"id": f"c{cluster}-original", "text": " ".join(words), "source": "book"})
        rows.append({"id": f"c{cluster}-near", "text": changed(words, 1), "source": "web"})
        if cluster % 3 == 0:
            rows.append({"id": f"c{cluster}-copy", "text": " ".join(words), "source": "web"})
        if cluster % 4 == 0:
            rows.append({"id": f"c{cluster}-case", "text": " ".join(words).upper() + " !", "source": "web"})
        if cluster % 5 == 0:
            rows.append({"id": f"c{cluster}-far", "text": changed(words, 8, cluster), "source": "web"})
    rows += [
        {"id": f"lone-{number}", "text": " ".join(sentence(1000 + number)), "source": "web"} for number in range(30)
    ]
    return rows


def dataset(folder: Path, rows: list[dict[str, Any]], files: int = 4) -> str:
    """Ingests rows from several files, a part each."""
    inputs = []
    for number in range(files):
        path = folder / f"raw-{number}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        by_source: dict[str, list[str]] = {}
        for row in rows[number::files]:
            by_source.setdefault(row.get("source", "web"), []).append(json.dumps(row))
        for source, lines in sorted(by_source.items()):
            named = path.with_name(f"raw-{number}-{source}.jsonl")
            named.write_text("\n".join(lines))
            inputs.append({"path": str(named), "source": source})
    run("ingest", folder / "documents", inputs=inputs, part_bytes="64KiB")
    return str(folder / "documents")


def ids(folder: str) -> set[str]:
    paths = sorted(Path(folder).glob("*.parquet"))
    return {name for path in paths for name in pq.read_table(path)["id"].to_pylist()}


def removed(folder: str) -> dict[str, dict[str, Any]]:
    paths = sorted(Path(folder, "_duplicates").glob("*.parquet.side"))
    return {row["id"]: row for path in paths for row in pq.read_table(path).to_pylist()}


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> str:
    return dataset(tmp_path_factory.mktemp("corpus"), corpus())


@pytest.fixture
def small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many blocks and many partitions from a small corpus."""
    monkeypatch.setattr(blocks_module, "LEAST_BLOCKS", 1000)
    monkeypatch.setattr(blocks_module, "PARTITION_BYTES", 512)


def test_copies_and_near_copies_go_and_name_their_survivor(
    documents: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = run("dedup", tmp_path / "unique", datasets=[documents])
    gone = removed(done.folder)
    assert ids(done.folder) | gone.keys() == ids(documents) and not ids(done.folder) & gone.keys()
    for cluster in range(12):
        survivors = [name for name in ids(done.folder) if name.startswith(f"c{cluster}-") and "far" not in name]
        assert len(survivors) == 1
    assert {row["method"] for name, row in gone.items() if name.endswith("-copy")} <= {"exact", "minhash"}
    assert all(row["similarity"] > 0.7 for row in gone.values())
    facts = done.manifest["facts"]
    assert sum(facts["duplicates_by_method"].values()) == len(gone) == done.manifest["counts"]["duplicates"]
    assert sum(sum(row.values()) for row in facts["duplicate_sources"].values()) == len(gone)
    assert facts["clusters"] == 12 == sum(facts["cluster_sizes"].values())
    assert not Path(done.folder, "_work").exists()
    assert "18 bands of 6 rows" in capsys.readouterr().err, "the curve is told before the run"


@pytest.mark.parametrize("verify", ["signatures", "exact"])
def test_blocks_partitions_and_workers_leave_no_trace(
    documents: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verify: str
) -> None:
    def files(folder: str) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in Path(folder).rglob("*.parquet*")}

    plain = run("dedup", tmp_path / "plain", datasets=[documents], verify=verify)
    monkeypatch.setattr(blocks_module, "LEAST_BLOCKS", 1000)
    monkeypatch.setattr(blocks_module, "PARTITION_BYTES", 512)
    made_of = stage_type("dedup")
    settings = validate(made_of.Settings, {"datasets": [documents], "verify": verify}, "test")
    with Session(make_executor=lambda: make_executor("local", workers=2)) as session:
        many = run_stage(made_of(settings), str(tmp_path / "many"), session)
    assert len(list(Path(many.folder, "_state/sign").glob("*.json"))) > 3
    assert len(list(Path(many.folder, "_state/survivors").glob("*.json"))) > 3
    assert files(plain.folder) == files(many.folder)
    for done in (plain, many):  # a pair may be found in several partitions, and is counted in each
        done.manifest["facts"].pop("candidate_pairs"), done.manifest["facts"].pop("verified_pairs")
    assert plain.manifest["facts"] == many.manifest["facts"]


def test_partitions_that_are_gone_through_in_passes_give_the_same(
    documents: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run("dedup", tmp_path / "whole", datasets=[documents])
    monkeypatch.setattr(blocks_module, "PARTITION_BYTES", 512)
    monkeypatch.setattr(stage, "PARTITIONS", 2)
    assert blocks_module.passes_of(66 * 19 * 24, 2) > 5
    passed = run("dedup", tmp_path / "passes", datasets=[documents])
    assert ids(passed.folder) == ids(whole.folder) and removed(passed.folder) == removed(whole.folder)
    assert len(list(Path(passed.folder, "_state/pairs").glob("*.json"))) == 2


@pytest.mark.parametrize("prefer", ["length:desc", "url:asc"])
def test_members_in_pieces_and_shingles_in_a_file_give_the_same(
    documents: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prefer: str
) -> None:
    whole = run("dedup", tmp_path / "whole", datasets=[documents], prefer=[prefer])
    monkeypatch.setattr(surviving, "PIECE_BYTES", 1)
    monkeypatch.setattr(surviving, "store_sets", partial(surviving.store_sets, held_bytes=0))
    pieces = run("dedup", tmp_path / "pieces", datasets=[documents], prefer=[prefer])
    assert all(pieces.manifest[name] == whole.manifest[name] for name in ("facts", "parts", "files"))
    assert whole.manifest["facts"]["duplicates_by_method"]["minhash"] > 10


def test_the_order_of_rows_and_files_has_no_influence(tmp_path: Path, small_files: None) -> None:
    kept = []
    for number in range(3):
        rows = corpus()
        random.Random(number).shuffle(rows)
        done = run(
            "dedup", tmp_path / f"unique-{number}", datasets=[dataset(tmp_path / f"in-{number}", rows, 2 + number)],
            prefer=["source:first(book)", "length:desc"],
        )  # fmt: skip
        kept.append(ids(done.folder))
    assert kept[0] == kept[1] == kept[2]
    assert {f"c{cluster}-original" for cluster in range(12)} <= kept[0]


def test_one_duplicate_more_removes_nobody_else(documents: str, tmp_path: Path) -> None:
    before = ids(run("dedup", tmp_path / "before", datasets=[documents]).folder)
    more = [*corpus(), {"id": "zz", "text": " ".join(sentence(1004)), "source": "web"}]
    after = ids(run("dedup", tmp_path / "after", datasets=[dataset(tmp_path / "in", more)]).folder)
    assert after == before


def test_exact_verification_keeps_whoever_has_no_partner_at_the_threshold(tmp_path: Path) -> None:
    rows = []
    for cluster in range(24):  # pairs at 0.60, and pairs at 0.44
        for count in (2, 1 if cluster % 2 else 4):
            rows.append({"id": f"{cluster}-{count}", "text": changed(sentence(cluster), count, count)})
    shingles = {
        row["id"]: {tuple(row["text"].split()[at : at + 5]) for at in range(len(row["text"].split()) - 4)}
        for row in rows
    }

    def alike(one: str, other: str) -> float:
        a, b = shingles[one], shingles[other]
        return len(a & b) / len(a | b)

    documents = dataset(tmp_path / "in", rows)
    done = run("dedup", tmp_path / "unique", datasets=[documents], verify="exact", threshold=0.5, recall=0.9999)
    apart = [cluster for cluster in range(24) if alike(f"{cluster}-2", f"{cluster}-{1 if cluster % 2 else 4}") < 0.5]
    assert 0 < len(apart) < 24
    assert len(removed(done.folder)) == 24 - len(apart)
    for name in removed(done.folder):
        assert max(alike(name, other) for other in shingles if other != name) >= 0.5


def shingles(text: str) -> set[tuple[str, ...]]:
    words = text.split()
    return {tuple(words[at : at + 5]) for at in range(len(words) - 4)}


def chain(links: int, length: int = 200, step: int = 10) -> list[dict[str, Any]]:
    """Texts that each share most with the next, the first and the last nothing; all but the first a word longer."""
    words = sentence(77, links * step + length + 1)
    return [
        {"id": f"chain-{link:03}", "text": " ".join(words[link * step : link * step + length + (link > 0)])}
        for link in range(links)
    ]


@pytest.mark.parametrize("verify", ["signatures", "exact"])
def test_whoever_goes_is_like_the_one_that_stays_for_it(tmp_path: Path, verify: str) -> None:
    """A chain, templates and a giant star, in which components would leave one survivor for texts unlike it."""
    rows = [*chain(60), *corpus()]
    template = sentence(78, 300)
    rows += [
        {"id": f"template-{number}", "text": " ".join([*template[:150], *sentence(200 + number, 12), *template[150:]])}
        for number in range(30)
    ]
    texts = {row["id"]: shingles(row["text"].lower().replace(" !", "")) for row in rows}
    done = run("dedup", tmp_path / "unique", datasets=[dataset(tmp_path / "in", rows)], verify=verify)
    gone, kept = removed(done.folder), ids(done.folder)
    assert len(gone) > 60
    for name, row in gone.items():
        ours, survivors = texts[name], texts[row["survivor"]]
        assert row["survivor"] in kept
        assert row["similarity"] >= 0.8
        if row["method"] == "exact":
            assert (row["verified"], row["similarity"], row["containment"]) == ("digest", 1.0, 1.0)
        elif verify == "exact":
            assert row["verified"] == "shingles"
            assert row["similarity"] == pytest.approx(len(ours & survivors) / len(ours | survivors))
            assert row["containment"] == pytest.approx(len(ours & survivors) / len(ours))
        else:
            assert (row["verified"], row["containment"]) == ("signatures", None)
    links = sorted(name for name in kept if name.startswith("chain"))
    assert len(links) > 10, "a chain is more than one text"
    if verify == "exact":
        for one, other in pairwise(links):  # neighbours of neighbours were compared
            assert len(texts[one] & texts[other]) / len(texts[one] | texts[other]) < 0.8


def test_lossless_removal_takes_only_what_its_survivor_holds(tmp_path: Path) -> None:
    words = sentence(5, 300)
    rows = [
        {"id": "whole", "text": " ".join(words)},
        {"id": "part", "text": " ".join(words[:270])},  # in it
        {"id": "variant", "text": changed(words[:290], 5)},  # as similar, with words of its own
    ]
    documents = dataset(tmp_path / "in", rows, 1)
    assert removed(run("dedup", tmp_path / "plain", datasets=[documents]).folder).keys() == {"part", "variant"}
    done = run("dedup", tmp_path / "lossless", datasets=[documents], keep_unless={"contained": 0.95})
    assert removed(done.folder).keys() == {"part"}
    assert removed(done.folder)["part"]["containment"] == 1.0
    with pytest.raises(UserError, match="signatures cannot tell what a document contains"):
        run("dedup", tmp_path / "no", datasets=[documents], keep_unless={"contained": 0.9}, verify="signatures")


def test_a_source_that_loses_too_much_ends_the_stage_before_anything_is_removed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = sentence(9)
    rows = [{"id": f"copy-{number}", "text": changed(words, 1), "source": "mirror"} for number in range(120)]
    rows += [
        {"id": f"own-{number}", "text": " ".join(sentence(500 + number)), "source": "press"} for number in range(20)
    ]
    documents = dataset(tmp_path / "in", rows)
    with pytest.raises(UserError, match=r"source 'mirror' loses 99.2% of its 120 .*120 like 'copy-0'.*max_loss is 50%"):
        run("dedup", tmp_path / "unique", datasets=[documents], max_loss="50%")
    assert not list((tmp_path / "unique").glob("*.parquet"))
    done = run("dedup", tmp_path / "allowed", datasets=[documents])
    assert "dedup: source 'mirror' loses 99.2%" in capsys.readouterr().err
    assert done.manifest["facts"]["loss"]["source"] == {
        "mirror": {"documents": 120, "removed": 119},
        "press": {"documents": 20, "removed": 0},
    }


def test_normalised_copies_are_exact_copies(documents: str, tmp_path: Path) -> None:
    prefer = ["source:first(book)"]
    plain = run("dedup", tmp_path / "plain", datasets=[documents], method=["exact"], prefer=prefer)
    assert {name.split("-")[1] for name in removed(plain.folder)} == {"copy"}
    done = run(
        "dedup", tmp_path / "done", datasets=[documents], method=["exact"], normalise=["case", "space", "punctuation"],
        prefer=prefer,
    )  # fmt: skip
    assert {name.split("-")[1] for name in removed(done.folder)} == {"copy", "case"}


def test_protected_documents_stay_and_what_is_like_them_goes(tmp_path: Path, small_files: None) -> None:
    evaluation = [row for row in corpus() if row["id"].startswith(("c0-", "c1-")) and row["id"].endswith("near")]
    evaluation += [
        {"id": "lone-3", "text": " ".join(sentence(1003)), "source": "eval"}
    ]  # the id of a document of the other
    evaluation += [{"id": "twin", "text": " ".join(sentence(1003)), "source": "eval"}]
    protected, own = dataset(tmp_path / "b", evaluation, 2), dataset(tmp_path / "a", corpus())
    before = {path: path.read_bytes() for path in Path(protected).rglob("*") if path.is_file()}
    done = run("dedup", tmp_path / "unique", datasets=[own], protect=[protected])
    gone = removed(done.folder)
    assert done.manifest["counts"]["documents_in"] == len(corpus())
    assert {"c0-original", "c0-copy", "c0-near", "c1-original", "c1-near", "lone-3"} <= gone.keys()
    assert gone["c0-original"]["survivor"] == "c0-near" and gone["lone-3"]["survivor"] in ("lone-3", "twin")
    assert "c2-original" in gone.keys() | ids(done.folder)
    assert sum(name.startswith("c2-") for name in ids(done.folder)) == 1, "its own duplicates go as well"
    assert before == {path: path.read_bytes() for path in Path(protected).rglob("*") if path.is_file()}
    with pytest.raises(UserError, match="given twice"):
        run("dedup", tmp_path / "other", datasets=[own], protect=[own])


def test_character_shingles_find_what_word_shingles_do_not(tmp_path: Path) -> None:
    word = "".join(random.Random(1).choices("abcdefghij", k=400))
    rows = [{"id": "one", "text": word}, {"id": "two", "text": f"{word[:200]}x{word[200:]}"}]
    documents = dataset(tmp_path / "in", rows, 1)
    by_word = run("dedup", tmp_path / "word", datasets=[documents])
    by_character = run("dedup", tmp_path / "character", datasets=[documents], shingle="character", ngram=8)
    assert (len(removed(by_word.folder)), len(removed(by_character.folder))) == (0, 1)


def test_a_quarantined_row_does_not_take_its_namesake_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["A bad text, which nothing can read.", "A good text of the same name.", *"abcdefgh"]
    rows = [{"id": "same" if number < 2 else str(number), "text": text} for number, text in enumerate(texts)]
    (tmp_path / "raw.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    run("ingest", tmp_path / "documents", inputs=[str(tmp_path / "raw.jsonl")])
    real = signing.text_digests

    def fails_on_bad_texts(batch: pa.Array, normalise: tuple[str, ...]) -> Any:
        if any("bad" in text for text in batch.to_pylist()):
            raise ValueError("cannot read this")
        return real(batch, normalise)

    monkeypatch.setattr(signing, "text_digests", fails_on_bad_texts)
    done = run("dedup", tmp_path / "unique", datasets=[str(tmp_path / "documents")])
    assert done.manifest["counts"] == {"documents_in": 10, "kept": 9, "duplicates": 0, "quarantined": 1}
    assert "A good text of the same name." in pq.read_table(tmp_path / "unique/part-00000.parquet")["text"].to_pylist()


def test_unreadable_documents_are_nobodys_duplicate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"id": f"{number}", "text": "bad" if number < 2 else f"text {number}"} for number in range(12)]
    documents = dataset(tmp_path / "in", rows, 1)
    real = signing.text_digests

    def fails(batch: pa.Array, normalise: tuple[str, ...]) -> Any:
        if "bad" in batch.to_pylist():
            raise ValueError("cannot read this")
        return real(batch, normalise)

    monkeypatch.setattr(signing, "text_digests", fails)
    done = run("dedup", tmp_path / "unique", datasets=[documents], method=["exact"])
    assert done.manifest["counts"] == {"documents_in": 12, "kept": 10, "duplicates": 0, "quarantined": 2}


def test_blocks_are_consecutive_parts_and_never_of_both_kinds() -> None:
    rows = [5, 0, 300, 1, 1, 1, 400, 9, 9]
    blocks = block_numbers(rows, own=7)
    assert blocks[0] == 0 and all(after - before in (0, 1) for before, after in pairwise(blocks))
    assert blocks[6] != blocks[7]
    assert block_numbers([], 0) == []
    many = block_numbers([10_000] * 5_000, 5_000)
    assert max(many.count(block) for block in set(many[:300])) == 78  # a 64th of 50 million rows


@pytest.mark.parametrize("verify", ["signatures", "exact"])
def test_clusters_by_way_of_files_are_those_in_memory(
    documents: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_files: None, verify: str
) -> None:
    def files(folder: str) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in Path(folder).rglob("*.parquet*")}

    in_memory = run("dedup", tmp_path / "memory", datasets=[documents], verify=verify)
    monkeypatch.setattr(stage, "CORE_BYTES", 1 << 40)
    by_files = run("dedup", tmp_path / "files", datasets=[documents], verify=verify)
    assert list(Path(by_files.folder, "_state").glob("cluster-stars-*"))
    assert files(in_memory.folder) == files(by_files.folder)
    assert in_memory.manifest["facts"] == by_files.manifest["facts"]


@pytest.mark.parametrize("partitions", [1024, 2])
def test_what_an_index_holds_goes_and_so_do_its_near_copies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_files: None, partitions: int
) -> None:
    monkeypatch.setattr(stage, "PARTITIONS", partitions)
    old = [row for row in corpus() if row["id"] in ("c0-near", "c1-near", "lone-3")]
    indexed, own = dataset(tmp_path / "old", old, 2), dataset(tmp_path / "new", corpus())
    index = str(tmp_path / "index")
    with Session(make_executor=lambda: make_executor("local", workers=1)) as session:
        add_dataset(index, indexed, session)
    done = run("dedup", tmp_path / "unique", datasets=[own], against=index)
    gone = removed(done.folder)
    assert {"c0-original", "c0-copy", "c0-near", "c1-near", "lone-3"} <= gone.keys()
    assert all(row["similarity"] >= 0.8 for row in gone.values()), "an index's estimates are held to the threshold, too"
    assert {gone[name]["survivor"] for name in ("c0-original", "c0-near", "c0-copy")} == {"c0-near"}
    assert gone["lone-3"] | {"cluster": 0} == {
        "id": "lone-3", "survivor": "lone-3", "similarity": 1.0, "containment": 1.0, "method": "exact",
        "verified": "digest", "cluster": 0,
    }  # fmt: skip
    assert gone["c0-original"]["verified"] == "signatures"
    assert sum(name.startswith("c2-") for name in ids(done.folder)) == 1, "its own duplicates go as well"
    matrix = done.manifest["facts"]["duplicate_sources"]
    assert matrix["web"]["(index)"] >= 3
    assert sum(sum(row.values()) for row in matrix.values()) == len(gone)
    lossless = run("dedup", tmp_path / "lossless", datasets=[own], against=index, keep_unless={"contained": 0.95})
    less = removed(lossless.folder)
    assert "lone-3" in less and less["c0-near"]["verified"] == "digest"
    assert "signatures" in {row["verified"] for row in gone.values()}
    assert "signatures" not in {row["verified"] for row in less.values()}, "which do not tell what the index holds"
    assert all(row["containment"] >= 0.95 for row in less.values())
    protected = run("dedup", tmp_path / "protected", datasets=[own], protect=[indexed])
    assert ids(protected.folder) <= ids(done.folder), "texts are at hand there, and estimates miss some"
    with pytest.raises(UserError, match="ngram"):
        run("dedup", tmp_path / "other", datasets=[own], against=index, ngram=4)


@pytest.mark.parametrize("settings", [{}, {"verify": "exact"}, {"method": ["exact"]}])
def test_parts_and_datasets_without_documents_are_nothing_special(
    tmp_path: Path, small_files: None, settings: dict[str, Any]
) -> None:
    (tmp_path / "empty.jsonl").write_text("")
    run("ingest", tmp_path / "empty", inputs=[str(tmp_path / "empty.jsonl")])
    done = run("dedup", tmp_path / "none", datasets=[str(tmp_path / "empty")], **settings)
    assert done.manifest["counts"] == {"documents_in": 0, "kept": 0, "duplicates": 0, "quarantined": 0}
    both = dataset(tmp_path / "in", corpus())
    alone = run("dedup", tmp_path / "alone", datasets=[both], **settings)
    beside = run("dedup", tmp_path / "beside", datasets=[str(tmp_path / "empty"), both], **settings)
    assert ids(alone.folder) == ids(beside.folder) and removed(beside.folder).keys() == removed(alone.folder).keys()


def test_a_preference_by_statistics_beside_the_documents_decides_who_stays(tmp_path: Path) -> None:
    rows = [
        {"id": f"{cluster}-{kind}", "text": " ".join(sentence(cluster)).replace(" ", gap), "source": "web"}
        for cluster in range(6)
        for kind, gap in (("wide", "  "), ("lines", " \n"), ("plain", " "))
    ]
    documents = dataset(tmp_path / "in", rows)
    run("filter", tmp_path / "clean", datasets=[documents], rules=[])
    for prefer, kind in ((["statistics.line_count desc"], "lines"), (["statistics.byte_count:asc"], "plain")):
        done = run("dedup", tmp_path / kind, datasets=[str(tmp_path / "clean")], prefer=prefer)
        assert ids(done.folder) == {f"{cluster}-{kind}" for cluster in range(6)}
        for row in removed(done.folder).values():
            assert row["survivor"].endswith(kind) and row["similarity"] == 1.0
    with pytest.raises(UserError, match=r"no column 'statistics\.quality'"):
        run("dedup", tmp_path / "none", datasets=[str(tmp_path / "clean")], prefer=["statistics.quality:desc"])
    with pytest.raises(UserError, match=r"no column 'statistics\.line_count'"):
        run("dedup", tmp_path / "none", datasets=[documents], prefer=["statistics.line_count:desc"])
    both = run("dedup", tmp_path / "both", datasets=[documents], protect=[str(tmp_path / "clean")],
               prefer=["statistics.line_count:desc", "longest"])  # fmt: skip
    assert both.manifest["counts"]["kept"] == 0
