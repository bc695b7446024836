"""What a search index hands to its tasks."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class SegmentWork:
    """Parts that become a segment, or several where they hold more text than one takes.

    Attributes:
        paths: of the parts, in order.
        number: of the task, which names its segments.
        text_bytes: a segment ends before the document that would make it larger.
        locate_every: as in `dataproc.search.building`.
    """

    paths: tuple[str, ...]
    number: int
    text_bytes: int
    locate_every: int
