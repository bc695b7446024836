"""Search in a full-text index: a string with the text around it, or where a passage stands in the data."""

from typing import Any

from corpusmill.dataproc.search.index import Query
from corpusmill.dataproc.search.tracing import trace_passage
from corpusmill.pipelines.inspect.search import open_indexes
from corpusmill.pipelines.visible import visible
from corpusmill.pipelines.window.page import Table, Values, View, page
from corpusmill.pipelines.window.ways import stage_trail

SIZE = 20
AROUND = 200
MOST_PASSAGE = 20_000
WORDS, DOCUMENTS = 5, 3


@page("search.html")
def search(view: View) -> Values:
    """The page of an index."""
    place = view.stage
    text = view.request.query_params.get("text", "")
    passage = view.request.query_params.get("passage", "")[:MOST_PASSAGE].replace("\r\n", "\n")
    folded = view.text("ignore_case") == "on"
    values: Values = {
        "title": "Search",
        "trail": stage_trail(view),
        "text": text,
        "passage": passage,
        "ignore_case": folded,
        "occurrences": None,
        "hits": [],
        "trace": None,
        "command": ["inspect", place.path],
    }
    (named,) = open_indexes([place.path])
    if text:
        query = Query(text, ignore_case=folded)
        contexts = named.index.contexts(query, SIZE, AROUND)
        shown = [(one.hit, visible(one.before), visible(one.text), visible(one.after)) for one in contexts]
        rows = [[one.hit.id, one.hit.source, one.hit.start, one.before, one.text, one.after] for one in contexts]
        columns = ("id", "source", "start", "before", "text", "after")
        command = ["search", "context", *(["--ignore-case"] if folded else []), "-n", str(SIZE), "--", place.path, text]
        values |= {"occurrences": named.index.count(query).occurrences, "hits": shown, "command": command}
        values["table"] = Table("occurrences", columns, rows)
    if passage:
        trace = trace_passage(named.index, passage, words=WORDS, documents=DOCUMENTS)
        rows = [
            [one.text, one.words, one.occurrences, ", ".join(hit.id for hit in one.hits)] for one in trace.stretches
        ]
        values |= {"trace": trace, "marked": _marked(passage, trace)}
        values["table"] = Table("stretches", ("text", "words", "occurrences", "documents"), rows)
        values["command"] = ["search", "trace", "--words", str(WORDS), "--", place.path, passage[:200]]
    return values


def _marked(passage: str, trace: Any) -> list[tuple[str, bool]]:
    """The passage in pieces: whether each lies in a stretch that stands in the data."""
    data = passage.encode()
    pieces, at = list[tuple[str, bool]](), 0
    for start, end in sorted((one.start, one.end) for one in trace.stretches):
        if end <= at:
            continue
        pieces.append((visible(data[at : max(start, at)].decode(errors="replace")), False))
        pieces.append((visible(data[max(start, at) : end].decode(errors="replace")), True))
        at = end
    pieces.append((visible(data[at:].decode(errors="replace")), False))
    return [piece for piece in pieces if piece[0]]
