"""The workers' side of de-duplication: sign a part, pair a partition, cluster the pairs, apply the removals."""

from collections import Counter
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dataproc import storage
from dataproc.datasets import PartWriter, open_part, read_batches
from dataproc.dedup.bands import band_keys, estimate_floor, key_rows
from dataproc.dedup.candidates import candidate_pairs, unique_pairs
from dataproc.dedup.components import components
from dataproc.dedup.exact import duplicate_pairs, text_digests
from dataproc.dedup.minhash import MinHashSettings, signatures, similarity
from dataproc.dedup.shuffle import partition_order, partition_rows, read_partition, row_batch, write_partitions
from dataproc.dedup.survivors import choose_survivors
from dataproc.documents import address, split_address
from pipelines.engine.worker import TaskContext
from pipelines.tasks.outputs import below, write_quarantine

EXACT, MINHASH = "exact", "minhash"
PAIR_BLOCK = 1 << 20
DUPLICATES_SCHEMA = pa.schema(
    [
        pa.field("id", pa.string()),
        pa.field("survivor", pa.string()),
        pa.field("similarity", pa.float64()),
        pa.field("method", pa.string()),
        pa.field("cluster", pa.uint64()),
    ]
)


def _name(number: int) -> str:
    return f"part-{number:05d}"


def _minhash(task: TaskContext) -> MinHashSettings:
    arguments = task.arguments
    return MinHashSettings(
        permutations=arguments["permutations"], ngram=arguments["ngram"], seed=arguments["seed"] & 0xFFFFFFFF
    )


def sign_part(task: TaskContext) -> dict[str, Any]:
    """Phase 1: digests and band keys of a part, partitioned by key, and its signatures as one array."""
    arguments = task.arguments
    path, number = arguments["path"], arguments["number"]
    digests: list[np.ndarray] = []
    signed: list[np.ndarray] = []
    rows: list[np.ndarray] = []
    with open_part(path) as file:
        documents = file.metadata.num_rows
    first = 0
    for batch in read_batches(path, ["id", "text"]):
        numbered = batch.append_column("row", pa.array(np.arange(first, first + batch.num_rows)))
        first += batch.num_rows
        for piece in task.guard.each(
            numbered, partial(_sign, settings=_minhash(task), near=MINHASH in arguments["method"]), path
        ):
            digests.append(piece[0])
            signed.append(piece[1])
            rows.append(piece[2])
    row = np.concatenate([np.zeros(0, np.int64), *rows])
    addresses = address(number, row)
    signature = np.concatenate([np.zeros((0, arguments["permutations"]), np.uint32), *signed])
    key_bytes = 0
    if EXACT in arguments["method"]:
        key_bytes += _write_digests(task, np.concatenate([np.zeros((0, 2), np.uint64), *digests]), addresses)
    if MINHASH in arguments["method"]:
        keys, owners = key_rows(band_keys(signature, arguments["bands"], arguments["rows"]), addresses)
        batches = [row_batch(*each) for each in partition_rows(keys, owners, arguments["partitions"])]
        key_bytes += write_partitions(task.work_path("bands", f"{task.id}.arrow"), batches)[0]
    # Indexed by row, so documents that were quarantined leave an empty signature, which is never a candidate.
    whole = np.full((documents, arguments["permutations"]), 0xFFFFFFFF, np.uint32)
    whole[row] = signature
    with storage.commit_file(task.work_path("signatures", f"{task.id}.bin")) as out:
        out.write(np.ascontiguousarray(whole))
    left_out = pa.table({"row": np.setdiff1d(np.arange(documents), row)})
    _write_ipc(task.work_path("left_out", f"{task.id}.arrow"), left_out)
    _write_ipc(task.work_path("quarantine", f"{task.id}.arrow"), task.guard.quarantine_table())
    return {"documents_in": documents, "key_bytes": key_bytes}


def _write_ipc(path: str, table: pa.Table) -> int:
    """Commits a table as an Arrow IPC file; gives its bytes."""
    with storage.commit_file(path) as out, pa.ipc.new_file(out, table.schema) as writer:
        writer.write_table(table)
    return out.bytes


def _sign(batch: pa.RecordBatch, settings: MinHashSettings, near: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(digests, signatures, rows) of a batch; the signatures are empty unless near duplicates are looked for."""
    text = batch.column("text")
    empty = np.full((len(text), settings.permutations), 0xFFFFFFFF, np.uint32)
    signed = signatures(text, settings) if near else empty
    return text_digests(text), signed, batch.column("row").to_numpy()


def _write_digests(task: TaskContext, digests: np.ndarray, addresses: np.ndarray) -> int:
    order, bounds = partition_order(digests[:, 0], task.arguments["partitions"])
    table = [digests[order, 0], digests[order, 1], addresses[order]]
    batches = [
        pa.RecordBatch.from_arrays([pa.array(column[a:b]) for column in table], names=["high", "low", "address"])
        for a, b in pairwise(bounds)
    ]
    return write_partitions(task.work_path("digests", f"{task.id}.arrow"), batches)[0]


def pair_partition(task: TaskContext) -> dict[str, Any]:
    """Phase 2: the pairs of one partition that are equal (exact) or similar enough by their signatures (minhash)."""
    arguments = task.arguments
    found: list[pa.RecordBatch] = []
    candidates = 0
    if EXACT in arguments["method"]:
        batches = _partition(task, "digests")
        digests = np.stack([_column(batches, "high"), _column(batches, "low")], axis=1)
        left, right = duplicate_pairs(digests, _column(batches, "address"))
        candidates += len(left)
        found.append(_pairs(left, right, np.ones(len(left)), EXACT))
    if MINHASH in arguments["method"]:
        batches = _partition(task, "bands")
        left, right = candidate_pairs(_column(batches, "key"), _column(batches, "address"))
        candidates += len(left)
        similar = _similarities(task, left, right)
        enough = similar >= estimate_floor(arguments["threshold"], arguments["permutations"])
        found.append(_pairs(left[enough], right[enough], similar[enough], MINHASH))
    table = pa.Table.from_batches(found)
    written = _write_ipc(task.work_path("pairs", f"{task.id}.arrow"), table)
    return {"candidates": candidates, "verified": table.num_rows, "bytes": written}


def _partition(task: TaskContext, folder: str) -> list[pa.RecordBatch]:
    names = [f"{_name(number)}.arrow" for number in task.arguments["parts"]]
    return [read_partition(task.work_path(folder, name), task.arguments["partition"]) for name in names]


def _column(batches: list[pa.RecordBatch], name: str) -> np.ndarray:
    return np.concatenate([np.zeros(0, np.uint64), *(batch.column(name).to_numpy() for batch in batches)])


def _pairs(left: np.ndarray, right: np.ndarray, similar: np.ndarray, method: str) -> pa.RecordBatch:
    methods = pa.DictionaryArray.from_arrays(pa.array(np.zeros(len(left), np.int8)), pa.array([method]))
    return pa.RecordBatch.from_arrays(
        [pa.array(left), pa.array(right), pa.array(similar), methods.cast(pa.string())],
        names=["left", "right", "similarity", "method"],
    )


class _Signatures:
    """The signatures of all parts, opened as memory maps when they are first asked for."""

    def __init__(self, task: TaskContext) -> None:
        self._task = task
        self._open: dict[int, np.ndarray] = {}

    def __getitem__(self, number: int) -> np.ndarray:
        if number not in self._open:
            path = self._task.work_path("signatures", f"{_name(number)}.bin")
            if storage.is_url(path) or not storage.size(path):
                flat = np.frombuffer(storage.read_bytes(path), np.uint32)
            else:
                flat = np.memmap(path, np.uint32, "r")
            self._open[number] = flat.reshape(-1, self._task.arguments["permutations"])
        return self._open[number]


def _similarities(task: TaskContext, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Estimated Jaccard similarity of pairs of addresses, in groups by the two parts they lie in."""
    opened = _Signatures(task)
    (left_part, left_row), (right_part, right_row) = split_address(left), split_address(right)
    result = np.empty(len(left))
    groups = left_part << 32 | right_part
    order = np.argsort(groups, kind="stable")
    edges = np.flatnonzero(np.diff(groups[order], prepend=-1, append=-1))
    for start, stop in pairwise(edges.tolist()):
        rows = order[start:stop]
        a, b = opened[int(left_part[rows[0]])], opened[int(right_part[rows[0]])]
        result[rows] = similarity(a, b, left_row[rows], right_row[rows])
    return result


def cluster_pairs(task: TaskContext) -> dict[str, Any]:
    """Phase 3: components over all pairs, the survivor of each, and a file of removals for each part."""
    tables = []
    for number in range(task.arguments["partitions"]):
        with storage.open_input(task.work_path("pairs", f"partition-{number:04d}.arrow")) as file:
            tables.append(pa.ipc.open_file(file).read_all())
    pairs = pa.concat_tables(tables)
    left, right = unique_pairs(pairs["left"].to_numpy(), pairs["right"].to_numpy())
    addresses, labels = components(left, right)
    documents = _clustered_documents(task, addresses).append_column("cluster", pa.array(labels, pa.uint64()))
    none = np.zeros(0, np.int64)  # the preferred columns are read with the documents: without any there are none
    survivor = choose_survivors(documents, task.arguments["prefer"]) if len(addresses) else none
    removed = np.flatnonzero(survivor != np.arange(len(survivor)))
    kept = survivor[removed]
    exact = pairs.filter(pc.equal(pairs["method"], EXACT))
    same_as, group = components(exact["left"].to_numpy(), exact["right"].to_numpy())
    is_exact = _label(same_as, group, addresses[removed]) == _label(same_as, group, addresses[kept])
    similar = _similarities(task, addresses[removed], addresses[kept])
    table = pa.table(
        {
            "address": addresses[removed],
            "survivor": documents["id"].take(pa.array(kept)),
            "similarity": np.where(is_exact, 1.0, similar),
            "method": pc.if_else(pa.array(is_exact), EXACT, MINHASH),
            "cluster": labels[removed],
        }
    )
    part, row = split_address(addresses[removed])  # rising, since addresses are
    for number in task.arguments["parts"]:
        start, stop = np.searchsorted(part, (number, number + 1))
        removals = table.slice(start, stop - start).append_column("row", pa.array(row[start:stop]))
        _write_ipc(task.work_path("removals", f"{_name(number)}.arrow"), removals)
    sizes = np.unique(labels, return_counts=True)[1]
    return {"clusters": len(sizes), "largest": int(sizes.max(initial=0))}


def _label(known: np.ndarray, labels: np.ndarray, addresses: np.ndarray) -> np.ndarray:
    """The label of each address, or the address itself (a group of one) where it has none."""
    at = np.searchsorted(known, addresses)
    at_safe = np.minimum(at, max(len(known) - 1, 0))
    hit = known[at_safe] == addresses if len(known) else np.zeros(len(addresses), bool)
    return np.where(hit, labels[at_safe] if len(known) else addresses, addresses)


def _clustered_documents(task: TaskContext, addresses: np.ndarray) -> pa.Table:
    """Columns of the clustered documents that preferences may name, in the order of the addresses."""
    part, row = split_address(addresses)
    named = {preference.split(":")[0].strip() for preference in task.arguments["prefer"]} | {"id"}
    tables = []
    for number in np.unique(part).tolist():
        start, stop = np.searchsorted(part, (number, number + 1))
        rows, first = row[start:stop], 0
        for batch in read_batches(task.arguments["paths"][str(number)]):
            inside = rows[(rows >= first) & (rows < first + batch.num_rows)] - first
            first += batch.num_rows
            if len(inside):
                taken = batch.take(pa.array(inside))
                length = pc.utf8_length(taken.column("text")).cast(pa.int64())
                wanted = [name for name in taken.schema.names if name in named and name != "length"]
                tables.append(pa.Table.from_batches([taken]).select(wanted).append_column("length", length))
    if not tables:
        return pa.table({"id": pa.array([], pa.string()), "length": pa.array([], pa.int64())})
    return pa.concat_tables(tables, promote_options="default")


def apply_part(task: TaskContext) -> dict[str, Any]:
    """Phase 4: a part without its removals and its quarantined; `duplicates/` says what became of the removed."""
    path = task.arguments["path"]
    with storage.open_input(task.work_path("removals", f"{task.id}.arrow")) as file:
        removals = pa.ipc.open_file(file).read_all().sort_by("row")
    with storage.open_input(task.work_path("quarantine", f"{task.id}.arrow")) as file:
        for bad in pa.ipc.open_file(file).read_all().to_pylist():
            task.guard.quarantine(bad["id"], bad["place"], bad["reason"], bad["text"])
    with storage.open_input(task.work_path("left_out", f"{task.id}.arrow")) as file:
        left_out = pa.ipc.open_file(file).read_all()["row"].to_numpy()
    removed = removals["row"].to_numpy()
    with open_part(path) as opened:
        schema = opened.schema_arrow.remove_metadata()
    counts = Counter[str]()
    never = 1 << 62
    with (
        PartWriter(task.folder, task.id, schema, part_bytes=never) as writer,
        PartWriter(task.path("duplicates"), task.id, DUPLICATES_SCHEMA, part_bytes=never) as duplicates,
    ):
        first = 0
        for batch in read_batches(path):
            here = (removed >= first) & (removed < first + batch.num_rows)
            rows = removed[here] - first
            named = removals.filter(pa.array(here)).combine_chunks()
            ids = batch.column("id").take(pa.array(rows))
            columns = [named[name].combine_chunks() for name in ("survivor", "similarity", "method", "cluster")]
            duplicates.write(pa.RecordBatch.from_arrays([ids, *columns], schema=DUPLICATES_SCHEMA))
            keep = np.ones(batch.num_rows, bool)
            keep[rows] = False
            keep[left_out[(left_out >= first) & (left_out < first + batch.num_rows)] - first] = False
            kept = batch.filter(pa.array(keep))
            writer.write(kept)
            counts.update(documents_in=batch.num_rows, kept=kept.num_rows, duplicates=len(rows))
            first += batch.num_rows
    return {
        "documents_in": counts["documents_in"],
        "kept": counts["kept"],
        "duplicates": counts["duplicates"],
        "quarantined": task.guard.quarantined,
        "by_method": dict(Counter(removals["method"].to_pylist())),
        "parts": writer.parts,
        "files": below("duplicates", duplicates.parts) + write_quarantine(task),
    }
