"""Search indexes: datasets to segments that can be asked for any string."""
