"""How `trace` reads an ingest: its manifest names the raw files that documents came from."""

from corpusmill.pipelines.inspect.inspection import Inspection

INSPECTION = Inspection(reads_raw_files=True)
