"""The documentation site: what `mkdocs build` asks of us beyond the pages in docs/."""
