"""What an extractor gives for a page."""

from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Content:
    """The main content of a page, "" if it has none, and what the page says of itself (`metadata`)."""

    text: str
    meta: dict[str, str] = field(default_factory=dict)
