"""Functions of the user's own as measures, filters and rewriters, by the name "module:function".

A function takes a batch of documents (columns of `dataproc.documents.SCHEMA`, perhaps more, N rows), and settings by
name where some are given:

    measure     numbers, N of them: a column of the statistics, called what the function is called; rules look at it
    filter      the same, of bools: a rule of the function's whole name, which is broken where it says False
    rewriter    N texts; an unchanged one as it came

It runs where ours do: in workers, over batches as they are read, in the guard, which tries a batch that raises a
document at a time and quarantines those that raise. So it has to treat each document on its own, give the same for the
same document every time, and be importable wherever a worker is. What it was is kept by its module's source: a stage
that was made with another is stale. What the module imports is not looked at.
"""

import inspect
from collections.abc import Callable, Mapping
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.kernels.buffers import text_array
from corpusmill.dataproc.measures.columns import Column, Rewritten


def is_function(name: str) -> bool:
    """Whether a name is a function's: none of ours has a colon."""
    return ":" in name


def name_of(function: Callable[..., Any]) -> str:
    """The name by which a function is found again, by any process. Raises UserError for one that has none."""
    module, name = getattr(function, "__module__", ""), getattr(function, "__qualname__", "")
    if not module or not name.isidentifier():
        what = "this function can be found by nobody else: it is nameless, or made inside another"
        raise UserError(what, name or repr(function), "define it at the top level of a module")
    return f"{module}:{name}"


@cache
def load_function(name: str) -> Callable[..., Any]:
    """The function of a name. Raises UserError where it cannot be loaded, or is none."""
    module, _, attribute = name.partition(":")
    try:
        function = getattr(import_module(module), attribute)
    except ModuleNotFoundError as error:
        hint = "install it, or put its folder on PYTHONPATH, wherever a worker runs"
        raise UserError(f"there is no module '{error.name}'", name, hint) from error
    except Exception as error:  # the user's code: whatever it raises, the line names it
        raise UserError(
            f"the function could not be loaded ({type(error).__name__}: {error})", name, "correct it"
        ) from error
    if inspect.isclass(function) or not callable(function):
        raise UserError("not a function", name, "register classes of measures and rewriters as entry points")
    loaded: Callable[..., Any] = function
    return loaded


def source_digest(name: str) -> str:
    """xxh3 (128 bits) of the source of a function's module; of a script or notebook, of its own; "" where there is
    none."""
    function = load_function(name)
    try:
        if name.partition(":")[0] != "__main__" and (path := inspect.getsourcefile(function)):
            return xxhash.xxh3_128_hexdigest(Path(path).read_bytes())
        return xxhash.xxh3_128_hexdigest(inspect.getsource(function).encode())
    except (OSError, TypeError):
        return ""


def column_of(name: str) -> Column:
    """The column of a measure or filter."""
    return Column(name.partition(":")[2], "number", _line(name))


def _line(name: str) -> str:
    """The first line of a function's docstring, else its name."""
    return (inspect.getdoc(load_function(name)) or name).splitlines()[0]


class FunctionMeasure:
    """A function as a `Measure` of one column, float64.

    Args:
        name: "module:function".
        settings: given to the function by name.
    """

    def __init__(self, name: str, settings: Mapping[str, Any]) -> None:
        self.name = name
        self.columns = (column_of(name),)
        self._call = _bound(name, settings)

    def measure(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Its numbers. Raises UserError for what is no column of numbers, ValueError for a null among them."""
        made = self._call(batch) if batch.num_rows else []
        try:
            numbers = (pa.array(made) if not isinstance(made, pa.Array | pa.ChunkedArray) else made).cast(pa.float64())
        except (pa.ArrowException, TypeError, ValueError) as error:
            raise _wrong(self.name, "gave no column of numbers", "return an array of numbers or bools") from error
        _check_length(self.name, len(numbers), batch.num_rows)
        if numbers.null_count:
            raise ValueError(f"{self.name} gave null")
        if isinstance(numbers, pa.ChunkedArray):
            numbers = pa.concat_arrays(numbers.chunks)
        return pa.RecordBatch.from_arrays([numbers], names=[self.columns[0].name])


class FunctionRewriter:
    """A function as a `Rewriter`, whose one number says which texts it changed. Arguments as of `FunctionMeasure`."""

    def __init__(self, name: str, settings: Mapping[str, Any]) -> None:
        self.name = self.source = name
        self.columns = rewriter_columns(name)
        self._call = _bound(name, settings)

    def measure(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """What `rewrite` counts."""
        return self.rewrite(batch).numbers

    def rewrite(self, batch: pa.RecordBatch) -> Rewritten:
        """Its texts. Raises UserError for what is no column of texts, ValueError for a null among them."""
        made = self._call(batch) if batch.num_rows else []
        try:
            texts = text_array(made).cast(pa.large_string())
        except (UserError, pa.ArrowException, TypeError) as error:
            raise _wrong(self.name, f"gave no column of texts ({error})", "return an array of strings") from error
        _check_length(self.name, len(texts), batch.num_rows)
        if texts.null_count:
            raise ValueError(f"{self.name} gave null")
        changed = pc.not_equal(texts, batch.column("text").cast(pa.large_string())).cast(pa.int64())
        return Rewritten(texts, pa.RecordBatch.from_arrays([changed], names=[self.columns[0].name]))


def rewriter_columns(name: str) -> tuple[Column, ...]:
    """The columns of a rewriter, without building it."""
    function = name.partition(":")[2]
    return (Column(f"{function}_changed", "documents", f"1 where {name} changed the text", whole=True),)


def _bound(name: str, settings: Mapping[str, Any]) -> Callable[[pa.RecordBatch], Any]:
    function = load_function(name)
    try:
        inspect.signature(function).bind(None, **settings)
    except TypeError as error:
        raise UserError(f"the function does not accept a batch and these settings ({error})", name) from error
    except ValueError:  # a built-in one, which has no signature
        pass
    return partial(function, **settings)


def _check_length(name: str, length: int, documents: int) -> None:
    if length != documents:
        raise _wrong(name, f"gave {length} values for {documents} documents", "return one for each, in order")


def _wrong(name: str, what: str, hint: str) -> UserError:
    return UserError(f"this function {what}", name, hint)
