"""Raw files to documents: plan and work."""
