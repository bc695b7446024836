"""Mixtures: how much of each source, language and kind goes into a corpus, and which documents those are."""
