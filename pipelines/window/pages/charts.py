"""Charts of a training run: the report's own, each a picture that the page asks for.

matplotlib draws them at the first look, in about two seconds, which is why they are a page of their own; they are kept
until another step is done. As pictures they run nothing, load nothing, and follow dark and light by a style of theirs.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from starlette.responses import Response

from corpusmill.dataproc import storage
from corpusmill.dataproc.errors import UserError
from corpusmill.pipelines.engine import state
from corpusmill.pipelines.inspect.places import Place
from corpusmill.pipelines.inspect.steps import METRICS
from corpusmill.pipelines.report.stages import StageOutput
from corpusmill.pipelines.report.training import training_section
from corpusmill.pipelines.window.page import Values, View, page
from corpusmill.pipelines.window.ways import stage_address, stage_trail

LIGHT = "--ink:#1b1d1f;--dim:#585d62;--line:#d8d9d4;--first:#2f6ca8;--second:#b4541a;--third:#2c7a57"
DARK = "--ink:#e6e7e5;--dim:#a4aab0;--line:#363b40;--first:#6fa8dc;--second:#e39a68;--third:#7cc3a0"
STYLE = (
    f"<style>:root{{{LIGHT}}}@media(prefers-color-scheme:dark){{:root{{{DARK}}}}}text{{font-family:sans-serif}}</style>"
)
POLICY = "default-src 'none'; style-src 'unsafe-inline'"


@page("charts.html")
def charts(view: View) -> Values:
    """The page: loss, experts, rates and speed, and the spikes with a way to their documents."""
    place = view.stage
    section = _section_of(place)
    return {
        "title": "Charts",
        "trail": [*stage_trail(view), ("Training", f"{stage_address(view.path, view.stage_name)}/training")],
        "command": ["report", view.path.path] if view.path.place.what == "run" else ["inspect", "steps", place.path],
        "facts": section["facts"],
        "charts": [(title, note, says, wide) for title, note, says, wide, _ in _drawn(section)],
        "sources": section["sources"]["rows"] if section["sources"] else [],
        "spikes": section["spikes"],
        "base": stage_address(view.path, view.stage_name),
    }


@page("charts.html")
def chart(view: View) -> Response:
    """One picture."""
    drawn = _drawn(_section_of(view.stage))
    number = view.number("number")
    if number >= len(drawn):
        raise UserError("there is no such chart", where=f"number={number}")
    picture = drawn[number][-1][-1 if view.text("narrow") else 0]
    if "xmlns=" not in picture.partition(">")[0]:
        picture = picture.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
    at = picture.index(">") + 1
    policy = {"Content-Security-Policy": POLICY}
    return Response(picture[:at] + STYLE + picture[at:], media_type="image/svg+xml", headers=policy)


def _section_of(place: Place) -> Mapping[str, Any]:
    if place.what != "model" or not place.manifest:
        raise UserError("charts need a finished training run", where=place.path, hint="see its steps")
    metrics = storage.join(place.path, METRICS)
    size = storage.size(metrics) if storage.exists(metrics) else 0
    return _section(place.path, size)


@lru_cache(maxsize=2)
def _section(folder: str, size: int) -> Mapping[str, Any]:
    manifest = state.read_manifest(folder)
    assert manifest is not None
    return training_section(StageOutput("training", folder, manifest), 1)


def _drawn(section: Mapping[str, Any]) -> list[tuple[str, str, str, bool, list[str]]]:
    """(title, note, what it says, whether it takes the whole width, SVG for wide screens and for narrow ones)."""
    drawn: list[tuple[str, str, Any, bool]] = []
    if section["loss"]:
        drawn.append(("Loss", "", section["loss"], True))
    if section["sources"]:
        drawn.append(("Held-back text by source, in bits per byte", "", section["sources"]["chart"], True))
    drawn += [(title, "", markup, False) for title, markup in section["small"]]
    drawn += [(title, note, markup, True) for title, note, markup in section["maps"]]
    drawn = [
        (title, note, re.findall("<svg.*?</svg>", str(markup), re.DOTALL), wide) for title, note, markup, wide in drawn
    ]
    return [(title, note, _says(pictures[0]), wide, pictures) for title, note, pictures, wide in drawn]


def _says(markup: str) -> str:
    from html import unescape

    said = re.search(r'aria-label="([^"]*)"', markup)
    return unescape(said[1]) if said else ""
