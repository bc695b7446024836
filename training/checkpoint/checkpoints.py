"""Checkpoints, written while the run goes on, without pickle, and loadable whenever the run is killed.

    checkpoints/step-000050/rank-00000.safetensors  tensors by name, a file a rank (`training/checkpoint/storage.py`)
    checkpoints/step-000050/index.json              which pieces of which tensors are where
    checkpoints/step-000050/state.json              step, tokens, the loader's integer, settings, a digest of these
    checkpoints/latest                              the name of the newest whole checkpoint

`save` copies all tensors on the CPU and returns; a thread writes the copy, with all ranks' threads in a process group
of their own. Files are written and synced under a temporary name; when all ranks have done so, rank 0 renames the
folder, replaces `latest`, and only then removes old checkpoints, each renamed before it is taken apart. So whatever
has a checkpoint's name is whole. Bytes depend on the values and the layout alone. Local or shared folders only;
renaming is what makes it atomic.

A checkpoint is weights-only by construction: safetensors and JSON can hold nothing that runs.

Cost of a save with two FP32 moments: 12 bytes a parameter on disk for each checkpoint kept, and as much in CPU memory
while it is written, spread over ranks (16 with a moving average). The run pauses for one copy in memory. A load needs
memory for the largest tensor beside those being filled, and 64 MB.
"""

import json
import secrets
import shutil
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import xxhash
from torch import Tensor

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.storage import TEMPORARY_PREFIX, commit_bytes, require_commit, sync_path
from corpusmill.training.checkpoint.pieces import Piece
from corpusmill.training.checkpoint.plan import CheckpointTensors, Snapshot, read_into, write
from corpusmill.training.checkpoint.storage import INDEX_FILE, STEP_NAME, RankFilesWriter, mend_of
from corpusmill.training.parallel.ranks import ALONE, Ranks

MODEL_FILE = "model.safetensors"
AVERAGE_FILE = "average.safetensors"
STATE_FILE = "state.json"
LATEST = "latest"


def json_bytes(value: Any) -> bytes:
    """JSON for a file: sorted keys and a final line end, so equal values give equal bytes."""
    return (json.dumps(value, indent=2, sort_keys=True) + "\n").encode()


def read_state(checkpoint: Path) -> dict[str, Any]:
    """What `state.json` of a checkpoint holds. Raises UserError when it is not there or damaged."""
    where = checkpoint / STATE_FILE
    try:
        state = json.loads(where.read_bytes())
        if not isinstance(state, dict) or not isinstance(state.get("step"), int):
            raise ValueError("no state")
        digest = state.pop("digest", None)
        if digest is None:  # written before there were digests, or damaged in its name
            digest = _digest(state) if b'"digest"' not in (checkpoint / INDEX_FILE).read_bytes() else ""
        if digest != _digest(state):
            raise ValueError("the digest differs")
    except FileNotFoundError as error:
        raise UserError("the checkpoint has no state", str(where), mend_of(checkpoint)) from error
    except (ValueError, RecursionError) as error:
        raise UserError("the state of the checkpoint is damaged", str(where), mend_of(checkpoint)) from error
    return state


def _digest(state: Mapping[str, Any]) -> str:
    return xxhash.xxh3_128_hexdigest(json_bytes(state))


def read_tensors(checkpoint: Path, prefix: str) -> dict[str, Tensor]:
    """All tensors whose names begin with `prefix`, whole, on the CPU, by the rest of their names. For one process."""
    return dict(CheckpointTensors(checkpoint, prefix))


class Checkpoints:
    """The checkpoints of one run. All ranks call `save`, `wait` and `load` alike.

    Args:
        folder: of this run's checkpoints alone; ranks on several machines have to share it.
        keep: how many of the newest are kept, at least 1.
        keep_every: checkpoints of steps that it divides are kept for good, except step 0; 0: none.
        ranks: this process among those of the run.
    """

    def __init__(self, folder: Path, keep: int, keep_every: int = 0, ranks: Ranks = ALONE) -> None:
        self.folder, self._keep, self._keep_every, self._ranks = folder, keep, keep_every, ranks
        # Threads must not mix their messages with those of the training.
        self._group = None if ranks.alone else dist.new_group(backend="gloo")
        self._thread: threading.Thread | None = None
        self._failure: BaseException | None = None

    def save(self, tensors: Mapping[str, Tensor | Piece], state: Mapping[str, Any]) -> None:
        """Begins to write the checkpoint of `state["step"]`; the tensors may be changed as soon as this returns.

        Waits for the one before. A checkpoint of the same step is replaced.

        Args:
            tensors: what this rank holds, plain or DTensors, on any device. What several ranks hold under one name
                has to be equal on them, and is written once.
            state: what JSON can hold; that of rank 0 is written.

        Raises:
            UserError: the one before could not be written.
        """
        self.wait()
        with_digest = json_bytes({**state, "digest": _digest(json.loads(json_bytes(state)))})
        arguments = (Snapshot(tensors), int(state["step"]), with_digest)
        self._thread = threading.Thread(target=self._write, args=arguments, name="checkpoint")
        self._thread.start()

    def wait(self) -> None:
        """Returns once the last save is committed on all ranks; raises what it failed with, once."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    @property
    def failed(self) -> bool:
        """Whether a save has failed since `wait` was last called, which raises the reason."""
        return self._failure is not None

    def _write(self, snapshot: Snapshot, step: int, state: bytes) -> None:
        """The thread of a save."""
        writer = RankFilesWriter(self.folder, lambda temporary: self._commit(temporary, step, state))
        try:
            write(snapshot, writer, self._group)
        except BaseException as failure:
            self._failure = failure
            if writer.temporary is not None:
                shutil.rmtree(writer.temporary, ignore_errors=True)

    def _commit(self, temporary: Path, step: int, state: bytes) -> None:
        """Makes a folder with all ranks' files the newest checkpoint. On rank 0."""
        (temporary / STATE_FILE).write_bytes(state)
        for path in sorted(temporary.iterdir()):
            sync_path(path)
        sync_path(temporary)
        require_commit()
        target = self.folder / f"step-{step:06d}"
        if self._named() == target.name:
            # One folder can't take another's place in one move, and what `latest` names must be there all the time.
            target = target.with_name(f"{target.name}-again")
        self._remove(target)
        temporary.rename(target)
        sync_path(self.folder)
        self._point_latest(target)
        self._remove_old()

    def _point_latest(self, target: Path) -> None:
        commit_bytes(str(self.folder / LATEST), target.name.encode())

    def _remove(self, checkpoint: Path) -> None:
        if checkpoint.exists():
            # Taken apart under its own name, it would be half a checkpoint for a moment.
            doomed = self.folder / f"{TEMPORARY_PREFIX}{secrets.token_hex(6)}-{checkpoint.name}"
            checkpoint.rename(doomed)
            shutil.rmtree(doomed, ignore_errors=True)

    def _remove_old(self) -> None:
        """Removes what is not to be kept, and what killed attempts left. After a commit, on rank 0."""
        whole = self._by_step()
        newest = list(whole)[-self._keep :]
        for_good = [step for step in whole if self._keep_every and step and step % self._keep_every == 0]
        kept = {whole[step].name for step in (*newest, *for_good)} | {self._named()}
        for path in self.folder.glob("step-*"):
            if STEP_NAME.fullmatch(path.name) and path.name not in kept:
                self._remove(path)
        for path in self.folder.glob(f"{TEMPORARY_PREFIX}*"):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)

    def _named(self) -> str | None:
        """What `latest` says."""
        marker = self.folder / LATEST
        return marker.read_text().strip() if marker.exists() else None

    def _by_step(self) -> dict[int, Path]:
        """Checkpoints by step, oldest first; of two of one step, the one that `latest` names."""
        named, by_step = self._named(), {}
        for path in sorted(self.folder.glob("step-*"), key=lambda path: path.name == named):
            if match := STEP_NAME.fullmatch(path.name):
                by_step[int(match[1])] = path
        return dict(sorted(by_step.items()))

    def latest(self) -> Path | None:
        """The newest checkpoint, or None before the first. Raises UserError when what `latest` names is gone."""
        name = self._named()
        if name is None:
            return None
        named = self.folder / name
        if not STEP_NAME.fullmatch(name) or not (named / STATE_FILE).is_file():
            raise UserError(
                "the checkpoint that 'latest' names is missing",
                where=str(self.folder / LATEST),
                hint="restore or remove it",
            )
        return named

    def load(self, checkpoint: Path, tensors: Mapping[str, Tensor | Piece]) -> None:
        """Fills tensors in place, from a checkpoint of any number of ranks.

        Memory: the largest piece that is read, and 64 MB of mapped file.

        Args:
            checkpoint: its folder.
            tensors: what this rank holds; each must be in the checkpoint, in the same shape and type.

        Raises:
            UserError: one does not fit, or a file is damaged, here or on another rank.
        """
        failure: UserError | None = None
        try:
            read_into(checkpoint, tensors)
        except UserError as error:
            failure = error
        failed = self._ranks.sum_(torch.tensor(int(failure is not None)))
        if failure is not None:
            raise failure
        if failed:
            raise UserError("another rank can't load this checkpoint", str(checkpoint), "see the message of that rank")
