"""De-duplication: exact digests, MinHash signatures, bands, candidate pairs, components, survivors.

The way of the data: texts → signatures (`minhash`) → one 64-bit key a band (`bands`) → rows (key, address) brought
together by a two-phase file shuffle (`shuffle`) → candidate pairs (`candidates`), verified on the full signatures →
connected components (`components`) → one survivor each (`survivors`). Exact duplicates take the same way with their
digest as the key (`exact`). Every step is a function over arrays; the stages that call them own the files.
"""
