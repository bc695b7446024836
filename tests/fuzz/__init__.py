"""Mutations of small real files for everything that reads bytes: `make fuzz`, or `python -m tests.fuzz`."""
