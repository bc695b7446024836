"""A checkpoint's files: one safetensors file a rank, and an index in JSON that says where each piece of a tensor lies.

    rank-00000.safetensors   what rank 0 wrote: whole tensors, and pieces of those that are spread over ranks
    index.json               bytes of each file; of each tensor type, shape, and pieces: file, offsets, shape, digest

torch.distributed.checkpoint plans what goes where and asks a storage class to write and read it. Its own pickles the
plan into `.metadata`; the one for Hugging Face's layout writes safetensors, but puts a rank's whole file together in
memory first, lets bytes depend on the order of a hash table, and keeps no index, so that a lost file goes unnoticed if
the others happen to cover the shape. Hence this one. The index names every file with its size: a checkpoint that is
cut short is refused before a tensor is touched. It also has a digest of each piece (xxh3, 128 bits), compared whenever
a piece is read: a run that went on from a flipped bit would train to its end and be worth nothing.

In the file, a piece has the name of its tensor. With one rank it is an ordinary file of whole tensors, which anything
that knows safetensors can read.

Cost: both directions at the disk's speed, with memory for one piece and `MAPPED_BYTES`. A digest takes a tenth of a
second for a GB; a reader that wants a part of a piece reads all of it.
"""

import dataclasses
import errno
import json
import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import xxhash
from safetensors import SafetensorError, safe_open
from torch import Tensor
from torch.distributed.checkpoint import Metadata, StorageReader, StorageWriter
from torch.distributed.checkpoint.metadata import (
    ChunkStorageMetadata,
    MetadataIndex,
    TensorProperties,
    TensorStorageMetadata,
)
from torch.distributed.checkpoint.planner import LoadPlan, LoadPlanner, ReadItem, SavePlan, SavePlanner
from torch.distributed.checkpoint.storage import WriteResult
from torch.futures import Future

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.storage import TEMPORARY_PREFIX, require_commit, sync_path
from corpusmill.training.checkpoint.tensor_files import CODES, MAPPED_BYTES, Planned, write_tensors

INDEX_FILE = "index.json"
OTHER_MEND = "restore it, or name an older checkpoint in the file 'latest' beside it"

STEP_NAME = re.compile(r"step-(\d{6,})(-again)?")
"""Names of checkpoints."""

_TYPES = {code: dtype for dtype, code in CODES.items()}
_FULL = (errno.ENOSPC, errno.EDQUOT)


def digest_of(tensor: Tensor) -> str:
    """xxh3 in 128 bits of a tensor's bytes, as they are in a file."""
    data = tensor.detach().contiguous().flatten().view(torch.uint8).numpy()
    return xxhash.xxh3_128_hexdigest(data.data) if len(data) else xxhash.xxh3_128_hexdigest(b"")


def mend_of(checkpoint: Path) -> str:
    """What to do about a damaged checkpoint: with the one before it by name, where there is one."""
    here = STEP_NAME.fullmatch(checkpoint.name)
    others = [(match, path) for path in checkpoint.parent.glob("step-*") if (match := STEP_NAME.fullmatch(path.name))]
    older = [(int(match[1]), path.name) for match, path in others if here is None or int(match[1]) < int(here[1])]
    return f"restore it, or write {max(older)[1]} into the file 'latest' beside it" if older else OTHER_MEND


class RankFilesWriter(StorageWriter):
    """Writes one checkpoint into a temporary folder, in which every file is synced, and then has it committed.

    Args:
        parent: the folder in which rank 0 makes the temporary one. With several ranks all have to see it.
        commit: gets the temporary folder once all ranks have written; called on rank 0 only.

    Raises UserError for a disk that is full or may not be written.
    """

    def __init__(self, parent: Path, commit: Callable[[Path], None]) -> None:
        self._parent, self._commit = parent, commit
        self.temporary: Path | None = None
        """On rank 0, the folder to remove if writing fails."""

    def reset(self, checkpoint_id: Any = None) -> None:
        """Nothing to reset: a writer is for one checkpoint."""

    def set_up_storage_writer(self, is_coordinator: bool, *args: Any, **kwargs: Any) -> None:
        """Nothing to set up: ranks differ only in what rank 0 is asked to do."""

    def prepare_local_plan(self, plan: SavePlan) -> SavePlan:
        require_commit()
        return plan

    def prepare_global_plan(self, plans: list[SavePlan]) -> list[SavePlan]:
        # A name that no other attempt has, or an abandoned trainer could write into its successor's folder.
        self.temporary = self._parent / f"{TEMPORARY_PREFIX}{secrets.token_hex(6)}-checkpoint"
        with _disk_errors(self._parent):
            self.temporary.mkdir(parents=True)
        names = [(self.temporary.name, f"rank-{rank:05d}.safetensors") for rank in range(len(plans))]
        return [dataclasses.replace(plan, storage_data=name) for plan, name in zip(plans, names, strict=True)]

    def write_data(self, plan: SavePlan, planner: SavePlanner) -> Future[list[WriteResult]]:
        written: Future[list[WriteResult]] = Future()
        written.set_result(self._write(plan, planner) if plan.items else [])
        return written

    def _write(self, plan: SavePlan, planner: SavePlanner) -> list[WriteResult]:
        folder, name = plan.storage_data
        items = {item.index.fqn: item for item in plan.items}
        assert len(items) == len(plan.items), "a rank holds one piece of a tensor"
        planned = []
        for key, item in items.items():
            assert item.tensor_data is not None, "nothing but tensors is planned"
            planned.append(Planned(key, item.tensor_data.properties.dtype, tuple(item.tensor_data.chunk.sizes)))

        digests: dict[str, str] = {}

        def read(key: str) -> Tensor:
            tensor = planner.resolve_data(items[key])
            assert isinstance(tensor, Tensor), key
            digests[key] = digest_of(tensor)
            return tensor

        path = self._parent / folder / name
        with _disk_errors(self._parent):
            write_tensors(path, planned, read)
            sync_path(path)
            size = path.stat().st_size
        return [
            WriteResult(
                items[group.name].index,
                group.size,
                storage_data={"file": name, "file_bytes": size, "digest": digests[group.name]},
            )
            for group in planned
        ]

    def finish(self, metadata: Metadata, results: list[list[WriteResult]]) -> None:
        assert self.temporary is not None
        with _disk_errors(self._parent):
            _write_index(self.temporary, metadata, [result for of_rank in results for result in of_rank])
            self._commit(self.temporary)

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id: Any) -> bool:
        return False


@contextmanager
def _disk_errors(folder: Path) -> Iterator[None]:
    """Turns failures of the file system into a line for the user."""
    try:
        yield
    except OSError as error:
        where = str(folder)
        if error.errno in _FULL:
            hint = "free some or keep fewer checkpoints, then start again: the run goes on from the last whole one"
            raise UserError("no space left for a checkpoint", where, hint) from error
        if error.errno == errno.ENOENT:
            raise UserError(
                "the checkpoint folder made by rank 0 is not visible to another rank",
                where,
                "write the output to a folder that all ranks share",
            ) from error
        raise UserError(
            f"a checkpoint could not be written ({error.strerror})",
            where,
            "check the folder's permissions and its disk",
        ) from error


def _write_index(folder: Path, metadata: Metadata, results: list[WriteResult]) -> None:
    written = {result.index: result.storage_data for result in results}
    tensors = {}
    for name, tensor in metadata.state_dict_metadata.items():
        assert isinstance(tensor, TensorStorageMetadata), name
        pieces = []
        for piece in tensor.chunks:
            where = written[MetadataIndex(name, piece.offsets)]
            about = {"file": where["file"], "digest": where["digest"]}
            pieces.append({**about, "offsets": piece.offsets, "shape": piece.sizes})
        tensors[name] = {"type": CODES[tensor.properties.dtype], "shape": tensor.size, "pieces": pieces}
    sizes = {result.storage_data["file"]: result.storage_data["file_bytes"] for result in results}
    text = json.dumps({"files": sizes, "tensors": tensors}, sort_keys=True)
    (folder / INDEX_FILE).write_text(text + "\n")


def read_index(folder: Path) -> Metadata:
    """What a checkpoint holds; `storage_data` has (file, digest) by piece. Older checkpoints have no digests: "".

    Raises UserError when the index or a file that it names is missing or not of the right size.
    """
    try:
        index = json.loads((folder / INDEX_FILE).read_bytes())
        for name, size in index["files"].items():
            there = (folder / name).stat().st_size
            if there != size:
                what = f"the file is damaged: {there} bytes instead of {size}"
                raise UserError(what, str(folder / name), mend_of(folder))
        tensors: dict[str, Any] = {}
        files = {}
        for name, tensor in index["tensors"].items():
            pieces = []
            for piece in tensor["pieces"]:
                pieces.append(ChunkStorageMetadata(torch.Size(piece["offsets"]), torch.Size(piece["shape"])))
                files[MetadataIndex(name, piece["offsets"])] = (piece["file"], piece.get("digest", ""))
            properties = TensorProperties(dtype=_TYPES[tensor["type"]])
            tensors[name] = TensorStorageMetadata(properties, torch.Size(tensor["shape"]), pieces)
    except FileNotFoundError as error:
        raise UserError(
            f"this checkpoint is incomplete: it lacks {Path(error.filename).name}", str(folder), mend_of(folder)
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError("the index is damaged", str(folder / INDEX_FILE), mend_of(folder)) from error
    return Metadata(tensors, storage_data=files)


class RankFilesReader(StorageReader):
    """Reads pieces of a checkpoint's tensors. Raises UserError for files that are damaged."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._pieces: dict[MetadataIndex, tuple[str, str]] = {}

    def reset(self, checkpoint_id: Any = None) -> None:
        """Nothing to reset: a reader is for one checkpoint."""

    def read_metadata(self, *args: Any, **kwargs: Any) -> Metadata:
        return read_index(self._folder)

    def set_up_storage_reader(self, metadata: Metadata, is_coordinator: bool, *args: Any, **kwargs: Any) -> None:
        self._pieces = metadata.storage_data

    def prepare_local_plan(self, plan: LoadPlan) -> LoadPlan:
        return plan

    def prepare_global_plan(self, plans: list[LoadPlan]) -> list[LoadPlan]:
        return plans

    def read_data(self, plan: LoadPlan, planner: LoadPlanner) -> Future[None]:
        by_file: dict[str, list[ReadItem]] = {}
        for item in plan.items:
            by_file.setdefault(self._pieces[item.storage_index][0], []).append(item)
        for name, items in by_file.items():
            try:
                self._read(self._folder / name, items, planner)
            except SafetensorError as error:
                what, where = f"the file is damaged ({error})", str(self._folder / name)
                raise UserError(what, where, mend_of(self._folder)) from error
        done: Future[None] = Future()
        done.set_result(None)
        return done

    @torch.no_grad()
    def _read(self, path: Path, items: list[ReadItem], planner: LoadPlanner) -> None:
        file, taken = None, 0
        for item in items:
            # What was read through one mapping counts as this process's memory until that is gone.
            if file is None or taken > MAPPED_BYTES:
                file, taken = safe_open(str(path), framework="pt"), 0
            values = file.get_tensor(item.storage_index.fqn)
            taken += values.nbytes
            self._require_whole(path, item.storage_index, values)
            if item.lengths != values.size():
                bounds = zip(item.storage_offsets, item.lengths, strict=True)
                values = values[tuple(slice(start, start + length) for start, length in bounds)]
            target = planner.resolve_tensor(item).detach()
            target.copy_(values)
            planner.commit_tensor(item, target)

    def _require_whole(self, path: Path, index: MetadataIndex, values: Tensor) -> None:
        """Raises UserError for a piece whose bytes are not those that were written."""
        digest = self._pieces[index][1]
        if digest and digest_of(values) != digest:
            what = f"the tensor '{index.fqn}' is damaged: its bytes are not those that were written"
            raise UserError(what, str(path), mend_of(self._folder))

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id: Any) -> bool:
        return False
