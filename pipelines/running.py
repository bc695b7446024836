"""Runs a recipe's stages in order in one session, and prints a summary of the results at the end."""

import sys
import time
from collections.abc import Mapping
from functools import partial

from corpusmill.dataproc import storage
from corpusmill.dataproc.errors import UserError
from corpusmill.pipelines.engine.executor import make_executor
from corpusmill.pipelines.engine.stage import Finished, Session, run_stage
from corpusmill.pipelines.engine.state import MANIFEST
from corpusmill.pipelines.options import RunOptions
from corpusmill.pipelines.recipe import Recipe


def run_recipe(recipe: Recipe, options: RunOptions) -> int:
    """Runs (or with `dry_run` only plans) a recipe; prints the table; gives the exit code."""
    if options.dry_run:
        from corpusmill.pipelines.planning import print_plan

        print_plan(recipe, options)
        return 0
    started = time.monotonic()
    make = partial(
        make_executor,
        options.engine,
        workers=options.workers,
        address=options.address,
        memory_per_worker=options.memory_per_worker,
    )
    finished: list[tuple[str, Finished]] = []
    for named in recipe.stages:
        if options.overwrite or not storage.exists(storage.join(named.folder, MANIFEST)):
            named.stage.check()
    with Session(make_executor=make, overwrite=options.overwrite) as session:
        try:
            for named in recipe.stages:
                done = run_stage(named.stage, named.folder, session)
                finished.append((named.name, done))
                took = "was already done" if done.was_done else f"{done.seconds:.1f} s"
                session.progress.say(f"{named.name}: {took}; {_in_words(done.manifest['counts'])}")
        except KeyboardInterrupt:
            session.progress.say("corpusmill: interrupted; run again to resume")
            raise
    report = write_recipe_report(recipe, finished) if len(recipe.stages) > 1 else None
    from corpusmill.pipelines.summary import print_summary

    print_summary(recipe, finished, report, time.monotonic() - started)
    return exit_code(finished, options)


def write_recipe_report(recipe: Recipe, finished: list[tuple[str, Finished]]) -> str:
    """The report page of a run, written anew when anything was run; gives its path, or the line that says why not."""
    page = storage.join(recipe.output, "report", "index.html")
    if all(done.was_done for _, done in finished) and storage.exists(page):
        return storage.absolute(page)
    from corpusmill.pipelines.report import write_report

    try:
        folders = [(named.name, named.folder) for named in recipe.stages]
        return storage.absolute(write_report(recipe.output, recipe.name, folders))
    except UserError as error:  # the run is done without a page; its absence is said, with the hint
        return f"not written: {error}"


def exit_code(finished: list[tuple[str, Finished]], options: RunOptions) -> int:
    """0, or 3 when inputs were quarantined and that was not allowed."""
    bad = [(name, done, done.manifest["counts"].get("quarantined", 0)) for name, done in finished]
    bad = [(name, done, count) for name, done, count in bad if count]
    if not bad or options.allow_quarantine:
        return 0
    counted = ", ".join(f"{count:,} in {name}" for name, _, count in bad)
    folder = storage.join(bad[0][1].folder, "quarantine")
    look = f"see `corpusmill inspect sample {folder}`, or pass --allow-quarantine"
    print(f"corpusmill: quarantined: {counted}; {look}", file=sys.stderr)  # noqa: T201
    return 3


def _in_words(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{value:,} {name.replace('_', ' ')}" for name, value in counts.items() if value)
