"""One document through a whole run: what each stage did with it and why, its survivor beside it, and who read it."""

from collections.abc import Sequence
from typing import Any

from corpusmill.pipelines.inspect.differences import around
from corpusmill.pipelines.inspect.places import recognise
from corpusmill.pipelines.inspect.rewrites import rewritten_text
from corpusmill.pipelines.inspect.story import Story, Visit, shorten_uses, story_values, tell_story
from corpusmill.pipelines.window.page import Table, Values, View, page
from corpusmill.pipelines.window.ways import stage_address

USES = 50
AROUND = 400
"""Characters that are left on either side of what a rewriter changed."""
SIDE_CHARACTERS = 20_000
"""Of each text where two stand beside each other."""


@page("document.html")
def document(view: View) -> Values:
    """The story of an id; without one, the page asks for it."""
    named, wanted = view.path, view.text("id")
    values: Values = {"title": "Document", "trail": [(named.name, named.address)], "id": wanted, "story": None}
    if not wanted:
        return values
    story = shorten_uses(tell_story(named.place, wanted), USES)
    rules = [
        [visit.stage, rule.rule, rule.statistic, rule.value, rule.minimum, rule.maximum, rule.broken]
        for visit in story.visits
        for rule in visit.rules
    ]
    columns = ("stage", "rule", "statistic", "value", "minimum", "maximum", "broken")
    return values | {
        "command": ["inspect", "why", named.path, wanted],
        "story": story,
        "visits": [_visit(view, visit) for visit in story.visits],
        "raw": story_values(story)["raw"],
        "fate": _fate(story),
        "table": Table(f"rules-of-{wanted[:40]}", columns, rules) if rules else None,
    }


def _fate(story: Story) -> str:
    last = story.visits[-1]
    return f"{last.fate} by {last.stage}"


def _visit(view: View, visit: Visit) -> dict[str, Any]:
    removed = [(change.kind, change.text) for change in visit.changes if change.kind != "new"]
    survived = [(change.kind, change.text) for change in visit.changes if change.kind != "gone"]
    return {
        "visit": visit,
        "address": stage_address(view.path, visit.stage),
        "sides": [_bounded(removed), _bounded(survived)] if visit.changes else [],
        "rewritten": _bounded(_taken_out(visit)) if any(line.startswith("rewritten") for line in visit.lines) else [],
    }


def _taken_out(visit: Visit) -> list[tuple[str, str]]:
    """The text with what rewriters took out of it; of long stretches that stayed, the ends."""
    return [(one.kind, one.text) for one in around(rewritten_text(recognise(visit.path), visit.document), AROUND)]


def _bounded(pieces: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    left, kept = SIDE_CHARACTERS, list[tuple[str, str]]()
    for kind, text in pieces:
        if left <= 0:
            kept.append(("same", "…"))
            break
        kept.append((kind, text[:left]))
        left -= len(text)
    return kept
