"""Token shards to the files of other trainers: plan and work."""
