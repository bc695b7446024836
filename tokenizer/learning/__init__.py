"""Byte-level BPE learned from counted pretokens alone."""
