"""SQL over the tables of runs, through DuckDB: one statement that reads, and nothing but these tables.

Tables are registered as Arrow datasets, so that DuckDB itself needs no access to files: it is taken from it before the
statement is seen (`enable_external_access`, with the configuration locked), and with it the network, extensions,
ATTACH and COPY. Variables of this process are out of reach, too. What is left to bound is memory (`memory_bytes`, then
spilled to `spill_bytes` of a temporary folder), and time.

Names are `<stage>.<table>`, as in `clean.ledger`, and the bare name of a table that one stage only has; of several
runs `<run>.<stage>.<table>`. A stage whose name SQL does not take is written in quotes, or as `plain_name` spells it:
`unique_.duplicates`. `tables` lists them all, and
`counts` has what each stage's manifest counted.

Memory: what DuckDB may take, and what Arrow reads ahead and its allocator keeps: up to 700 MB more, as measured
(docs/performance.md).
"""

import re
import tempfile
import threading
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from corpusmill.dataproc.errors import UserError, require_extra
from corpusmill.pipelines.inspect.places import Place, folder_name, recognise
from corpusmill.pipelines.inspect.tables import open_table, tables_of

if TYPE_CHECKING:
    import duckdb

READS = ("SELECT", "EXPLAIN")
"""Kinds of statements that are let through; DESCRIBE, SHOW, SUMMARIZE and VALUES are SELECT to DuckDB."""

COUNTS, TABLES = "counts", "tables"
ROWS_AT_ONCE = 1024


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a query may take; `threads` 0 is one a core."""

    memory_bytes: int = 1 << 30
    spill_bytes: int = 10 << 30
    seconds: float = 300.0
    threads: int = 0


@dataclass(frozen=True)
class Answer:
    """The columns of an answer, and its rows as they come, `ROWS_AT_ONCE` at a time."""

    columns: Sequence[str]
    batches: Iterator[list[tuple[Any, ...]]]


@contextmanager
def run_query(places: Sequence[Place], statement: str, limits: Limits | None = None) -> Iterator[Answer]:
    """Answers one statement over the tables of runs or stages; the rows must be taken inside the block.

    Raises:
        UserError: DuckDB is not installed, the statement is not one that reads, is wrong, or passed a limit.
    """
    limits = limits or Limits()
    try:
        import duckdb
    except ImportError as error:
        raise require_extra("duckdb", "sql") from error
    with tempfile.TemporaryDirectory(prefix="corpusmill-sql-") as spill:
        connection = duckdb.connect(":memory:", config=_configuration(limits, spill))
        stopped = threading.Event()
        timer = threading.Timer(limits.seconds, _stop, (connection, stopped))
        timer.daemon = True
        try:
            names = _name_tables(connection, places)
            _close_off(connection)
            with _as_user_errors(limits, stopped, names):
                _require_reading(statement)
                timer.start()
                connection.execute(statement)
                columns = [column[0] for column in connection.description or ()]
            yield Answer(columns, _batches(connection, limits, stopped, names))
        finally:
            timer.cancel()
            connection.close()


def _configuration(limits: Limits, spill: str) -> dict[str, Any]:
    threads = {"threads": limits.threads} if limits.threads else {}
    return threads | {
        "memory_limit": f"{limits.memory_bytes}B",
        "temp_directory": spill,
        "max_temp_directory_size": f"{limits.spill_bytes}B",
        "python_enable_replacements": "false",
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
        "preserve_insertion_order": "true",
    }


def _close_off(connection: "duckdb.DuckDBPyConnection") -> None:
    """Takes files, network and further settings from the connection: what is attached stays."""
    for setting in ("enable_external_access = false", "lock_configuration = true"):
        connection.execute(f"SET {setting}")


def _name_tables(connection: "duckdb.DuckDBPyConnection", places: Sequence[Place]) -> list[str]:
    """Registers all tables; gives their names as they are written in a statement."""
    named: list[str] = []
    listed: list[tuple[str, int | None, str]] = []
    reserved = {word for word, kind in connection.execute(_WORDS).fetchall() if kind in ("reserved", "type_function")}
    runs = _distinct([plain_name(folder_name(place.path), reserved) for place in places])
    for run, place in zip(runs, places, strict=True):
        tables = tables_of(place)
        prefix = f"{run}." if len(places) > 1 else ""
        if prefix:
            connection.execute(f"ATTACH ':memory:' AS {run}")
        stages_with = Counter(table.name for table in tables)
        for table in tables:
            hidden = f"_table_{len(named)}"
            opened = open_table(table)
            connection.register(hidden, opened)
            schemas = dict.fromkeys((plain_name(table.stage, reserved), table.stage)) if table.stage else ("main",)
            if stages_with[table.name] == 1 and table.name not in (COUNTS, TABLES):
                schemas = dict.fromkeys((*schemas, "main"))
            for schema in schemas:
                connection.execute(f"CREATE SCHEMA IF NOT EXISTS {prefix}{_quoted(schema)}")
                view = f"{prefix}{_quoted(schema)}.{_quoted(table.name)}"
                connection.execute(f"CREATE VIEW {view} AS SELECT * FROM {hidden}")
            shown = f"{plain_name(table.stage, reserved)}.{table.name}" if table.stage else table.name
            named.append(f"{prefix}{shown}")
            listed.append((named[-1], table.rows, ", ".join(opened.schema.names)))
        hidden = f"_counts_{len(named)}"
        connection.register(hidden, _counts(place))
        connection.execute(f"CREATE VIEW {prefix}main.{COUNTS} AS SELECT * FROM {hidden}")
        named.append(f"{prefix}main.{COUNTS}" if prefix else COUNTS)
    columns = zip(*listed, strict=True) if listed else ((), (), ())
    kinds = (pa.string(), pa.int64(), pa.string())
    arrays = [pa.array(column, kind) for column, kind in zip(columns, kinds, strict=True)]
    connection.register("_tables", pa.table(arrays, names=["name", "rows", "columns"]))
    connection.execute(f"CREATE VIEW main.{TABLES} AS SELECT * FROM _tables")
    return [TABLES, *named]


_WORDS = "SELECT keyword_name, keyword_category FROM duckdb_keywords()"


def plain_name(name: str, reserved: Collection[str]) -> str:
    """A folder's name as SQL takes it without quotes: others are underscores, and a word of SQL ends in one."""
    plain = re.sub("[^a-z0-9_]", "_", name.lower())
    plain = f"_{plain}" if plain[:1].isdigit() or not plain else plain
    return f"{plain}_" if plain in reserved else plain


def _counts(place: Place) -> pa.Table:
    """What the manifests of a run's stages counted, a row a count."""
    folders = [folder for _, folder in place.stages] if place.what == "run" else [place.path]
    rows: list[tuple[str, str, str, int]] = []
    for folder in folders:
        here = recognise(folder) if place.what == "run" else place
        for name, count in here.manifest.get("counts", {}).items():
            rows.append((folder_name(folder), here.manifest["stage"], name, count))
    columns = zip(*rows, strict=True) if rows else ((), (), (), ())
    kinds = (pa.string(), pa.string(), pa.string(), pa.int64())
    arrays = [pa.array(column, kind) for column, kind in zip(columns, kinds, strict=True)]
    return pa.table(arrays, names=["stage", "kind", "name", "count"])


def _distinct(names: Sequence[str]) -> list[str]:
    """Names of runs, a number behind those that were there before."""
    given: list[str] = []
    for name in names:
        number, own = 1, name
        while own in given or own in ("main", "memory", "temp", "system"):
            number += 1
            own = f"{name}_{number}"
        given.append(own)
    return given


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _require_reading(statement: str) -> None:
    """Raises UserError for anything but one statement that reads."""
    import duckdb

    statements = duckdb.extract_statements(statement)
    kinds = [entry.type.name for entry in statements]
    if len(kinds) != 1:
        raise UserError(f"{len(kinds)} statements were given", where="SQL", hint="give one SELECT")
    if kinds[0] not in READS:
        raise UserError(f"{kinds[0]} is not allowed here", where="SQL", hint="give a SELECT: nothing can be changed")


def _batches(
    connection: "duckdb.DuckDBPyConnection", limits: Limits, stopped: threading.Event, names: Sequence[str]
) -> Iterator[list[tuple[Any, ...]]]:
    while True:
        with _as_user_errors(limits, stopped, names):
            rows = connection.fetchmany(ROWS_AT_ONCE)
        if not rows:
            return
        yield rows


def _stop(connection: "duckdb.DuckDBPyConnection", stopped: threading.Event) -> None:
    stopped.set()
    with suppress(Exception):  # the query may have ended in this very moment
        connection.interrupt()


@contextmanager
def _as_user_errors(limits: Limits, stopped: threading.Event, names: Sequence[str]) -> Iterator[None]:
    """Turns what DuckDB says of a statement into one line."""
    import duckdb

    try:
        yield
        if stopped.is_set():
            raise duckdb.InterruptException("")
    except duckdb.InterruptException as error:
        if not stopped.is_set():  # Ctrl-C
            raise KeyboardInterrupt from error
        what = f"the query was stopped after {limits.seconds:g} seconds"
        raise UserError(what, where="SQL", hint="give it more by --seconds") from error
    except duckdb.OutOfMemoryException as error:
        what = f"the query needs more than {limits.memory_bytes / 2**20:,.0f} MiB"
        raise UserError(f"{what} ({_first_line(error)})", where="SQL", hint="give it more by --memory") from error
    except duckdb.CatalogException as error:
        raise UserError(_first_line(error), where="SQL", hint=f"tables are {', '.join(names)}") from error
    except duckdb.Error as error:
        raise UserError(_first_line(error), where="SQL") from error


def _first_line(error: Exception) -> str:
    """The first paragraph of what DuckDB says, without its marks below the statement."""
    return " ".join(str(error).split("\n\n")[0].split())
