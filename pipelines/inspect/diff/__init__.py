"""What differs between two of a kind: runs, manifests, datasets, shard sets, tokenizers. Nothing here prints."""
