"""How a document (or file) is called in what an engine keeps of it: breadcrumbs, deaths, skip lists, heartbeats.

Ids may be URLs, whose queries and passwords are written to no file, and may be of any length. What is kept is compared
with what is kept, never with an id: a digest tells two names apart where not all of them is kept.
"""

import hashlib

from corpusmill.dataproc.urls import mask

NAME_BYTES = 4096
_BEGINNING = 900
"""Characters kept of a long name."""


def kept_name(name: str) -> str:
    """The name without secrets, in at most `NAME_BYTES` bytes; two names are kept alike only if they are the same."""
    kept = mask(name)
    if len(kept) <= NAME_BYTES // 4:
        return kept
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return f"{kept[:_BEGINNING]}…{digest}"
