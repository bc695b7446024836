"""The pages: each module is one, and says its addresses itself."""

from corpusmill.pipelines.window.pages import (
    document,
    documents,
    duplicates,
    overview,
    rejected,
    search,
    sequences,
    sql,
    tokenizer,
    training,
)

PAGES = (overview, documents, document, rejected, duplicates, sequences, tokenizer, training, search, sql)
ROUTES = [route for page in PAGES for route in page.ROUTES]
