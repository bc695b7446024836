"""Numbers of documents: the one pass over the text, and the measures beside it that only some rules need."""
