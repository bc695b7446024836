"""Looking into what corpusmill made: what a path is, single documents and sequences, why a document went where it went,
whether every byte is as it was written, and how far a run is.

Nothing here changes a file, and nothing here prints: functions give plain values, and `pipelines/cli/` shows them.
"""
