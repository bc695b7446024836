"""Numbers of source code that one pass over characters can't give: how much is comment, how much of HTML is seen.

They take a language's syntax, coarsely: where comments and strings begin and end. No parser is used, so that a file
that doesn't parse is measured like any other.
"""

from corpusmill.dataproc.measures.code_text.syntax import COMMENTED_LANGUAGES

__all__ = ["COMMENTED_LANGUAGES"]
