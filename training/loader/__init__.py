"""Token shards to batches: memory-mapped rows, gathered, prefetched and cached."""
