"""Kernels over UTF-8 text: Unicode class tables, words, one-pass counts, and repetition."""
