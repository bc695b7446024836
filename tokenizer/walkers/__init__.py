"""Walkers: kernels that find the pretokens of a pattern in one pass, one module for each pattern."""
