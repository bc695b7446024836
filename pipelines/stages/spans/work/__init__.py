"""The work of finding repeated text, and of what is done about it."""
