"""The work of filtering: parts of documents, judged a batch at a time."""
