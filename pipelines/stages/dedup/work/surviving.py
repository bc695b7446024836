"""Phases `members` and `survivors`: clustered documents meet by component, and it is decided who of them stay.

A component is what may have to be compared, not what goes: `dataproc.dedup.absorbing` lets a document go only for one
that stays and that it is alike itself. Protected documents always stay. A document that the index holds the like of
goes for that one, and stays for nobody. Removals are written partitioned by block, so that each block finds its own.
"""

import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.dataproc import storage
from corpusmill.dataproc.datasets import open_part
from corpusmill.dataproc.dedup.absorbing import Absorbed, Evidence, absorb, by_places, by_shingles, by_signatures
from corpusmill.dataproc.dedup.jaccard import shingle_sets
from corpusmill.dataproc.dedup.shingle_store import store_sets
from corpusmill.dataproc.dedup.shuffle import (
    partition_slices,
    read_partition,
    read_pieces,
    slices_by_number,
    spread,
    write_partitions,
)
from corpusmill.dataproc.dedup.survivors import STATISTICS, named_columns, preference_order
from corpusmill.dataproc.documents import address
from corpusmill.pipelines.engine.worker import TaskContext
from corpusmill.pipelines.stages.dedup.arguments import DedupWork
from corpusmill.pipelines.stages.dedup.beside import Statistics
from corpusmill.pipelines.stages.dedup.work.clustering import Labels
from corpusmill.pipelines.stages.dedup.work.layout import (
    Layout,
    batches_of,
    block_name,
    digest_rows,
    partition_name,
    signature_rows,
)
from corpusmill.pipelines.stages.dedup.work.matching import NamedMatches, named_matches
from corpusmill.pipelines.stages.dedup.work.signing import COUNTED, EXACT, MINHASH, count_values, minhash_settings

INDEX = "(index)"
"""What stands for the source of a survivor that is in the index."""
MATCH_COLUMNS = ["match", "match_similarity", "match_exact"]
HOST = r"^[a-zA-Z][a-zA-Z0-9+.-]*://(?:[^/?#]*@)?(?P<host>[^/:?#]+)"
HOSTS = 1000
"""Hosts that a task names, of those that lose most; a run names fewer."""
EXAMPLES = 3
SHINGLES = "shingles"
PAIRS_LOOKED_UP = 1 << 22
PIECE_BYTES = 512 << 20
"""Members that a block's task holds before it writes them."""


def member_block(task: TaskContext[DedupWork]) -> dict[str, Any]:
    """Writes of a block's clustered documents what a choice between them needs, partitioned by component.

    Memory: a batch of documents, and three times `PIECE_BYTES` of the clustered ones, with the sets of their shingles.
    """
    arguments, layout = task.arguments, Layout(task)
    addresses, labels = Labels(task, layout).of_block(arguments.block)
    matches = named_matches(task, arguments.block)
    lone = np.setdiff1d(matches.addresses, addresses)  # clusters of their own
    order = np.argsort(np.concatenate([addresses, lone]))
    clustered = Clustered(
        np.concatenate([addresses, lone])[order], np.concatenate([labels, lone])[order], matches, arguments
    )
    name = f"{block_name(arguments.block)}.arrow"
    pieces = _pieces(clustered, layout)
    written = write_partitions(
        task.work_path("members", name),
        (
            batch
            for piece in pieces
            for batch in partition_slices(piece, spread(piece["label"].to_numpy()), arguments.chosen)
        ),
    )
    return {"bytes": written[0]}


class Clustered(NamedTuple):
    """The clustered documents of a block by rising address, their components, and their matches in an index."""

    addresses: np.ndarray
    labels: np.ndarray
    matches: NamedMatches
    arguments: DedupWork


def _pieces(clustered: Clustered, layout: Layout) -> Iterator[pa.Table]:
    """The members of a block, some `PIECE_BYTES` at a time; at least one table, all of the same columns."""
    parts = layout.parts_of(clustered.arguments.block)
    empty = [next(_tables_of(clustered, layout, part)) for part in parts] if _preferred(clustered.arguments) else []
    waiting = [pa.concat_tables(empty, promote_options="default")] if empty else []
    schema = waiting[0].schema if waiting else None
    for part in parts:
        for table in _tables_of(clustered, layout, part):
            waiting.append(table)
            if sum(table.nbytes for table in waiting) >= PIECE_BYTES:
                piece = _joined(waiting, schema)
                schema, waiting = piece.schema, [piece.schema.empty_table()]
                yield piece
    if schema is None or len(waiting) > 1:
        yield _joined(waiting, schema)


def _joined(tables: list[pa.Table], schema: pa.Schema | None) -> pa.Table:
    joined = pa.concat_tables(tables, promote_options="default").combine_chunks()
    return joined if schema is None else joined.select(schema.names).cast(schema)


def _preferred(arguments: DedupWork) -> list[str]:
    """Columns of the documents, or beside them, that preferences look at."""
    return [name for name in named_columns(arguments.prefer) if name != "length"]


def _tables_of(clustered: Clustered, layout: Layout, part: int) -> Iterator[pa.Table]:
    """The members of a part, a table for each of its batches; the first has none."""
    arguments = clustered.arguments
    with open_part(layout.path[part]) as file:
        present = file.schema_arrow.names
        named = _preferred(arguments)
        wanted = [name for name in named if name in present]
        beside = Statistics(layout.path[part], [name for name in named if name.startswith(STATISTICS)])
        columns = sorted({"id", "url", *COUNTED, *wanted})
        first = 0
        for batch in batches_of(file, layout.path[part], [*columns, "text"]):
            low, high = (int(value) for value in address(part, np.array([first, first + batch.num_rows])))
            start, stop = np.searchsorted(clustered.addresses, np.array([low, high], np.uint64))
            rows = (clustered.addresses[start:stop] - np.uint64(low)).astype(np.int64)
            taken = batch.take(pa.array(rows))
            table = pa.Table.from_batches([taken]).select(columns)
            for name, values in _named(beside.of(taken.column("id"))):
                table = table.append_column(name, values)
            table = table.append_column("length", pc.utf8_length(taken.column("text")).cast(pa.int64()))
            table = table.append_column("address", pa.array(clustered.addresses[start:stop]))
            table = table.append_column("label", pa.array(clustered.labels[start:stop]))
            if compares_texts(arguments):
                offsets, hashes = shingle_sets(taken.column("text"), minhash_settings(arguments))
                sets = pa.LargeListArray.from_arrays(pa.array(offsets), pa.array(hashes))
                table = table.append_column(SHINGLES, sets)
            yield _with_matches(table, clustered.matches)
            first += batch.num_rows


def _named(table: pa.Table) -> Iterator[tuple[str, pa.ChunkedArray]]:
    return zip(table.column_names, table.columns, strict=True)


def compares_texts(arguments: DedupWork) -> bool:
    """Whether documents are compared by all their shingles, and not by their signatures."""
    return MINHASH in arguments.method and arguments.verify == "exact"


def _with_matches(table: pa.Table, matches: NamedMatches) -> pa.Table:
    """Adds the indexed document that each row matches, null for most."""
    place = pc.index_in(table["address"].combine_chunks(), value_set=pa.array(matches.addresses))
    columns = (matches.ids, pa.array(matches.similarity), pa.array(matches.exact))
    for name, values in zip(MATCH_COLUMNS, columns, strict=True):
        table = table.append_column(name, values.take(place))
    return table


def choose_partition(task: TaskContext[DedupWork]) -> dict[str, Any]:
    """Decides who of a partition's members stay, and writes the removals of each block.

    Memory: 250 bytes a member (as ids are long), 40 a pair, and 256 MiB of shingles: more of them are mapped from a
    file (`shingle_store.py`). Signatures, if documents are compared by those, are held whole. A component is in one
    partition whole.
    """
    arguments, layout = task.arguments, Layout(task)
    members, evidence = _members_by_preference(task, layout)
    addresses = members["address"].to_numpy()
    protected = layout.is_protected(addresses)
    contained = dict(arguments.keep_unless).get("contained", 0.0)
    matched = _matched(members, arguments.threshold, contained) & ~protected
    equal = _text_numbers(task, layout, addresses)
    left, right = _pairs(task, addresses, matched)
    absorbed = absorb(
        left,
        right,
        evidence,
        text=equal,
        protected=protected,
        threshold=arguments.threshold,
        contained=contained,
    )
    removed = np.flatnonzero((absorbed.survivor != np.arange(len(members))) | matched)
    table = _removals(members, absorbed, matched, equal, removed, arguments)
    block, _ = layout.place(addresses[removed])
    batches = slices_by_number(table, block, layout.blocks)
    write_partitions(task.work_path("removals", f"{partition_name(arguments.partition)}.arrow"), batches)
    return {"compared": absorbed.compared, **_summary(members, absorbed.survivor, matched, removed)}


def _members_by_preference(task: TaskContext[DedupWork], layout: Layout) -> tuple[pa.Table, Evidence]:
    """A partition's members in their order of preference, and what they are compared by."""
    arguments = task.arguments
    names = [task.work_path("members", f"{block_name(block)}.arrow") for block in range(layout.blocks)]
    read = [batch for name in names for batch in read_pieces(name, arguments.partition, arguments.chosen)]
    narrow = [
        pa.Table.from_batches([batch]).drop_columns([SHINGLES] * (SHINGLES in batch.schema.names)) for batch in read
    ]
    members = pa.concat_tables(narrow, promote_options="default").combine_chunks()
    for name in named_columns(arguments.prefer):
        if name not in members.column_names:  # no document of the partition has it
            members = members.append_column(name, pa.nulls(len(members), pa.float64()))
    protected = layout.is_protected(members["address"].to_numpy())
    order = preference_order(members, arguments.prefer, protected)
    members = members.take(pa.array(order)).combine_chunks()
    if compares_texts(arguments):
        folder = task.work_path("members")
        sets = store_sets(
            (batch.column(SHINGLES) for batch in read), tempfile.gettempdir() if storage.is_url(folder) else folder
        )
        return members, by_places(sets.starts[order], sets.stops[order], sets.hashes)
    if MINHASH in arguments.method:
        return members, by_signatures(signature_rows(task, layout).take(members["address"].to_numpy()))
    return members, by_shingles(np.zeros(1, np.int64), np.zeros(0, np.uint64))


def _matched(members: pa.Table, threshold: float, contained: float) -> np.ndarray:
    """Documents that the index holds the like of, at the threshold or over: bool. Where a survivor has to hold what a
    document says, only equal ones, since an index has signatures and no shingles."""
    similar = pc.greater_equal(members["match_similarity"], 2.0 if contained else threshold)
    return pc.fill_null(pc.or_kleene(members["match_exact"], similar), False).to_numpy()


def _text_numbers(task: TaskContext[DedupWork], layout: Layout, addresses: np.ndarray) -> np.ndarray:
    """The same number for equal texts: int64; -1 for all where nobody looked for those."""
    if EXACT not in task.arguments.method:
        return np.full(len(addresses), -1)
    digests = digest_rows(task, layout).take(addresses)
    return np.unique(digests, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)


def _pairs(task: TaskContext[DedupWork], addresses: np.ndarray, matched: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The pairs of a partition as rows of its members, uint32; none of a document that goes for one of the index."""
    arguments = task.arguments
    order = np.argsort(addresses).astype(np.uint32)
    rising = addresses[order]
    ends = [np.zeros((2, 0), np.uint32)]
    for number in range(arguments.pair_files):
        pairs = read_partition(task.work_path("routed", f"{partition_name(number)}.arrow"), arguments.partition)
        for start in range(0, pairs.num_rows, PAIRS_LOOKED_UP):
            some = pairs.slice(start, PAIRS_LOOKED_UP)
            both = np.stack([order[np.searchsorted(rising, some.column(end).to_numpy())] for end in ("left", "right")])
            ends.append(both[:, ~matched[both].any(axis=0)])
    left, right = np.concatenate(ends, axis=1)
    return left, right


def _removals(
    members: pa.Table,
    absorbed: Absorbed,
    matched: np.ndarray,
    equal: np.ndarray,
    removed: np.ndarray,
    arguments: DedupWork,
) -> pa.Table:
    """Who goes, for whom, and the evidence: rows of `_duplicates/`, with their addresses."""
    kept, own = absorbed.survivor[removed], matched[removed]
    gone, others = members.take(pa.array(removed)), members.take(pa.array(kept))
    same = (equal[removed] >= 0) & (equal[removed] == equal[kept]) & ~own
    same |= own & pc.fill_null(gone["match_exact"], False).to_numpy()
    alike = np.where(own, gone["match_similarity"].to_numpy(zero_copy_only=False), absorbed.similarity[removed])
    within = np.where(own, np.where(same, 1.0, np.nan), absorbed.containment[removed])
    by_text = pa.array(~own & compares_texts(arguments))
    return pa.table(
        {
            "address": gone["address"],
            "survivor": pc.if_else(pa.array(own), gone["match"], others["id"]),
            "similarity": np.where(same, 1.0, alike),
            "containment": pa.array(within, mask=np.isnan(within)),
            "method": pc.if_else(pa.array(same), EXACT, MINHASH),
            "verified": pc.if_else(pa.array(same), "digest", pc.if_else(by_text, "shingles", "signatures")),
            "cluster": pc.if_else(pa.array(own), gone["address"], others["address"]),
        }
    )


def _summary(members: pa.Table, survivor: np.ndarray, matched: np.ndarray, removed: np.ndarray) -> dict[str, Any]:
    """What a partition's choices come to, for the manifest: clusters are survivors and who goes for them."""
    gone = members.take(pa.array(removed))
    own = matched[removed]
    sizes = np.bincount(survivor[removed][~own], minlength=len(members)) + 1
    clusters = np.concatenate([sizes[sizes > 1], np.ones(int(own.sum()), np.int64) + 1])
    stayed = pc.if_else(pa.array(own), INDEX, members["source"].take(pa.array(survivor[removed])))
    between = zip(gone["source"].to_pylist(), stayed.to_pylist(), strict=True)
    hosts = pc.extract_regex(gone["url"].cast(pa.string()), HOST)
    hosts = pc.struct_field(hosts.combine_chunks(), "host")
    by_host = Counter(count_values(hosts.drop_null())).items()
    return {
        "clusters": len(clusters),
        "sizes": {str(size): count for size, count in sorted(Counter(_rounded(clusters)).items())},
        "largest": int(clusters.max(initial=0)),
        "between": [[*names, count] for names, count in sorted(Counter(between).items())],
        "removed": {name: dict(sorted(count_values(gone[name].combine_chunks()).items())) for name in COUNTED},
        "hosts": dict(sorted(by_host, key=lambda item: (-item[1], item[0]))[:HOSTS]),
        "examples": _examples(members, sizes),
    }


def _examples(members: pa.Table, sizes: np.ndarray) -> list[list[Any]]:
    """[documents, source, id of the survivor] of the largest clusters."""
    order = np.lexsort((np.arange(len(sizes)), -sizes))[:EXAMPLES]
    rows = members.select(["source", "id"]).take(pa.array(order)).to_pylist()
    return [[int(size), row["source"], row["id"]] for size, row in zip(sizes[order], rows, strict=True) if size > 1]


def _rounded(sizes: Sequence[int] | np.ndarray) -> list[int]:
    """Sizes as the power of two that they reach, from 2 on, for a table of a few rows."""
    return (1 << np.floor(np.log2(np.maximum(sizes, 2))).astype(np.int64)).tolist()
