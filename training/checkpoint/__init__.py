"""Checkpoints: what each rank saves, the files it goes into, and how a run loads it in any layout."""
