"""Runs a recipe's stages in order in one session, and prints a summary of the results at the end."""

import time
from collections.abc import Mapping
from functools import partial
from typing import Any

from corpusmill.dataproc import storage
from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.side_tables import side_files, side_name
from corpusmill.dataproc.stopping import set_grace
from corpusmill.dataproc.stores.attempts import AGAIN
from corpusmill.pipelines.engine.executor import choose_engine, make_executor
from corpusmill.pipelines.engine.messages import in_json, tell
from corpusmill.pipelines.engine.reserved import read_flags
from corpusmill.pipelines.engine.stage import Finished, Session, run_stage
from corpusmill.pipelines.options import RunOptions
from corpusmill.pipelines.preflight import preflight
from corpusmill.pipelines.quarantine import FLAG, QuarantineLimit, read_limit
from corpusmill.pipelines.recipe import Recipe, keep_recipe
from corpusmill.pipelines.registry import require_description


def run_recipe(recipe: Recipe, options: RunOptions) -> int:
    """Runs (or with `dry_run` only plans) a recipe; prints the table; gives the exit code."""
    for named in recipe.stages:
        named.stage.say = _say
    reserved = reserved_by_stage(recipe, options)
    for line in preflight(recipe, options):
        tell(f"corpusmill: {line}", level="warning")
    if options.dry_run:
        from corpusmill.pipelines.planning import print_plan

        print_plan(recipe, options)
        return 0
    set_grace(options.grace_seconds)
    limit = limit_of(options, recipe.max_quarantine)
    started = time.monotonic()
    make = partial(
        make_executor,
        options.engine,
        workers=options.workers,
        address=options.address,
        memory_per_worker=options.memory_per_worker,
        head_tasks=options.head_tasks,
    )
    finished: list[tuple[str, Finished]] = []
    keep_recipe(recipe)
    ahead = tuple(warmup for named in recipe.stages for warmup in named.stage.kernels)
    with Session(make_executor=make, overwrite=options.overwrite, kernels_ahead=ahead, reserved=reserved) as session:
        try:
            for named in recipe.stages:
                rates = require_description(named.stage.name).rates
                session.expected_bytes_per_second = rates.megabytes_per_second * 1e6 if rates else 0.0
                done = run_stage(named.stage, named.folder, session, named.name)
                finished.append((named.name, done))
                _tell_finished(named.name, done, session)
        except KeyboardInterrupt:
            session.progress.say("corpusmill: interrupted; run again to resume")
            raise
    report = write_recipe_report(recipe, finished) if len(recipe.stages) > 1 else None
    from corpusmill.pipelines.summary import print_json, print_summary, summary_values

    seconds, code = time.monotonic() - started, exit_code(finished, limit)
    if options.json:
        print_json(summary_values(recipe, finished, report, seconds, code))
    else:
        print_summary(recipe, finished, report, seconds)
    return code


def reserved_by_stage(recipe: Recipe, options: RunOptions) -> dict[str, dict[str, Any]]:
    """What tasks reserve of a cluster's nodes: as the recipe says, and as the command line says instead.

    Raises UserError for flags that are not understood, and for the local engine, which reserves nothing.
    """
    if options.resources and choose_engine(options.engine, options.address) == "local":
        hint = "leave it out, or use --engine ray; --workers and --memory-per-worker bound local work"
        raise UserError("the local engine reserves no resources", where="--resources", hint=hint)
    given = read_flags(options.resources, [named.name for named in recipe.stages])
    return {named.name: given.get(named.name, named.reserved).as_values() for named in recipe.stages}


def _tell_finished(name: str, done: Finished, session: Session) -> None:
    """The line on a stage that is done; as JSON with its counts."""
    counts = done.manifest["counts"]
    took = "was already done" if done.was_done else f"{done.seconds:.1f} s"
    line = f"{name}: {took}; {_in_words(counts)}{_requests_in_words(done.store_requests)}"
    if in_json():
        requests: dict[str, Any] = {"store_requests": dict(done.store_requests)} if done.store_requests else {}
        values = {"seconds": round(done.seconds, 3), "was_done": done.was_done, "counts": counts}
        tell(line, event="stage", stage=name, **values, **requests)
    else:
        session.progress.say(line)


def _requests_in_words(requests: Mapping[str, int]) -> str:
    """Requests of object stores, and how many of them were made again after a fault."""
    again = requests.get(AGAIN, 0)
    number = sum(requests.values()) - again
    return f"; {number:,} requests to the store, {again:,} tried again" if requests else ""


def _say(line: str) -> None:
    tell(f"corpusmill: {line}")


def write_recipe_report(recipe: Recipe, finished: list[tuple[str, Finished]]) -> str:
    """The report page of a run, written anew when anything was run; gives its path, or the line that says why not."""
    page = storage.join(recipe.output, "report", "index.html")
    if all(done.was_done for _, done in finished) and storage.exists(page):
        return storage.absolute(page)
    from corpusmill.pipelines.report import write_report

    try:
        folders = [(named.name, named.folder) for named in recipe.stages]
        return storage.absolute(write_report(recipe.output, recipe.name, folders, None, recipe.core_hour_price))
    except UserError as error:  # the run is done without a page; its absence is said, with the hint
        return f"not written: {error}"


def limit_of(options: RunOptions, otherwise: QuarantineLimit) -> QuarantineLimit | None:
    """The limit that flags set, else another; None for none. Raises UserError for a flag that sets no limit."""
    if options.max_quarantine is not None:
        return read_limit(options.max_quarantine)
    return None if options.allow_quarantine else otherwise


def exit_code(finished: list[tuple[str, Finished]], limit: QuarantineLimit | None) -> int:
    """0, or 3 when a stage quarantined more than the limit allows; a line for every stage that quarantined anything.

    Args:
        finished: (name, stage) of all stages of the run.
        limit: None for none.
    """
    exceeded = False
    for name, done in finished:
        counts, unread = done.manifest["counts"], done.manifest["facts"].get("unread")
        quarantined, came_in = counts.get("quarantined", 0), counts.get("documents_in", 0)
        if not quarantined and not (unread and unread["bytes"]):
            continue
        allowed = limit is None or limit.allows(done.manifest)
        exceeded |= not allowed
        lost = f" and {unread['bytes'] / max(1, unread['of_bytes']):.2%} of the bytes unread" if unread else ""
        verdict = "no limit" if limit is None else f"{'within' if allowed else 'over'} the limit of {limit.text}"
        file = next(iter(side_files(done.manifest, "quarantine").values()), side_name("quarantine", ""))
        folder = storage.join(done.folder, file.rpartition("/")[0])
        share = f"{quarantined / max(1, came_in):.2%}{lost}, {verdict}"
        line = f"{name}: quarantined {quarantined:,} of {came_in:,} records ({share})"
        hint = "" if allowed else f", or allow more by {FLAG}"
        tell(
            f"corpusmill: {line}; see `corpusmill inspect sample {folder}`{hint}",
            level="info" if allowed else "error",
            event="quarantine",
            stage=name,
            quarantined=quarantined,
            documents_in=came_in,
            folder=folder,
        )
    return 3 if exceeded else 0


def _in_words(counts: Mapping[str, int]) -> str:
    named = {name: name.replace("_", " ") for name in counts}
    named |= {name: words.replace("documents", "document", 1) for name, words in named.items() if counts[name] == 1}
    return ", ".join(f"{value:,} {named[name]}" for name, value in counts.items() if value)
