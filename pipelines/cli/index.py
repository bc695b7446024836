"""`corpusmill index add|query|retract|merge|show`: a de-duplication index that outlives its datasets."""

from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from corpusmill.dataproc import storage
from corpusmill.dataproc.errors import UserError
from corpusmill.pipelines.cli.apps import group_app, help_text
from corpusmill.pipelines.cli.flags import RUN_OPTIONS, model_options, read_model, with_options
from corpusmill.pipelines.stages.index.plan import QuerySettings, QueryStage, SegmentSettings
from corpusmill.pipelines.terminal import Column, output_console, print_lines, print_sentence, table
from corpusmill.pipelines.visible import one_line

HELP = """Index a corpus, so that de-duplicating a new crawl against it costs only as much as the new crawl.

Example: corpusmill index add seen unique"""

ADD_HELP = """Add datasets to an index, creating it if needed. An interrupted add resumes when it is run again.

The settings belong to the index: give them when it is created, or not at all. Segments of an index are merged as it
grows, so that a query looks into few of them; --no-merge leaves that to `index merge`.

Example: corpusmill index add seen unique --threshold 0.8"""

QUERY_HELP = """Find documents of datasets that are already in an index, as exact or near duplicates.

The output is Parquet, a row for each document found: id, match_id, match_dataset, similarity, method.

Example: corpusmill index query seen crawl-2 --output matches"""

_MERGE_FLAG = "merge"

MERGE_HELP = """Merge the segments of an index into one, and drop what was retracted.

Adding merges by a rule already: a segment is merged with all later ones once these together are as large. An
interrupted merge resumes when it is run again.

Example: corpusmill index merge seen"""

Folder = Annotated[str, typer.Argument(help="an index", metavar="INDEX")]
Datasets = Annotated[list[str], typer.Argument(help="datasets of documents", metavar="DATASET...")]
NOT_FOR_CHANGES = ("overwrite", "dry_run", "json")


def app_for(name: str) -> typer.Typer:
    """The typer application of the commands."""
    app = group_app(HELP)
    app.command("add", help=help_text(ADD_HELP))(_add_command())
    app.command("query", help=help_text(QUERY_HELP))(_query_command())
    app.command("merge", help=help_text(MERGE_HELP))(_merge_command())
    app.command("retract", help=help_text(_retract.__doc__ or ""))(_retract)
    app.command("show", help=help_text(_show.__doc__ or ""))(_show)
    return app


def _add_command() -> Any:
    def command(**values: Any) -> None:
        _add(values)

    flags = {name: value for name, value in model_options(SegmentSettings).items() if name != "dataset"}
    seed = Annotated[int | None, typer.Option(help="seed of the permutations [default: 0]", min=0, metavar="N")]
    options = {name: value for name, value in RUN_OPTIONS.items() if name not in NOT_FOR_CHANGES}
    merge = Annotated[bool, typer.Option("--merge/--no-merge", help="merge segments by the rule afterwards")]
    required = {"index": (Folder, ...), "datasets": (Datasets, ...)}
    return with_options(command, required | flags | {"seed": (seed, None), _MERGE_FLAG: (merge, True)} | options)


def _merge_command() -> Any:
    def command(**values: Any) -> None:
        _merge(values)

    options = {name: value for name, value in RUN_OPTIONS.items() if name not in NOT_FOR_CHANGES}
    return with_options(command, {"index": (Folder, ...)} | options)


def _query_command() -> Any:
    def command(**values: Any) -> None:
        _query(values)

    output = Annotated[str, typer.Option(help="output folder for the matches", metavar="MATCHES")]
    flags = model_options(QuerySettings, ("index", "datasets"))
    required = {name: flags.pop(name) for name in ("index", "datasets")}
    options = {name: value for name, value in RUN_OPTIONS.items() if name != "dry_run"}
    return with_options(command, required | {"output": (output, ...)} | flags | options)


def _session(options: Any) -> Any:
    from corpusmill.pipelines.engine.executor import make_executor
    from corpusmill.pipelines.engine.stage import Session

    make = partial(
        make_executor,
        options.engine,
        workers=options.workers,
        address=options.address,
        memory_per_worker=options.memory_per_worker,
    )
    return Session(make_executor=make)


def _add(values: dict[str, Any]) -> None:
    from corpusmill.pipelines.options import RunOptions
    from corpusmill.pipelines.quarantine import DEFAULT, read_limit
    from corpusmill.pipelines.running import exit_code, limit_of
    from corpusmill.pipelines.stages.index.changes import add_dataset
    from corpusmill.pipelines.stages.index.merging import merge_by_rule

    index, options = values["index"], RunOptions.from_flags(values)
    settings = read_model(SegmentSettings, values | {"dataset": "-"})
    given = {name: getattr(settings, name) for name in settings.model_fields_set - {"dataset"}}
    finished = []
    with _session(options) as session:
        for dataset in values["datasets"]:
            added = add_dataset(index, dataset, session, given, values["seed"])
            entry = added.entry
            if added.finished is None:
                print(f"{storage.absolute(dataset)}: already in the index, number {entry.number}")
                continue
            finished.append((dataset, added.finished))
            took = f"{entry.documents:,} documents, {entry.bytes / 2**20:,.1f} MiB, {added.finished.seconds:.1f} s"
            print(f"{entry.dataset}: added as number {entry.number}; {took}")
            if values[_MERGE_FLAG]:
                _say_merged(merge_by_rule(index, session))
    raise typer.Exit(exit_code(finished, limit_of(options, read_limit(DEFAULT))))


def _merge(values: dict[str, Any]) -> None:
    from corpusmill.pipelines.options import RunOptions
    from corpusmill.pipelines.stages.index.merging import merge_all

    with _session(RunOptions.from_flags(values)) as session:
        merged = merge_all(values["index"], session)
    _say_merged(merged)
    if merged is None:
        print("nothing to merge: one segment, of which nothing was retracted")


def _say_merged(entry: Any) -> None:
    if entry is not None:
        print(f"segments with {len(entry.datasets):,} datasets merged as number {entry.number}")


def _query(values: dict[str, Any]) -> None:
    from corpusmill.pipelines.options import RunOptions
    from corpusmill.pipelines.recipe import NamedStage, Recipe
    from corpusmill.pipelines.running import run_recipe

    stage = QueryStage(read_model(QuerySettings, values))
    named = NamedStage(name="query", folder=values["output"], stage=stage)
    recipe = Recipe(name="query", output=values["output"], seed=0, stages=(named,))
    raise typer.Exit(run_recipe(recipe, RunOptions.from_flags(values)))


def _retract(
    index: Folder,
    dataset: Annotated[
        str | None, typer.Argument(help="path of the dataset, now or when it was added", metavar="DATASET")
    ] = None,
    ids: Annotated[
        str | None, typer.Option(help="retract only the documents in this file, one id per line", metavar="FILE")
    ] = None,
) -> None:
    """Remove a dataset, or single documents, from an index, so that they are no longer matched.

    Example: corpusmill index retract seen crawl-2
    """
    from corpusmill.pipelines.stages.index.changes import retract_dataset, retract_ids

    if ids is not None:
        retracted, missing = retract_ids(index, _lines(ids), dataset)
        print(f"{retracted:,} documents retracted; {missing:,} ids are not in the index")
    elif dataset is None:
        raise UserError("nothing to retract", where=index, hint="give a dataset, or --ids FILE")
    elif (retracted_from := retract_dataset(index, dataset)) is None:
        print(f"{storage.absolute(dataset)}: its unfinished add was removed; it was not in the index")
    else:
        entry, one = retracted_from
        print(f"{one.path}: number {entry.number} retracted, {one.documents:,} documents")


def _lines(path: str) -> list[str]:
    try:
        return [line for line in Path(path).read_text(encoding="utf-8").split("\n") if line]
    except FileNotFoundError as error:
        raise UserError("no such file", where=path) from error
    except UnicodeDecodeError as error:
        raise UserError(f"not UTF-8 at byte {error.start}", where=path) from error


def _show(index: Folder) -> None:
    """Print the settings of an index and the datasets in it.

    Example: corpusmill index show seen
    """
    from corpusmill.dataproc.dedup.index_files import read_generation, require_generation
    from corpusmill.pipelines.stages.index.changes import unfinished_segments

    unfinished = unfinished_segments(index, read_generation(index))
    generation = require_generation(index)
    columns = (Column("dataset"), *(Column(name, right=True) for name in ("segment", "documents", "retracted", "MiB")))
    rows = [
        (
            one.path,
            f"{entry.number}",
            f"{one.documents:,}",
            "all" if one.is_retracted else f"{entry.retracted:,}" if one is entry.datasets[0] else "",
            f"{entry.bytes / 2**20:,.1f}" if one is entry.datasets[0] else "",
        )
        for entry in generation.segments
        for one in entry.datasets
    ]
    rows += [
        (one.path, f"{entry.number}", f"{one.documents:,}", "all", "")
        for entry in generation.retracted
        for one in entry.datasets
    ]
    rows += [(dataset or "unknown", "", "not finished", "", "") for _, dataset in unfinished]
    console = output_console()
    print_sentence(console, one_line(f"{storage.absolute(index)}, change {generation.number}"))
    print_lines(console, table(columns, [[one_line(cell) for cell in row] for row in rows], console.width))
    print_sentence(console, ", ".join(f"{name} {_spelled(value)}" for name, value in generation.settings.items()))


def _spelled(value: Any) -> str:
    return ",".join(value) if isinstance(value, list) else str(value)
