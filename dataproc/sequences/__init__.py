"""Documents to sequences: fill-in-the-middle, packing, and token shards."""
