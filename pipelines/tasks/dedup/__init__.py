"""The workers' side of de-duplication, a module for each of its phases: see `pipelines/stages/dedup.py`."""
