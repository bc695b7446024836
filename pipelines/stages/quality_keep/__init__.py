"""Keep documents by a quality score: plan, ranking and work."""
