"""The ways on from a place: which pages there are for what it is, and the trail back."""

from urllib.parse import quote

from corpusmill.pipelines.inspect.places import Place
from corpusmill.pipelines.inspect.tables import tables_of
from corpusmill.pipelines.window.named import NamedPath
from corpusmill.pipelines.window.page import View

Ways = list[tuple[str, str]]


def ways_from(named: NamedPath, place: Place, stage: str = "") -> Ways:
    """(label, address) of the pages of a run or of one of its stages."""
    base = stage_address(named, stage or named.name)
    if place.what == "run":
        return [
            ("Document by id", f"{named.address}/document"),
            ("SQL", f"{named.address}/sql"),
            ("Compare", "/compare"),
        ]
    pages: Ways = []
    if place.what == "dataset":
        pages.append(("Documents", f"{base}/documents"))
        tables = {table.name for table in tables_of(place)}
        pages += [("Rejected", f"{base}/rejected")] if {"ledger", "rejected"} <= tables else []
        pages += [("Statistics", f"{base}/statistics")] if "statistics" in tables else []
        pages += [("Duplicates", f"{base}/duplicates")] if "duplicates" in tables else []
    if place.what == "shards":
        pages += [("Sequences", f"{base}/sequences"), ("Shards", f"{base}/shards")]
    if place.what == "model":
        pages += [("Training", f"{base}/training"), ("A step's batch", f"{base}/step")]
        pages += [("Charts", f"{base}/charts")] if place.manifest else []
    if place.what == "tokenizer":
        pages.append(("Tokenizer", f"{base}/tokenizer"))
    if place.what == "search index":
        pages.append(("Search", f"{base}/search"))
    if place.manifest and place.what in ("dataset", "shards", "model"):
        pages.append(("SQL", f"{named.address}/sql"))
    return pages


def stage_address(named: NamedPath, stage: str) -> str:
    return f"{named.address}/stage/{quote(stage, safe='')}"


def stage_trail(view: View) -> Ways:
    """From the named path to the stage of this page; of a folder by itself only to that."""
    named = view.path
    here = (view.stage_name, stage_address(named, view.stage_name))
    return [(named.name, named.address), here] if named.place.what == "run" else [(named.name, named.address)]
