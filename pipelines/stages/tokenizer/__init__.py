"""Pretoken counts and tokenizers: two plans that share the phases of counting, and their work."""
