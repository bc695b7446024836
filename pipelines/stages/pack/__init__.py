"""Documents to token shards: plan, encoding, packing and gathering."""
