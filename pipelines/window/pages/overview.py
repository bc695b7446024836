"""What was named, and what a run or a folder is: the same sections as `corpusmill inspect PATH`."""

from corpusmill.pipelines.inspect.overview import overview as sections_of
from corpusmill.pipelines.window.page import Values, View, page, redirect


@page("first.html")
def first(view: View) -> Values:
    """All that was named; the one thing, if it is one."""
    named = list(view.paths)
    if len(named) == 1:
        return redirect(f"/at/{named[0].key}")  # type: ignore[return-value]
    return {"title": "What is open", "named": [(path, path.place.what) for path in named]}


@page("overview.html")
def overview(view: View) -> Values:
    """A path that was named."""
    named = view.path
    place = named.place
    return {
        "title": named.name,
        "what": place.what,
        "stages": [name for name, _ in place.stages],
        "sections": sections_of(place),
        "command": ["inspect", named.path],
    }


ROUTES = [("/", first), ("/at/{key}", overview)]
