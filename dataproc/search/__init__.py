"""An exact full-text index: segments of text as FM-indexes, what is asked of them, and traces of a passage."""
