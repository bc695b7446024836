"""The work of de-duplication, a module for each of its phases; `plan.py` says in which order they run."""
