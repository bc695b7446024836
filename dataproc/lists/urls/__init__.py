"""URLs of documents: their hosts, their registered domains, and what lists of domains, addresses and words say of them.

canonical.py   one spelling for all spellings of an address: the kernel that takes URLs apart
suffixes.py    registered domains by the public suffix rules, which lie in a library's wheel
keys.py        sets of hashed hosts and addresses: eight bytes a place, millions of entries
lists.py       list files to such sets
matches.py     the measure: how many entries of which list a document's URL meets
"""

from corpusmill.dataproc.lists.urls.matches import UrlMatches

__all__ = ["UrlMatches"]
