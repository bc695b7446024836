"""Other trainers' files to token shards: plan and work."""
