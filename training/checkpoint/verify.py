"""Reads a checkpoint through and says what is not as it was written.

What a load compares, all of it and without a model: the state by its digest, the files by their sizes, every piece of
every tensor by its digest. Cost: one pass over the files, with one piece in memory.
"""

from collections.abc import Iterator
from pathlib import Path

from safetensors import SafetensorError

from corpusmill.dataproc.errors import UserError
from corpusmill.training.checkpoint.checkpoints import STATE_FILE, read_state
from corpusmill.training.checkpoint.storage import INDEX_FILE, digest_of, read_index
from corpusmill.training.checkpoint.tensor_files import TensorFiles


def checkpoints_in(folder: Path) -> list[Path]:
    """The checkpoints of a run, by name; the folder itself where it is one."""
    if (folder / INDEX_FILE).is_file() and (folder / STATE_FILE).is_file():
        return [folder]
    inner = folder if folder.name == "checkpoints" else folder / "checkpoints"
    return sorted(path for path in inner.glob("step-*") if path.is_dir())


def problems_of(checkpoint: Path) -> Iterator[tuple[str, str]]:
    """(path, what is wrong) of a checkpoint; nothing for a whole one."""
    try:
        read_state(checkpoint)
    except UserError as error:
        yield error.where or str(checkpoint), error.what
    try:
        pieces = read_index(checkpoint).storage_data
    except UserError as error:
        yield error.where or str(checkpoint), error.what
        return
    by_file: dict[str, dict[str, str]] = {}
    for index, (file, digest) in pieces.items():
        by_file.setdefault(file, {})[index.fqn] = digest
    for file, digests in sorted(by_file.items()):
        path = checkpoint / file
        try:
            tensors = TensorFiles([path])
            for name, digest in digests.items():
                if name not in tensors:
                    yield str(path), f"the tensor '{name}' is not there"
                elif digest and digest_of(tensors[name]) != digest:
                    yield str(path), f"the tensor '{name}' is damaged: its bytes are not those that were written"
        except (UserError, SafetensorError) as error:
            yield str(path), error.what if isinstance(error, UserError) else str(error)


def bytes_of(checkpoint: Path) -> tuple[int, int]:
    """(files, bytes) of a checkpoint."""
    sizes = [path.stat().st_size for path in checkpoint.iterdir() if path.is_file()]
    return len(sizes), sum(sizes)
