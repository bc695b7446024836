"""The checkpoints of a training run under `inspect verify`: every piece of every tensor by its digest.

Checkpoints are not in a run's manifest, since they are there before it and come and go; they have digests of their own
(`training/checkpoint/storage.py`). torch is imported only where there is one to look at.
"""

from pathlib import Path

from corpusmill.dataproc import storage


def has_checkpoints(folder: str) -> bool:
    """Whether a folder is a checkpoint, or one of checkpoints, or a run with some. Local folders only: training knows
    no others."""
    if storage.is_url(folder):
        return False
    path = Path(folder)
    whole = (path / "index.json").is_file() and (path / "state.json").is_file()
    return whole or any(next(inner.glob("step-*"), None) for inner in (path, path / "checkpoints"))


def checkpoint_problems(folder: str) -> tuple[int, int, list[tuple[str, str]]]:
    """(files, bytes, problems as (path, what)) of all checkpoints of a run."""
    from corpusmill.training.checkpoint.verify import bytes_of, checkpoints_in, problems_of

    files, size, problems = 0, 0, list[tuple[str, str]]()
    for checkpoint in checkpoints_in(Path(folder)):
        counted = bytes_of(checkpoint)
        files, size = files + counted[0], size + counted[1]
        problems += problems_of(checkpoint)
    return files, size, problems
