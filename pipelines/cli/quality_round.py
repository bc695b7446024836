"""The loop that grows the seeds of a subject (Shao et al. 2024, DeepSeekMath, section 2.1), a round a call.

    LOOP/loop.json                 the settings of all rounds, written by the first call
    LOOP/round-02/seeds/           pages of the domains accepted after round 1 that round 1 had not collected
    LOOP/round-02/classifier/      trained on the first seeds and all such pages, against the corpus or other negatives
    LOOP/round-02/scored/          the corpus with scores; nothing reads it once the round is done, so it may be deleted
    LOOP/round-02/collected/       the best documents, and in rejected/ the others
    LOOP/round-02/domains/         pages by registered domain, and proposals.csv
    LOOP/round-02/review.csv       a copy of the proposals, for people: write true before what is about the subject

All but the review are stages as any others: a round that was killed goes on where it was, and every folder can be
inspected. The paper stopped after its fourth round, when 98 % of what was collected had been collected before; each
round says that number, and deciding is left to people.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from corpusmill.dataproc import storage
from corpusmill.dataproc.errors import UserError
from corpusmill.pipelines.engine.state import MANIFEST, read_manifest, to_json
from corpusmill.pipelines.options import RunOptions
from corpusmill.pipelines.recipe import NamedStage, Recipe
from corpusmill.pipelines.running import run_recipe
from corpusmill.pipelines.settings import validate
from corpusmill.pipelines.stages.quality_domains.plan import (
    PROPOSALS,
    QualityDomainsSettings,
    QualityDomainsStage,
    QualitySeedsSettings,
    QualitySeedsStage,
)
from corpusmill.pipelines.stages.quality_keep.plan import QualityKeepSettings, QualityKeepStage
from corpusmill.pipelines.stages.quality_score.plan import QualityScoreSettings, QualityScoreStage
from corpusmill.pipelines.stages.quality_train.plan import ClassifierSettings, QualityTrainSettings, QualityTrainStage

SETTINGS, REVIEW = "loop.json", "review.csv"
ENOUGH_OVERLAP = 0.98


class LoopSettings(ClassifierSettings):
    """Settings of `corpusmill quality round`."""

    seeds: tuple[str, ...] = Field(description="datasets of documents on the subject (first call)", min_length=1)
    corpus: tuple[str, ...] = Field(description="datasets of pages to look through (first call)", min_length=1)
    negative: tuple[str, ...] = Field(
        default=(), description="datasets of documents not on the subject; the corpus itself if left out"
    )
    threshold: float | None = Field(default=None, description="collect documents that score at least this much")
    top_share: float | None = Field(default=None, description="collect the best share of documents", gt=0, le=1)
    top_count: int | None = Field(default=None, description="collect this many of the best documents", ge=1)
    domain_share: float = Field(
        default=0.1, description="propose domains of which a larger share was collected", ge=0, lt=1
    )
    domain_pages: int = Field(default=10, description="propose domains with at least this many pages", ge=1)
    proposals: int = Field(default=1000, description="propose at most this many domains", ge=1)


@dataclass(frozen=True, kw_only=True)
class Loop:
    """A loop's folder, settings and seed."""

    folder: str
    settings: LoopSettings
    seed: int

    def path(self, number: int, *names: str) -> str:
        """A path below the folder of a round; the first round is 1."""
        return storage.join(self.folder, f"round-{number:02d}", *names)


def open_loop(folder: str, settings: LoopSettings | None, seed: int | None) -> Loop:
    """The loop of a folder, which is begun when settings are given and none are there.

    Raises UserError for a loop without settings, and for settings that are not those it was begun with.
    """
    path = storage.join(folder, SETTINGS)
    if not storage.exists(path):
        if settings is None:
            raise UserError("no loop was started here", where=folder, hint="give --seeds, --corpus and what to collect")
        if storage.list_names(folder):
            raise UserError("this folder contains other files", where=folder, hint="use a new folder for the loop")
        loop = Loop(folder=folder, settings=settings, seed=seed or 0)
        _stages(loop, 1)[2].stage.check()
        storage.commit_bytes(path, to_json({"seed": loop.seed, "settings": settings.model_dump(mode="json")}))
        return loop
    written = json.loads(storage.read_bytes(path))
    known = validate(LoopSettings, written["settings"], path)
    if (settings is not None and settings != known) or seed not in (None, written["seed"]):
        raise UserError(
            "this loop was started with other settings", where=folder, hint="leave them out, or start another loop"
        )
    return Loop(folder=folder, settings=known, seed=written["seed"])


def next_round(loop: Loop, options: RunOptions) -> int:
    """Runs the first round that is not finished, and says what to do next; gives the exit code."""
    number = 1
    while storage.exists(loop.path(number, "domains", MANIFEST)):
        _offer_review(loop, number)
        number += 1
    if number > 1 and not storage.exists(loop.path(number)):
        from corpusmill.dataproc.quality.domains import read_review

        review = loop.path(number - 1, REVIEW)
        if not read_review(storage.read_bytes(review), review):
            raise UserError("no domain is accepted here", where=review, hint="write true before domains on the subject")
    recipe = Recipe(
        name=f"round {number}", output=loop.path(number), seed=loop.seed, stages=tuple(_stages(loop, number))
    )
    code = run_recipe(recipe, options)
    _offer_review(loop, number)
    for line in _said(loop, number):
        print(line)
    return code


def _stages(loop: Loop, number: int) -> list[NamedStage]:
    settings = loop.settings
    common = settings.model_dump(include=set(ClassifierSettings.model_fields))
    ways = settings.model_dump(include={"threshold", "top_share", "top_count"})
    reviews = tuple(loop.path(earlier, REVIEW) for earlier in range(1, number))
    gained = tuple(loop.path(earlier, "seeds") for earlier in range(2, number + 1))
    made: list[tuple[str, Any]] = []
    if number > 1:
        picking = QualitySeedsSettings(
            collected=loop.path(number - 1, "collected"), review=reviews[-1], reviews=reviews[:-1]
        )
        made.append(("seeds", QualitySeedsStage(picking, seed=loop.seed)))
    training = QualityTrainSettings(
        positive=(*settings.seeds, *gained), negative=settings.negative or settings.corpus, **common
    )
    domains = QualityDomainsSettings(
        collected=loop.path(number, "collected"),
        before=loop.path(number - 1, "collected") if number > 1 else None,
        share=settings.domain_share,
        pages=settings.domain_pages,
        proposals=settings.proposals,
        reviews=reviews,
    )
    scoring = QualityScoreSettings(datasets=settings.corpus, model=loop.path(number, "classifier"))
    keeping = QualityKeepSettings(datasets=(loop.path(number, "scored"),), **ways)
    made += [
        ("classifier", QualityTrainStage(training, seed=loop.seed)),
        ("scored", QualityScoreStage(scoring, seed=loop.seed)),
        ("collected", QualityKeepStage(keeping, seed=loop.seed)),
        ("domains", QualityDomainsStage(domains, seed=loop.seed)),
    ]
    return [NamedStage(name=name, folder=loop.path(number, name), stage=stage) for name, stage in made]


def _offer_review(loop: Loop, number: int) -> None:
    """Copies a round's proposals for people to edit, unless that was done."""
    review = loop.path(number, REVIEW)
    if not storage.exists(review) and storage.exists(loop.path(number, "domains", MANIFEST)):
        storage.commit_bytes(review, storage.read_bytes(loop.path(number, "domains", PROPOSALS)))


def _said(loop: Loop, number: int) -> Iterator[str]:
    manifest = read_manifest(loop.path(number, "domains"))
    if manifest is None:
        return
    counts, overlap = manifest["counts"], manifest["facts"]["overlap"]
    new = manifest["facts"]["new_documents"]
    yield f"Round {number}: {counts['collected']:,} documents collected, {new:,} of them new."
    if overlap is not None:
        enough = "; at 98 % DeepSeekMath stopped" if overlap >= ENOUGH_OVERLAP else ""
        yield f"{overlap:.1%} of them had been collected in round {number - 1}{enough}."
    if not counts["proposed"]:
        yield "No domain is proposed: no new domain has enough pages with enough of them collected."
        return
    yield f"{counts['proposed']:,} domains are proposed; write true before those on the subject in"
    yield f"  {storage.absolute(loop.path(number, REVIEW))}"
    yield f"then continue with: corpusmill quality round {loop.folder}"
