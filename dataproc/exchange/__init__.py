"""Tokens to and from the files of other trainers: Megatron, Mosaic Streaming, Hugging Face datasets, flat arrays.

items        what is exported: packed sequences, or documents put together again
documents    what was imported, cut into documents and checked against the tokenizer
pieces       what is read, and in which portions
megatron, mds, huggingface, flat     one file a format: its writer and its reader
formats      the four by name
"""
