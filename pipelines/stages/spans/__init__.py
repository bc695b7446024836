"""Repeated text inside documents: plan, search and actions."""
