"""The workers' side of tokenizer training: `counting` for parts and partitions, `learning` for merges and files."""
