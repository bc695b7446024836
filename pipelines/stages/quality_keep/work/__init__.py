"""The work of keeping by a score: ranks by counting, and parts divided into kept and rejected."""
