"""A model as it lies: a folder of ours (`model.bin`, `quality.json`), or any fastText classifier by its path.

`quality.json` says what a score of the model means: how a text is made a line, the label, the calibration, what it was
trained on and how well it did on documents that it had not seen. A bare file says none of it; there the caller does.

A model behind a URL is copied to a temporary file once a process, since its matrices are mapped.
"""

import atexit
import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from corpusmill.dataproc import storage
from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.quality.calibration import apply
from corpusmill.dataproc.quality.lines import LineSettings
from corpusmill.dataproc.quality.scorer import Scorer, open_scorer

MODEL, RECORD = "model.bin", "quality.json"
POSITIVE, NEGATIVE = "__label__hq", "__label__cc"
"""Our labels, those of DataComp-LM."""

RECORD_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class SavedModel:
    """A model opened for scoring: `raw` and `score` give float64 of shape (N,) in [0, 1] for N texts."""

    scorer: Scorer
    calibration: Mapping[str, Any] | None

    def raw(self, texts: pa.Array) -> np.ndarray:
        """What the classifier says."""
        return self.scorer.score(texts)

    def calibrated(self, raw: np.ndarray) -> np.ndarray:
        """Raw scores through the calibration; the same array if there is none."""
        return apply(self.calibration, raw) if self.calibration else raw


def is_folder(path: str) -> bool:
    """Whether a path is one of our folders, rather than a bare model."""
    return storage.exists(storage.join(path, RECORD))


def read_record(folder: str) -> dict[str, Any]:
    """`quality.json` of a folder. Raises UserError when it is not there, or of another version."""
    try:
        record = json.loads(storage.read_bytes(storage.join(folder, RECORD)))
    except UserError as error:
        raise UserError(f"no {RECORD} here", folder, "name a folder made by `corpusmill quality train`") from error
    except ValueError as error:
        raise UserError(f"{RECORD} is not JSON", folder, "train it again") from error
    if record.get("version") != RECORD_VERSION:
        raise UserError(f"{RECORD} has version {record.get('version')}", folder, "train it again")
    return record


def open_saved(
    path: str, *, label: str | None = None, settings: LineSettings = LineSettings(), calibrated: bool = True
) -> SavedModel:
    """Opens a folder of ours, or a bare model file.

    Args:
        path: or URL.
        label: whose probability is the score; that of the folder, or `__label__hq`, where it is not given.
        settings: of a bare model; a folder has its own.
        calibrated: use the folder's calibration, which is of its own label.

    Raises:
        UserError: there is no such model or label.
    """
    if not is_folder(path):
        return SavedModel(scorer=open_scorer(local_copy(path), label or POSITIVE, settings), calibration=None)
    record = read_record(path)
    scorer = open_scorer(
        local_copy(storage.join(path, MODEL)), label or record["label"], LineSettings(**record["lines"])
    )
    own = label is None or label in (record["label"], record["label"].removeprefix("__label__"))
    return SavedModel(scorer=scorer, calibration=record["calibration"] if calibrated and own else None)


@lru_cache
def local_copy(path: str) -> str:
    """A path that can be mapped: the same, or of a copy that lasts as long as the process."""
    if not storage.is_url(path):
        return path
    folder = tempfile.mkdtemp(prefix="corpusmill-model-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    target = Path(folder) / MODEL
    with storage.open_input(path) as source, target.open("wb") as file:
        shutil.copyfileobj(source, file, 1 << 22)
    return str(target)
