"""What a command says while it works: a line on stderr, as text for people or as JSON for a log collector.

`--log-format json`, or `CORPUSMILL_LOG_FORMAT=json`, makes every line one JSON object with `time` (ISO 8601, UTC),
`level` (info, warning or error), `event` and `message`, the line that would have been printed, and the fields of the
event (docs/output.md lists them). The setting is an environment variable so that worker processes have it, too.
"""

import json
import os
import sys
from datetime import UTC, datetime
from typing import Any, Literal

from corpusmill.dataproc.errors import UserError, suggest
from corpusmill.dataproc.urls import mask_text, mask_values
from corpusmill.pipelines.visible import one_line

VARIABLE = "CORPUSMILL_LOG_FORMAT"
FORMATS = ("text", "json")
Level = Literal["info", "warning", "error"]


def choose_log_format(name: str | None) -> None:
    """Sets the format of this process and its workers; None leaves it to the variable. Raises UserError."""
    if name is not None:
        os.environ[VARIABLE] = name
    chosen = os.environ.get(VARIABLE) or "text"
    if chosen not in FORMATS:
        where = VARIABLE if name is None else "--log-format"
        os.environ[VARIABLE] = "text"
        raise UserError(f"no log format '{chosen}'", where, suggest(chosen, FORMATS))


def in_json() -> bool:
    """Whether lines are JSON."""
    return os.environ.get(VARIABLE) == "json"


def tell(message: str, *, level: Level = "info", event: str = "message", **fields: Any) -> None:
    """Writes a line to stderr, without secrets and controls; the fields are for JSON only."""
    message = one_line(mask_text(message))
    if in_json():
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        line = {"time": now, "level": level, "event": event, "message": message} | mask_values(fields)
        print(json.dumps(line), file=sys.stderr, flush=True)  # noqa: T201
    else:
        print(message, file=sys.stderr, flush=True)  # noqa: T201
