"""The de-duplication index: adding, querying, retracting; plan and work."""
