"""Phases `members` and `survivors`: clustered documents meet by component, and it is decided who of them stay.

A component is what may have to be compared, not what goes: `dataproc.dedup.absorbing` lets a document go only for one
that stays and that it is alike itself. Protected documents always stay. A document that the index holds the like of
goes for that one, and stays for nobody. Removals are written partitioned by block, so that each block finds its own.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.dataproc.datasets import open_part
from corpusmill.dataproc.dedup.absorbing import Absorbed, Evidence, absorb, by_shingles, by_signatures
from corpusmill.dataproc.dedup.jaccard import shingle_sets
from corpusmill.dataproc.dedup.shuffle import (
    partition_slices,
    read_partition,
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


def member_block(task: TaskContext[DedupWork]) -> dict[str, Any]:
    """Writes of a block's clustered documents what a choice between them needs, partitioned by component.

    Memory: a batch of documents, and of the clustered ones their preferences and the sets of their shingles.
    """
    arguments, layout = task.arguments, Layout(task)
    addresses, labels = Labels(task, layout).of_block(arguments.block)
    matches = named_matches(task, arguments.block)
    lone = np.setdiff1d(matches.addresses, addresses)  # clusters of their own
    order = np.argsort(np.concatenate([addresses, lone]))
    labels = np.concatenate([labels, lone])[order]
    addresses = np.concatenate([addresses, lone])[order]
    tables = []
    for part in layout.parts_of(arguments.block):
        with open_part(layout.path[part]) as file:
            present = file.schema_arrow.names
        named = [name for name in named_columns(arguments.prefer) if name != "length"]
        wanted = [name for name in named if name in present]
        beside = Statistics(layout.path[part], [name for name in named if name.startswith(STATISTICS)])
        columns = sorted({"id", "url", *COUNTED, *wanted})
        first = 0
        for batch in batches_of(layout.path[part], [*columns, "text"]):
            low, high = (int(value) for value in address(part, np.array([first, first + batch.num_rows])))
            start, stop = np.searchsorted(addresses, np.array([low, high], np.uint64))
            rows = (addresses[start:stop] - np.uint64(low)).astype(np.int64)
            taken = batch.take(pa.array(rows))
            table = pa.Table.from_batches([taken]).select(columns)
            for name, values in _named(beside.of(taken.column("id"))):
                table = table.append_column(name, values)
            table = table.append_column("length", pc.utf8_length(taken.column("text")).cast(pa.int64()))
            table = table.append_column("address", pa.array(addresses[start:stop]))
            table = table.append_column("label", pa.array(labels[start:stop]))
            if compares_texts(arguments):
                offsets, hashes = shingle_sets(taken.column("text"), minhash_settings(arguments))
                sets = pa.LargeListArray.from_arrays(pa.array(offsets), pa.array(hashes))
                table = table.append_column("shingles", sets)
            tables.append(_with_matches(table, matches))
            first += batch.num_rows
    table = pa.concat_tables(tables, promote_options="default").combine_chunks()
    batches = partition_slices(table, spread(table["label"].to_numpy()), arguments.chosen)
    name = f"{block_name(arguments.block)}.arrow"
    return {"bytes": write_partitions(task.work_path("members", name), batches)[0]}


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

    Memory: the partition's members, with 8 bytes a shingle or their signatures, and its pairs. A component is in one
    partition whole.
    """
    arguments, layout = task.arguments, Layout(task)
    members = _members_by_preference(task, layout)
    addresses = members["address"].to_numpy()
    protected = layout.is_protected(addresses)
    contained = dict(arguments.keep_unless).get("contained", 0.0)
    matched = _matched(members, arguments.threshold, contained) & ~protected
    equal = _text_numbers(task, layout, addresses)
    left, right = _pairs(task, addresses, matched)
    absorbed = absorb(
        left,
        right,
        _evidence(task, layout, members),
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


def _members_by_preference(task: TaskContext[DedupWork], layout: Layout) -> pa.Table:
    names = [task.work_path("members", f"{block_name(block)}.arrow") for block in range(layout.blocks)]
    read = [pa.Table.from_batches([read_partition(name, task.arguments.partition)]) for name in names]
    members = pa.concat_tables(read, promote_options="default").combine_chunks()
    for name in named_columns(task.arguments.prefer):
        if name not in members.column_names:  # no document of the partition has it
            members = members.append_column(name, pa.nulls(len(members), pa.float64()))
    protected = layout.is_protected(members["address"].to_numpy())
    order = preference_order(members, task.arguments.prefer, protected)
    return members.take(pa.array(order)).combine_chunks()


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
    """The pairs of a partition as rows of its members; none of a document that goes for one of the index."""
    arguments = task.arguments
    names = [task.work_path("routed", f"{partition_name(number)}.arrow") for number in range(arguments.pair_files)]
    pairs = pa.Table.from_batches([read_partition(name, arguments.partition) for name in names])
    order = np.argsort(addresses)
    left, right = (order[np.searchsorted(addresses[order], pairs[end].to_numpy())] for end in ("left", "right"))
    here = ~matched[left] & ~matched[right]
    return left[here], right[here]


def _evidence(task: TaskContext[DedupWork], layout: Layout, members: pa.Table) -> Evidence:
    if compares_texts(task.arguments):
        sets = members["shingles"].combine_chunks()
        return by_shingles(sets.offsets.to_numpy(), sets.values.to_numpy())
    if MINHASH in task.arguments.method:
        return by_signatures(signature_rows(task, layout).take(members["address"].to_numpy()))
    return by_shingles(np.zeros(1, np.int64), np.zeros(0, np.uint64))


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
