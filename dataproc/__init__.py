"""Documents in, clean documents out; then sequences: FIM, packing, shards. Pure: no Ray, no command line."""
