"""The pages: each module is one, and says its addresses itself."""

from corpusmill.pipelines.window.pages import overview

ROUTES = [*overview.ROUTES]
