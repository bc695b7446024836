"""Filtering: plan, and how a batch of documents is judged."""
