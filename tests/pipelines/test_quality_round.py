"""The loop that grows seeds: what a round proposes, what people accept, and what the next round makes of it."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

from corpusmill.dataproc.errors import UserError
from corpusmill.pipelines.cli.quality import app_for
from corpusmill.pipelines.engine.state import read_manifest
from tests.pipelines.road import final_bytes
from tests.pipelines.test_quality import table, text
from tests.pipelines.test_stage_inputs import run as run_ingest

SUBJECT = ("sums.org", "proofs.co.uk")
"""Domains on the subject: seeds are like some of their pages only, so that a first round misses others."""

SETTINGS = (
    "--top-share", "0.1", "--dimensions", "8", "--epochs", "20", "--learning-rate", "0.5", "--domain-pages", "20",
    "--workers", "1", "--negative-cap", "400",
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seeds, and a crawl of twelve domains, two of them on the subject, with pages that have no address."""
    where = tmp_path_factory.mktemp("round")
    draw = np.random.default_rng(3)

    def write(name: str, records: list[dict[str, object]]) -> None:
        (where / f"{name}.jsonl").write_text("\n".join(map(json.dumps, records)))
        run_ingest("ingest", where / name, inputs=[str(where / f"{name}.jsonl")], part_bytes="64KiB")

    write("seeds", [{"id": f"s{number}", "text": text(draw, True)} for number in range(150)])
    pages: list[dict[str, object]] = []
    for number in range(1200):
        domain = [*SUBJECT, *(f"site{other}.de" for other in range(10))][number % 12]
        is_good = draw.random() < (0.5 if domain in SUBJECT else 0.02)
        address = f"https://www.{domain}/{'maths' if number % 24 < 12 else 'news'}/{number}"
        pages.append({"id": f"p{number}", "text": text(draw, is_good), "url": None if number % 50 == 7 else address})
    write("crawl", pages)
    return where


def call(*arguments: str) -> Result:
    return CliRunner().invoke(app_for("quality"), ["round", *arguments])


def accept(loop: Path, number: int, domains: dict[str, str]) -> None:
    """What a person does: true before some domains, perhaps with a path."""
    review = loop / f"round-{number:02d}" / "review.csv"
    with review.open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        if row["domain"] in domains:
            row |= {"accept": "true", "path": domains[row["domain"]]}
    with review.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture(scope="module")
def loop(folder: Path) -> Path:
    """Two rounds, with one domain accepted whole and one below a path."""
    where = folder / "loop"
    result = call(str(where), "--seeds", str(folder / "seeds"), "--corpus", str(folder / "crawl"), *SETTINGS)
    assert result.exit_code == 0, result.output
    accept(where, 1, {"sums.org": "", "proofs.co.uk": "/maths"})
    result = call(str(where), "--workers", "1")
    assert result.exit_code == 0, result.output
    (where / "said").write_text(result.stdout)
    return where


def test_a_first_round_proposes_the_domains_on_the_subject_and_no_others(loop: Path) -> None:
    with (loop / "round-01/domains/proposals.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["domain"] for row in rows} == set(SUBJECT)
    collected = table(str(loop / "round-01/collected"))
    for row in rows:
        addresses = [url for url in collected["url"].to_pylist() if url and f".{row['domain']}/" in url]
        assert row["accept"] == "false"
        assert int(row["collected"]) == len(addresses)
        assert set(row["examples"].split()) <= set(addresses)
        assert float(row["share"]) == pytest.approx(len(addresses) / int(row["pages"]), abs=0.001)


def test_counts_are_of_every_domain_and_add_up_with_pages_that_have_none(loop: Path, folder: Path) -> None:
    manifest = read_manifest(str(loop / "round-01/domains"))
    assert manifest is not None
    (path,) = (loop / "round-01/domains/domains").glob("*.parquet")
    counts = pq.read_table(path)
    assert counts.num_rows == 12 == manifest["counts"]["domains"]
    without = table(str(folder / "crawl"))["url"].null_count
    assert manifest["counts"]["without_domain"] == without > 0
    assert sum(counts["pages"].to_pylist()) + without == 1200 == manifest["counts"]["pages"]


def test_the_next_round_learns_from_uncollected_pages_of_accepted_domains(loop: Path) -> None:
    seeds = table(str(loop / "round-02/seeds"))
    rejected = table(str(loop / "round-01/collected"), "rejected")
    wanted = {
        row["id"]
        for row in rejected.to_pylist()
        if row["url"] and re.match(r"https://www\.(sums\.org/|proofs\.co\.uk/maths)", row["url"])
    }
    assert set(seeds["id"].to_pylist()) == wanted
    assert "broken_rules" not in seeds.column_names
    record = json.loads((loop / "round-02/classifier/quality.json").read_text())
    assert record["data"]["positive"]["documents"] == 150 + len(wanted)


def test_a_round_says_how_much_the_one_before_had_collected(loop: Path) -> None:
    one, two = (set(table(str(loop / f"round-{number:02d}/collected"))["id"].to_pylist()) for number in (1, 2))
    manifest = read_manifest(str(loop / "round-02/domains"))
    assert manifest is not None
    assert manifest["facts"]["overlap"] == len(one & two) / len(two)
    assert manifest["facts"]["new_documents"] == len(two - one)
    assert f"{len(one & two) / len(two):.1%} of them had been collected in round 1" in (loop / "said").read_text()


def test_accepted_domains_are_not_proposed_again(loop: Path) -> None:
    assert b"sums.org" not in (loop / "round-02/domains/proposals.csv").read_bytes()


def test_a_finished_round_waits_for_people_and_keeps_what_they_wrote(loop: Path) -> None:
    before = (loop / "round-01/review.csv").read_bytes()
    result = call(str(loop), "--workers", "1")
    assert isinstance(result.exception, UserError)
    assert "write true before domains" in str(result.exception)
    assert (loop / "round-01/review.csv").read_bytes() == before
    assert not (loop / "round-03").exists()


def test_two_workers_give_the_same_round(folder: Path, loop: Path) -> None:
    other = folder / "other"
    flags = [*SETTINGS[:-4], "--workers", "2", *SETTINGS[-2:]]
    result = call(str(other), "--seeds", str(folder / "seeds"), "--corpus", str(folder / "crawl"), *flags)
    assert result.exit_code == 0, result.output
    one, two = final_bytes(other / "round-01/domains"), final_bytes(loop / "round-01/domains")
    del one["_manifest.json"], two["_manifest.json"]  # names its inputs by their paths
    assert one == two


def test_settings_are_those_that_the_loop_was_begun_with(folder: Path, loop: Path, tmp_path: Path) -> None:
    more = ["--seeds", str(folder / "seeds"), "--corpus", str(folder / "crawl"), "--top-share", "0.5"]
    for arguments, said in (
        ([str(loop), *more], "other settings"),
        ([str(tmp_path / "new")], "no loop was started here"),
        ([str(tmp_path / "new"), "--top-share", "0.5"], "without --seeds and --corpus"),
        ([str(tmp_path / "new"), *more[:4]], "no setting says what to keep"),
    ):
        result = call(*arguments)
        assert isinstance(result.exception, UserError)
        assert said in str(result.exception)
    assert not (tmp_path / "new").exists()
