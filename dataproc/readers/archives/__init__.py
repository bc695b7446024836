"""Web archives (WARC, WET, ARC) and single pages of HTML: records, their HTTP messages, and the text of their pages."""
