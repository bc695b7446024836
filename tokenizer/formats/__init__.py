"""Tokenizer folders: what we write and read, and the files of others."""
