"""`corpusmill quality train|score|keep|report|round`: which documents are good, by a classifier."""

from typing import Annotated, Any

import typer

from corpusmill.dataproc.errors import UserError
from corpusmill.pipelines.cli.apps import group_app, help_text
from corpusmill.pipelines.cli.flags import RUN_OPTIONS, model_options, read_model, with_options
from corpusmill.pipelines.cli.stages import stage_command

HELP = """Train a classifier of quality or subject; score documents, keep the good ones; grow the seeds of a subject.

Example: corpusmill quality train --positive textbooks --negative crawl --output classifier"""

ROUND_HELP = """One round of growing the seeds of a subject, as DeepSeekMath did: classifier, scores, best pages,
domains.

The first call takes the seeds and the corpus, and makes LOOP/round-01: a classifier, the corpus scored, the best
documents collected, and review.csv, which proposes domains of which many pages were collected. Look at the addresses
there, write true before the domains that are about the subject, and call it again: pages of those domains that were
not collected become positives of the next round. Each round says how much of it the one before had collected.

Example: corpusmill quality round mathematics --seeds open-web-math --corpus crawl --top-share 0.02"""


def app_for(name: str) -> typer.Typer:
    """The typer application of the commands."""
    app = group_app(HELP)
    for command in ("train", "score", "keep"):
        function, text = stage_command(f"quality-{command}")
        app.command(command, help=help_text(text))(function)
    app.command("report", help=help_text(_report.__doc__ or ""))(_report)
    app.command("round", help=help_text(ROUND_HELP))(_round_command())
    return app


def _report(
    classifier: Annotated[str, typer.Argument(help="a folder of 'quality train'", metavar="CLASSIFIER")],
    html: Annotated[
        str | None, typer.Option(help="write an HTML page with charts to this file", metavar="PATH")
    ] = None,
) -> None:
    """Print how good a classifier is on held-back documents, by language and source, and what its scores mean.

    With --html a page is written, with the ROC curve and the reliability of scores; a folder gets quality-report.html.

    Example: corpusmill quality report classifier --html classifier.html
    """
    from corpusmill.dataproc.quality.saved import read_record
    from corpusmill.pipelines.html.document import require_charts
    from corpusmill.pipelines.report.quality_page import print_tables, write_page

    if html:
        require_charts()
    record = read_record(classifier)
    print_tables(record)
    if html:
        print(write_page(record, classifier, html))


def _round_command() -> Any:
    from corpusmill.pipelines.cli.quality_round import LoopSettings

    def command(**values: Any) -> None:
        _round(values)

    loop = Annotated[str, typer.Argument(help="the folder of all rounds", metavar="LOOP")]
    seed = Annotated[int | None, typer.Option(help="seed of every draw [default: 0]", min=0, metavar="N")]
    flags = {
        # What is needed is needed in the first call only
        name: (Annotated[str | None, *annotation.__metadata__], None) if default is ... else (annotation, None)
        for name, (annotation, default) in model_options(LoopSettings).items()
    }
    options = {name: value for name, value in RUN_OPTIONS.items() if name not in ("overwrite", "dry_run", "json")}
    return with_options(command, {"loop": (loop, ...)} | flags | {"seed": (seed, None)} | options)


def _round(values: dict[str, Any]) -> None:
    from corpusmill.pipelines.cli.quality_round import LoopSettings, next_round, open_loop
    from corpusmill.pipelines.options import RunOptions

    given = {name: value for name, value in values.items() if name in LoopSettings.model_fields and value is not None}
    settings = read_model(LoopSettings, given) if {"seeds", "corpus"} <= given.keys() else None
    if settings is None and given:
        missing = " and ".join(f"--{name}" for name in ("seeds", "corpus") if name not in given)
        raise UserError(f"settings are given without {missing}", where="quality round", hint="give all, or none")
    loop = open_loop(values["loop"], settings, values["seed"])
    raise typer.Exit(next_round(loop, RunOptions.from_flags(values)))
