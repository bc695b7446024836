"""How far a training run is, by the end of its metrics."""

import json
from collections.abc import Mapping
from typing import Any

from corpusmill.dataproc import storage

TAIL_BYTES = 4096


def progress_line(folder: str, plan: Mapping[str, Any]) -> str:
    """How many steps are done, by the last whole line of the metrics; "" before the first."""
    path = storage.join(folder, "metrics.jsonl")
    if not storage.exists(path):
        return ""
    with storage.open_input(path) as file:
        file.seek(max(0, storage.size(path) - TAIL_BYTES))
        lines = file.read().split(b"\n")[:-1]
    try:
        last = json.loads(lines[-1]) if lines else None
    except ValueError:
        return ""
    steps = plan["settings"].get("steps")
    return f"step {last['step']}{f' of {steps}' if steps else ''}, loss {last['loss']:.3f}" if last else ""
