"""The work of tokenizer training: counting pretokens, and learning merges from the counts."""
