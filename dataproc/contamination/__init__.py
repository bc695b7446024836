"""Text that evaluation sets and a corpus share, found by n-grams of words and verified word by word.

`items` reads evaluation sets, `index` holds their n-grams, `matching` finds them in documents, `cutting` takes the
places out of a text. What is done about a document is decided in `dataproc.contamination.decontaminate`.
"""
