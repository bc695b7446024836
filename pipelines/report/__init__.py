"""One HTML page on a run: what came in, what was removed and why, tokens, packing, training.

The page is made from what the stages left on disk (manifests, ledgers, statistics, metrics) and can be made again at
any time. It is one file (`pipelines/html/document.py`): charts are SVG inside it, nothing is loaded from anywhere, and
no script runs but its own, which sorts tables and opens what is folded for print.
"""

from corpusmill.pipelines.report.page import write_report

__all__ = ["write_report"]
