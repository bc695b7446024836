"""Documents by what is said of them: the rule that rejected them, an expression, language, source, a text in them.

A dataset's parts, what it rejected and its statistics go together by the stem of their names, so files are read stem by
stem, a row group at a time, and only the columns that are asked about; the text only where it is looked into. Drawn
documents are read whole at the end. Statistics are joined by id, and belong to documents as they came in.

Memory: one row group of documents (16 MiB of text), the asked columns of one part's statistics, and what is drawn.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.dataproc import storage
from corpusmill.dataproc.datasets import open_part, read_batches
from corpusmill.dataproc.errors import UserError, suggest
from corpusmill.dataproc.side_tables import side_files, side_folder, stem_of
from corpusmill.pipelines.engine import state
from corpusmill.pipelines.inspect.documents import SAMPLE_PURPOSE, DocumentRow, Rows, rows_of
from corpusmill.pipelines.inspect.drawing import Draw, Drawn
from corpusmill.pipelines.inspect.places import Place

if TYPE_CHECKING:  # rules know the statistics, and these their kernels: seconds, where nothing is asked of them
    from corpusmill.dataproc.rules.expression import Expression
    from corpusmill.dataproc.rules.rule import Rule

BROKEN, REJECTED, STATISTICS = "broken_rules", "rejected", "statistics"
KEEPS, BREAKS = "keeps it", "breaks it"


@dataclass(frozen=True, kw_only=True)
class Selection:
    """What is asked of documents; all of it must hold.

    Attributes:
        rule: rejected by this rule, among others or alone.
        only: rejected by this rule and by no other.
        near: closest to this rule's threshold, on both sides of it.
        where: an expression over columns of documents and statistics (`dataproc.rules.expression`).
        languages, sources: one of these; empty for any. A language that is not known is "unknown".
        contains: this text stands in it, as it is written.
    """

    rule: str = ""
    only: str = ""
    near: str = ""
    where: str = ""
    languages: Sequence[str] = ()
    sources: Sequence[str] = ()
    contains: str = ""

    def asks(self) -> bool:
        """Whether anything is asked."""
        return any((self.rule, self.only, self.near, self.where, self.languages, self.sources, self.contains))


@dataclass(frozen=True)
class Selected:
    """A document that was drawn.

    Attributes:
        document: all that its row holds.
        side: whether it keeps to the rule that it is near to, or breaks it; "" if none was asked about.
        value, threshold: of that rule.
    """

    document: DocumentRow
    side: str = ""
    value: float | None = None
    threshold: float | None = None


@dataclass(frozen=True)
class _File:
    """A file of documents, and the statistics of the part that they came from ("" for none)."""

    path: str
    rows: int
    bytes: int
    statistics: str


@dataclass
class SelectionPlan:
    """The files to read and what to ask of each batch; `bytes` is what `advance` of `draw` adds up to."""

    where: str
    files: list[_File]
    selection: Selection
    expression: "Expression | None" = None
    near: "Rule | None" = None
    broken: str = ""
    columns: list[str] = field(default_factory=list)
    statistics: list[str] = field(default_factory=list)

    @property
    def bytes(self) -> int:
        return sum(file.bytes for file in self.files)


def plan_selection(place: Place, selection: Selection) -> SelectionPlan:
    """Checks what is asked against what is there.

    Raises:
        UserError: a rule that is not in force, a column that nobody measured, or an expression that is none.
    """
    if sum(map(bool, (selection.rule, selection.only, selection.near))) > 1:
        raise UserError("more than one rule was given", "--rule", "give one of --rule, --only and --near")
    folder, manifest, table = _home(place)
    by_rule = bool(selection.rule or selection.only)
    if by_rule and table not in ("", REJECTED):
        raise UserError(f"there are no rejected documents in a table of {table}", place.path)
    tables = [REJECTED] if table == REJECTED or by_rule else ["", REJECTED] if selection.near and not table else [table]
    files = [file for name in tables for file in _files(place, folder, manifest, name)]
    if not files:
        raise UserError("this stage rejects no documents by rules", folder, "name the folder of a filter")
    files.sort(key=lambda file: file.statistics)  # those of one part together, so that these are read once
    plan = SelectionPlan(folder, files, selection)
    if selection.near:
        plan.near = _near_rule(manifest, selection.near, folder)
    elif by_rule:
        plan.broken = _rule_name(manifest, selection.rule or selection.only)
    _choose_columns(plan)
    return plan


def draw(
    plan: SelectionPlan, count: int, seed: int, advance: Callable[[int], None] = lambda bytes_read: None
) -> list[Selected]:
    """Draws `count` of the documents that are asked for (of each side of a threshold), the same ones for the same seed.

    Args:
        advance: is called with bytes of files as they have been read.
    """
    draws = [Draw(count, seed, SAMPLE_PURPOSE) for _ in range(2 if plan.near else 1)]
    read, statistics = "", None
    for number, file in enumerate(plan.files):
        if plan.statistics and not file.statistics:  # what is asked about was not measured of these
            advance(file.bytes)
            continue
        if plan.statistics and file.statistics != read:
            read, statistics = file.statistics, _read_statistics(file.statistics, plan.statistics)
        first = 0
        for batch in read_batches(file.path, plan.columns):
            joined, rows = _join(batch, statistics)
            kept = rows[_passes(plan, joined)] if joined.num_rows else rows[:0]
            _offer(plan, draws, number, first, batch, joined, rows, kept)
            first += batch.num_rows
            advance(file.bytes * batch.num_rows // max(file.rows, 1))
    documents = Rows(plan.where, [(file.path, file.rows) for file in plan.files])
    starts = np.cumsum([0, *(file.rows for file in plan.files)])
    return [chosen for side, one in enumerate(draws) for chosen in _selected(plan, documents, starts, one.rows(), side)]


def _offer(
    plan: SelectionPlan,
    draws: Sequence[Draw],
    number: int,
    first: int,
    batch: pa.RecordBatch,
    joined: pa.RecordBatch,
    rows: np.ndarray,
    kept: np.ndarray,
) -> None:
    """Offers rows of a batch to the draws: to one for each side of the threshold that they are asked to be near to."""
    ids = batch.column("id")
    if plan.near is None:
        nothing = np.zeros(len(kept))
        draws[0].offer(number, first + kept, ids.take(pa.array(kept)), nothing, nothing)
        return
    from corpusmill.dataproc.rules.decision import applies_to, limits_of, values_of

    if not joined.num_rows:
        return
    values, (low, high) = values_of(plan.near, joined), limits_of(plan.near)
    asked = np.isin(rows, kept) & applies_to(plan.near, joined, joined.column("kind")) & np.isfinite(values)
    distances = np.minimum(np.abs(values - low), np.abs(values - high))
    keeps = (values >= low) & (values <= high)
    for one, side in zip(draws, (keeps, ~keeps), strict=True):
        at = np.flatnonzero(asked & side)
        one.offer(number, first + rows[at], ids.take(pa.array(rows[at])), distances[at], values[at])


def _selected(
    plan: SelectionPlan, rows: Rows, starts: np.ndarray, drawn: Sequence[Drawn], side: int
) -> Iterator[Selected]:
    ordered = drawn if plan.near else sorted(drawn, key=lambda one: (one.file, one.row))
    for one in ordered:
        document = rows.row(int(starts[one.file]) + one.row)
        if plan.near is None:
            yield Selected(document)
            continue
        limits = [limit for limit in (plan.near.minimum, plan.near.maximum) if limit is not None]
        nearest = min(limits, key=lambda limit: abs(limit - one.value))
        yield Selected(document, (KEEPS, BREAKS)[side], one.value, nearest)


def _home(place: Place) -> tuple[str, Mapping[str, Any], str]:
    """(the stage's folder, its manifest, the table that the place is): of a dataset or a table beside it."""
    if place.what == "dataset":
        return place.path, place.manifest, ""
    rows_of(place)  # refuses what has no documents
    above, _, name = storage.absolute(place.path).rpartition("/")
    for table in (REJECTED, STATISTICS):
        if place.what == "parquet files" and name in (side_folder(table), table):
            manifest = state.read_manifest(above)
            if manifest is not None:
                return above, manifest, table
    return place.path, {}, "files"


def _files(place: Place, folder: str, manifest: Mapping[str, Any], table: str) -> list[_File]:
    if table == "files":
        return [_File(path, rows, storage.size(path), "") for path, rows in rows_of(place).files]
    statistics = side_files(manifest, STATISTICS)
    entries = {entry["path"]: entry for entry in (*manifest["parts"], *manifest["files"])}
    paths = list(side_files(manifest, table).values()) if table else [part["path"] for part in manifest["parts"]]
    files = []
    for path in paths:
        beside = statistics.get(stem_of(path), "") if table != STATISTICS else ""
        entry = entries[path]
        joined = storage.join(folder, beside) if beside else ""
        files.append(_File(storage.join(folder, path), entry["rows"], entry["bytes"], joined))
    return files


def _rule_name(manifest: Mapping[str, Any], name: str) -> str:
    """The full name of a rule that a filter applied, by its last part or in full; of other stages, as given."""
    from corpusmill.pipelines.stages.filter.rules_in_force import LANGUAGE_RULE, rules_in_force

    try:
        rules = rules_in_force(manifest)
    except UserError:
        return name
    return _full_name(name, [*(rule.name for rule in rules), LANGUAGE_RULE])


def _full_name(name: str, known: Sequence[str]) -> str:
    if name in known:
        return name
    short = [rule for rule in known if rule.rpartition("/")[2] == name]
    if len(short) > 1:
        raise UserError(f"'{name}' could be {' or '.join(short)}", "--rule", "write one of them")
    if not short:
        raise UserError(
            f"no rule '{name}' was in force",
            "--rule",
            suggest(name, [*(rule.rpartition("/")[2] for rule in known), *known]),
        )
    return short[0]


def _near_rule(manifest: Mapping[str, Any], name: str, folder: str) -> "Rule":
    from corpusmill.pipelines.stages.filter.rules_in_force import rules_in_force

    try:
        rules = {rule.name: rule for rule in rules_in_force(manifest)}
    except UserError as error:
        raise UserError(
            "what is near a threshold is known only from a filter's statistics", folder, error.what
        ) from error
    rule = rules[_full_name(name, list(rules))]
    if rule.expression:
        raise UserError(f"{rule.name} is an expression, which has no threshold", "--near", "use --where or --rule")
    return rule


def _choose_columns(plan: SelectionPlan) -> None:
    """Which columns of documents and of statistics are read, and the expression over both."""
    with open_part(plan.files[0].path) as file:
        documents = file.schema_arrow
    beside = pa.schema([])
    if plan.files[0].statistics:
        with open_part(plan.files[0].statistics) as file:
            beside = file.schema_arrow
    needed = ["id"] + [
        name for name, asked in (("source", plan.selection.sources), ("text", plan.selection.contains)) if asked
    ]
    needed += ["language"] if plan.selection.languages else []
    needed += [BROKEN] if plan.broken else []
    for name in needed:
        if name not in documents.names:
            raise UserError(f"these documents have no column '{name}'", plan.files[0].path)
    if plan.selection.where:
        from corpusmill.dataproc.rules.expression import check_expression, kind_of_type

        fields = {entry.name: entry for entry in (*beside, *documents)}
        kinds = {name: kind for name, entry in fields.items() if (kind := kind_of_type(entry.type))}
        plan.expression = check_expression(plan.selection.where, kinds)
        needed += plan.expression.columns
    if plan.near:
        from corpusmill.dataproc.rules.rule import Side
        from corpusmill.dataproc.sweep import Swept, columns_needed

        side: Side = "minimum" if plan.near.minimum is not None else "maximum"
        needed += [name for name in columns_needed([Swept(plan.near, side, ())], ()) if name in beside.names]
    plan.columns = [name for name in dict.fromkeys(needed) if name in documents.names]
    plan.statistics = [name for name in dict.fromkeys(needed) if name not in documents.names]
    if plan.near and not plan.files[0].statistics:
        raise UserError("this filter has no statistics", plan.where)


def _read_statistics(path: str, columns: Sequence[str]) -> pa.RecordBatch | None:
    """The asked columns of a part's statistics, and their ids."""
    table = pa.Table.from_batches(read_batches(path, ["id", *columns])).combine_chunks()
    batches = table.to_batches()
    return batches[0] if batches else None


def _join(batch: pa.RecordBatch, statistics: pa.RecordBatch | None) -> tuple[pa.RecordBatch, np.ndarray]:
    """(rows of the batch with the columns of their statistics, their numbers in the batch); without statistics, all."""
    if statistics is None:
        return batch, np.arange(batch.num_rows)
    at = pc.index_in(batch.column("id"), value_set=statistics.column("id").cast(batch.schema.field("id").type))
    rows = np.flatnonzero(at.is_valid().to_numpy(zero_copy_only=False))
    numbers = pa.array(rows)
    ours, theirs = batch.take(numbers), statistics.take(at.take(numbers))
    columns = [*ours.columns, *theirs.columns[1:]]
    names = [*ours.schema.names, *theirs.schema.names[1:]]
    return pa.RecordBatch.from_arrays(columns, names=names), rows


def _passes(plan: SelectionPlan, batch: pa.RecordBatch) -> np.ndarray:
    """Which rows are asked for: bool of shape (N,)."""
    selection = plan.selection
    passes = np.ones(batch.num_rows, bool)
    for name, values in (("language", selection.languages), ("source", selection.sources)):
        if values:
            column = pc.fill_null(batch.column(name).cast(pa.string()), "unknown")
            passes &= _truth(pc.is_in(column, value_set=pa.array(list(values), pa.string())))
    if plan.broken:
        column = batch.column(BROKEN)
        if selection.only:
            passes &= _truth(pc.equal(column, plan.broken))
        else:
            padded = pc.binary_join_element_wise("", column, "", ",")
            passes &= _truth(pc.match_substring(padded, f",{plan.broken},"))
    if plan.expression is not None:
        from corpusmill.dataproc.rules.expression_values import evaluate

        passes &= _truth(evaluate(plan.expression, batch.select(list(plan.expression.columns))))
    if selection.contains and passes.any():
        at = np.flatnonzero(passes)
        text = batch.column("text") if passes.all() else batch.column("text").take(pa.array(at))
        passes[at] = _truth(pc.match_substring(text, selection.contains))
    return passes


def _truth(values: pa.Array) -> np.ndarray:
    return pc.fill_null(values, False).to_numpy(zero_copy_only=False)
