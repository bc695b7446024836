"""What a run writes down, one JSON line a step.

`metrics.jsonl` holds only what the seed decides, so two runs with the same settings leave the same bytes; times go to
`timing.jsonl`, in a folder that is not part of the output. Lines are flushed as they come. A resumed run first cuts
both files back to its checkpoint's step: what a killed run wrote after it would otherwise stand there twice.
"""

import json
import os
from pathlib import Path
from typing import Any

from dataproc.storage import commit_bytes

METRICS_FILE = "metrics.jsonl"
TIMING_FILE = "timing.jsonl"


def cut_after(path: Path, step: int) -> None:
    """Keeps the whole lines of a JSONL file whose "step" is at most `step`; nothing happens where there is no file."""
    if not path.exists():
        return
    kept = []
    for line in path.read_bytes().splitlines(keepends=True):
        if not line.endswith(b"\n") or json.loads(line)["step"] > step:
            break
        kept.append(line)
    commit_bytes(str(path), b"".join(kept))


class MetricsLog:
    """Appends to both files of a run that continues after `step` (0: from the start)."""

    def __init__(self, output: Path, state_folder: Path, step: int) -> None:
        for folder, name in ((output, METRICS_FILE), (state_folder, TIMING_FILE)):
            folder.mkdir(parents=True, exist_ok=True)
            cut_after(folder / name, step)
        self._metrics = (output / METRICS_FILE).open("ab")
        self._timing = (state_folder / TIMING_FILE).open("ab")

    def write(self, metrics: dict[str, Any], timing: dict[str, Any]) -> None:
        """One step's line to each file; both carry "step"."""
        for file, line in ((self._metrics, metrics), (self._timing, timing)):
            file.write((json.dumps(line) + "\n").encode())
            file.flush()

    def sync(self) -> None:
        """Forces both files to disk: a checkpoint must not outlive the lines that lead to it."""
        for file in (self._metrics, self._timing):
            os.fsync(file.fileno())

    def close(self) -> None:
        """Closes both files."""
        self._metrics.close()
        self._timing.close()


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """All lines of a metrics or timing file."""
    return [json.loads(line) for line in path.read_text().splitlines()]
