"""Inspecting what corpusmill made: what a path is, single documents and sequences, what happened to a document and why,
whether every byte is as it was written, and the progress of a run.

Nothing here changes a file, and nothing here prints: functions return plain values, and `pipelines/cli/` shows them.
"""
