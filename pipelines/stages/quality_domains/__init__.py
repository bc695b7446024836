"""Domains of a quality loop: counting them, and picking the pages of accepted ones."""
