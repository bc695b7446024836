"""The work of packing: documents to tokens, tokens to sequences, sequences to shards."""
