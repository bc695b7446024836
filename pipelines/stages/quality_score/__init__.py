"""Score documents by a classifier: plan and work."""
