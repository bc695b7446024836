"""Main content of HTML pages: one pass of a kernel over a page's bytes, and a small model that says what is content."""
