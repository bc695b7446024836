"""Train a quality classifier: plan and work."""
