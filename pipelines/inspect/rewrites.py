"""What a stage's rewriters took out of a document that it kept: its text before and after, word by word.

Cost: a row group of what the stage took in, and one of its own; of other parts the ids. Memory: the same.
"""

from corpusmill.dataproc import storage
from corpusmill.pipelines.inspect.differences import Difference, differences
from corpusmill.pipelines.inspect.documents import Rows, rows_of
from corpusmill.pipelines.inspect.lookup import look_up
from corpusmill.pipelines.inspect.places import Place, chain


def rewritten_text(place: Place, document: str) -> list[Difference]:
    """The way from the text that a stage took in to the one that it kept; nothing where one of them is not there, or
    where they are the same."""
    links = chain(place)
    before = None
    for name in links[storage.absolute(place.path)].inputs:
        source = links[name].place
        if source is not None and source.what == "dataset" and before is None:
            before = _text(source, document)
    after = _text(place, document)
    if before is None or after is None or before == after:
        return []
    return differences(before, after)


def _text(place: Place, document: str) -> str | None:
    for path, row in look_up([path for path, _ in rows_of(place).files], {document}):
        return str(Rows(path, [(path, row.row + 1)]).row(row.row).values["text"])
    return None
