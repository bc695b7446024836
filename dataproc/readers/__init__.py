"""Readers: any input file to Arrow batches of documents, in bounded memory, losing nothing silently.

A reader is a function `read(piece, fields, report)` that yields record batches with the columns of
`dataproc.documents.SCHEMA` and calls `report(id, place, reason, text)` for each record that cannot be a document. What
one file holds that is broken never costs its neighbours or the rest of the file.
"""
