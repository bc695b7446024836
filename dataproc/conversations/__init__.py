"""Conversations: messages of other formats checked, and carried in the text of an ordinary document."""
