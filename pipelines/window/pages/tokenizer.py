"""A tokenizer: how a pasted text is cut by it and by the others that are open, and which tokens hold a text."""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from corpusmill.pipelines.inspect.compression import compression_by_language
from corpusmill.pipelines.inspect.diff.tokenizers import cut_texts, read_any
from corpusmill.pipelines.inspect.places import Place, recognise
from corpusmill.pipelines.visible import one_line, visible
from corpusmill.pipelines.window.named import NamedPaths
from corpusmill.pipelines.window.page import Table, Values, View, page
from corpusmill.pipelines.window.ways import stage_trail
from corpusmill.tokenizer.encoder import Tokenizer

SHADES = 6
MOST_CHARACTERS = 10_000
MOST_TOKENS = 200
SAMPLE = 'The naïve café costs 12,345.67 €.\n\ndef main():\n    return "ok"\n我们可以看到，语言模型。'

_read = lru_cache(maxsize=8)(read_any)


@page("tokenizer.html")
def tokenizer(view: View) -> Values:
    """The page of a tokenizer."""
    place = view.stage
    text = view.request.query_params.get("text", SAMPLE)[:MOST_CHARACTERS]
    wanted = view.request.query_params.get("holds", "")[:100]
    own = _read(place.path)
    cuts = []
    for name, path in _tokenizers(view.paths):
        one = cut_texts(own, _read(path), {"": text})[0].second
        cuts.append({"name": name, "own": path == place.path, "length": len(one), "tokens": _coloured(one)})
    cuts.sort(key=lambda cut: not cut["own"])
    size = max(len(text.encode()), 1)
    matches = _tokens_with(own, wanted) if wanted else []
    return {
        "title": "Tokenizer",
        "trail": stage_trail(view),
        "command": ["tokenizer", "show", place.path],
        "text": text,
        "size": size,
        "cuts": cuts,
        "token": wanted,
        "tokens": matches,
        "most": MOST_TOKENS,
        "on": view.text("on"),
        "datasets": [name for name, _ in _datasets(view.paths)],
        "languages": _compression(view),
        "table": Table("tokens", ("id", "token"), [list(row) for row in matches]) if matches else None,
    }


def _tokenizers(paths: NamedPaths) -> Iterator[tuple[str, str]]:
    """(name, folder) of every tokenizer that is open."""
    for named in paths:
        place = named.place
        if place.what == "tokenizer":
            yield named.name, place.path
        for name, folder in place.stages:
            if recognise(folder).what == "tokenizer":
                yield f"{named.name}/{name}", folder


def _datasets(paths: NamedPaths) -> Iterator[tuple[str, Place]]:
    """(name, dataset) of every dataset that is open."""
    for named in paths:
        here = named.place
        for name, place in [(named.name, here), *((f"{named.name}/{n}", recognise(f)) for n, f in here.stages)]:
            if place.what == "dataset":
                yield name, place


def _compression(view: View) -> dict[str, Any] | None:
    """Bytes a token by language, of every tokenizer that is open, on the dataset that was chosen."""
    place = dict(_datasets(view.paths)).get(view.text("on"))
    if place is None:
        return None
    named = list(_tokenizers(view.paths))
    rows = compression_by_language(place, [_loaded(path) for _, path in named])
    return {
        "names": [name for name, _ in named],
        "rows": [
            (row.language, row.documents, row.bytes, [row.bytes / max(count, 1) for count in row.tokens])
            for row in rows
        ],
    }


@lru_cache(maxsize=8)
def _loaded(path: str) -> Tokenizer:
    files = _read(path)
    return Tokenizer(files.vocabulary, files.special, files.pattern, files.fingerprint)


def _coloured(tokens: Any) -> list[tuple[str, int, str]]:
    return [(visible(spelled), number, f"c{place % SHADES}") for place, (spelled, number) in enumerate(tokens)]


def _tokens_with(files: Any, wanted: str) -> list[tuple[int, str]]:
    """(id, spelling) of tokens that hold a text, the lowest ids first."""
    import pyarrow as pa
    import pyarrow.compute as pc

    tokens = pa.array(files.vocabulary.tokens, pa.large_binary())
    numbers = pc.indices_nonzero(pc.match_substring(tokens, wanted.encode()))[:MOST_TOKENS].to_pylist()
    return [(number, one_line(tokens[number].as_py().decode(errors="backslashreplace"))) for number in numbers]
