"""Mixtures of sources, languages and kinds: plan and work."""
